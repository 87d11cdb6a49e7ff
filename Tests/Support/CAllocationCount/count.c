// SPDX-License-Identifier: Apache-2.0
#include "CAllocationCount.h"

#include <errno.h>
#include <stddef.h>

static _Thread_local uint64_t count;

uint64_t CAllocationCount_value(void) { return count; }

#if defined(__GLIBC__) || defined(__linux__)
#define COUNTS_ON_THIS_SYSTEM 1
#else
#define COUNTS_ON_THIS_SYSTEM 0
#endif

#if !COUNTS_ON_THIS_SYSTEM || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)

_Bool CAllocationCount_is_counting(void) { return 0; }

#else

// The names under which glibc exports its own allocator.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t elements, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

_Bool CAllocationCount_is_counting(void) { return 1; }

void *malloc(size_t size) {
    count += 1;
    return __libc_malloc(size);
}

void *calloc(size_t elements, size_t size) {
    count += 1;
    return __libc_calloc(elements, size);
}

void *realloc(void *pointer, size_t size) {
    count += 1;
    return __libc_realloc(pointer, size);
}

void *memalign(size_t alignment, size_t size) {
    count += 1;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count += 1;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **pointer, size_t alignment, size_t size) {
    count += 1;
    void *made = __libc_memalign(alignment, size);
    if (made == NULL) return ENOMEM;
    *pointer = made;
    return 0;
}

#endif
