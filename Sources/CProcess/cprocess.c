// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "cprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Runs in the child between fork and exec: async-signal-safe calls only.
static void become(
    const char *path, char *const argv[], char *const envp[], int output, int report,
    pid_t parent) {
    int error = 0;
    int null = -1;
    sigset_t none;
    // A signal that was ignored would stay ignored across exec.
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setpgid(0, 0) != 0) goto failed;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
    // The parent may have died before the line above took effect.
    if (getppid() != parent) _exit(127);
    null = open("/dev/null", O_RDONLY);
    if (null < 0) goto failed;
    if (dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) goto failed;
    if (syscall(SYS_close_range, 3u, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) goto failed;
    execve(path, argv, envp);
failed:
    error = errno;
    // Nothing is left to be done when even this fails: the parent then sees a child that ended.
    if (write(report, &error, sizeof error) < 0) _exit(126);
    _exit(127);
}

int CProcess_spawn(
    const char *path, char *const argv[], char *const envp[], int output, pid_t *pid,
    int *pidfd) {
    int report[2];
    int error = 0;
    if (pipe2(report, O_CLOEXEC) != 0) return errno;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0) {
        error = errno;
        close(report[0]);
        close(report[1]);
        return error;
    }
    if (child == 0) become(path, argv, envp, output, report[1], parent);
    close(report[1]);
    ssize_t count;
    do {
        count = read(report[0], &error, sizeof error);
    } while (count < 0 && errno == EINTR);
    close(report[0]);
    if (count == (ssize_t)sizeof error) {
        waitpid(child, NULL, 0);
        return error;
    }
    long descriptor = syscall(SYS_pidfd_open, child, 0);
    if (descriptor < 0) {
        error = errno;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        return error;
    }
    *pid = child;
    *pidfd = (int)descriptor;
    return 0;
}

ssize_t CProcess_receive(int descriptor, void *buffer, size_t capacity, pid_t *sender) {
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr alignment;
    } control;
    struct iovec vector = {.iov_base = buffer, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t count = recvmsg(descriptor, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *sender = 0;
    if (count < 0) return -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part != NULL;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_CREDENTIALS) continue;
        struct ucred credentials;
        memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
        *sender = credentials.pid;
    }
    return count;
}

int CProcess_terminalColumns(int descriptor) {
    struct winsize size;
    if (ioctl(descriptor, TIOCGWINSZ, &size) != 0) return 0;
    return size.ws_col;
}
