// SPDX-License-Identifier: Apache-2.0
//
// What a supervisor needs of the kernel and Swift cannot call: a child that dies with its parent,
// and a datagram together with the process that sent it.
#ifndef BUSBAR_CPROCESS_H
#define BUSBAR_CPROCESS_H

#include <sys/eventfd.h>
#include <sys/types.h>

// Starts a program in a process group of its own, with stdin from /dev/null and stdout and stderr
// on `output`. No other descriptor is inherited; signals are at their defaults and unblocked.
//
// The child is killed when the THREAD that called this ends, so call it from a thread that lives as
// long as the process does.
//
// Returns 0, or the errno of what failed in parent or child (exec included). `pidfd` becomes
// readable when the child ends; the caller closes it.
int CProcess_spawn(
    const char *path, char *const argv[], char *const envp[], int output, pid_t *pid, int *pidfd);

// Receives one datagram and the process id of its sender, which the kernel vouches for.
//
// `descriptor` must have SO_PASSCRED set. Returns the byte count, or -1 with errno set; `sender` is
// 0 where the kernel told none.
ssize_t CProcess_receive(int descriptor, void *buffer, size_t capacity, pid_t *sender);

// Columns of the terminal behind `descriptor`, or 0 where it is none.
int CProcess_terminalColumns(int descriptor);

#endif
