// SPDX-License-Identifier: Apache-2.0
//
// Shows the thread sanitizer two orders that it cannot see; loaded before everything else into the
// processes of a sanitized run (LD_PRELOAD), and no part of any product. Both come about inside of
// libraries of the toolchain that are not instrumented, behind functions that they export: those
// stand here once more, say what they do, and call the real ones.
//
// 1. A contended lock. Without contention `Synchronization.Mutex` is taken and given back by a
//    compare-and-exchange in the client's own code, which is instrumented. With contention the client
//    calls into libswiftSynchronization.so: there the lock is taken in a spin loop, or by the kernel,
//    which writes the next owner into the word (FUTEX_LOCK_PI). Unseen, what the last owner did does
//    not come before what the next one does. Whoever comes back from the slow path with the lock has
//    acquired its word; whoever goes there to give it back releases it.
//
// 2. A continuation that is resumed before its task waits for it. The runtime tells the sanitizer of
//    a resumption that makes a task run again, and not of one that comes so early that the task goes
//    on without a pause (swift_continuation_await). So `resume` releases the task here, and the code
//    behind the wait acquires it, however it got there.
//
// Each orders the two sides of one lock or of one continuation, and nothing else. `Controls.swift`
// proves both directions: what is right is silent only with this file, and races, also between the
// holders of two different locks, are reported with it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// Absent in a process that is not instrumented, such as the tool that starts the tests: all that is
// here then only passes calls on.
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

static void acquire(void *address) {
    if (__tsan_acquire) __tsan_acquire(address);
}

static void release(void *address) {
    if (__tsan_release) __tsan_release(address);
}

// The library's own function of the name. Found again each time: that costs little where threads
// contend or tasks wait, and needs no lock of its own.
static void *original(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (function != NULL) return function;
    fprintf(stderr, "runtime.c: no library has %s\n", name);
    abort();
}

// --- 1. Locks

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT bool try_lock_slow(SELF) __asm__(TRY_LOCK);
SWIFT void unlock_slow(SELF) __asm__(UNLOCK);

SWIFT void lock_slow(uint32_t thread, SELF) {
    SWIFT void (*const next)(uint32_t, SELF) = (SWIFT void (*)(uint32_t, SELF))original(LOCK);
    next(thread, self);
    acquire(self);
}

SWIFT bool try_lock_slow(SELF) {
    SWIFT bool (*const next)(SELF) = (SWIFT bool (*)(SELF))original(TRY_LOCK);
    const bool is_locked = next(self);
    if (is_locked) acquire(self);
    return is_locked;
}

SWIFT void unlock_slow(SELF) {
    SWIFT void (*const next)(SELF) = (SWIFT void (*)(SELF))original(UNLOCK);
    release(self);
    next(self);
}

// --- 2. Continuations

#define ASYNC __attribute__((swiftasynccall))
#define CONTEXT __attribute__((swift_async_context)) struct context *context

// The head of every asynchronous frame, as the ABI has it: the caller's, and where it goes on.
struct context {
    struct context *parent;
    ASYNC void (*resume)(CONTEXT);
};

typedef ASYNC void (*Resume)(CONTEXT);

extern SWIFT void *swift_task_getCurrent(void) __attribute__((weak));

// Where each waiting task really goes on. A task waits for one continuation at a time.
enum { WAITING_COUNT = 1 << 14 };

static struct {
    void *task;
    Resume resume;
} waiting[WAITING_COUNT];

// A lock that the sanitizer does not see, so that it orders nothing that is not ordered.
static atomic_flag is_busy = ATOMIC_FLAG_INIT;

static void enter(void) {
    while (atomic_flag_test_and_set_explicit(&is_busy, memory_order_acquire)) {}
}

static void leave(void) { atomic_flag_clear_explicit(&is_busy, memory_order_release); }

static void put(void *task, Resume resume) {
    enter();
    for (size_t step = 0; step < WAITING_COUNT; step++) {
        const size_t place = ((uintptr_t)task / 16 + step) % WAITING_COUNT;
        if (waiting[place].task != NULL) continue;
        waiting[place].task = task;
        waiting[place].resume = resume;
        leave();
        return;
    }
    fprintf(stderr, "runtime.c: more than %d tasks wait\n", WAITING_COUNT);
    abort();
}

// Looks at every place: an entry that was taken out leaves a gap before those that gave way to it.
static Resume take(void *task) {
    enter();
    for (size_t step = 0; step < WAITING_COUNT; step++) {
        const size_t place = ((uintptr_t)task / 16 + step) % WAITING_COUNT;
        if (waiting[place].task != task) continue;
        const Resume resume = waiting[place].resume;
        waiting[place].task = NULL;
        leave();
        return resume;
    }
    fprintf(stderr, "runtime.c: a task goes on that did not wait\n");
    abort();
}

static ASYNC void go_on(CONTEXT) {
    void *const task = swift_task_getCurrent();
    const Resume resume = take(task);
    context->resume = resume;
    acquire(task);
    return resume(context);
}

// Here the frame is an argument like any other; where it resumes, it is the async context.
ASYNC void swift_continuation_await(struct context *context) {
    ASYNC void (*const next)(struct context *) =
        (ASYNC void (*)(struct context *))original("swift_continuation_await");
    if (!__tsan_acquire) return next(context);
    put(swift_task_getCurrent(), context->resume);
    context->resume = go_on;
    return next(context);
}

SWIFT void swift_continuation_resume(void *task) {
    SWIFT void (*const next)(void *) =
        (SWIFT void (*)(void *))original("swift_continuation_resume");
    release(task);
    next(task);
}

SWIFT void swift_continuation_throwingResume(void *task) {
    SWIFT void (*const next)(void *) =
        (SWIFT void (*)(void *))original("swift_continuation_throwingResume");
    release(task);
    next(task);
}

SWIFT void swift_continuation_throwingResumeWithError(void *task, void *error) {
    SWIFT void (*const next)(void *, void *) =
        (SWIFT void (*)(void *, void *))original("swift_continuation_throwingResumeWithError");
    release(task);
    next(task, error);
}
