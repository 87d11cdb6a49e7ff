// SPDX-License-Identifier: Apache-2.0
//
// Counts what the calling thread takes from malloc, so that a test can prove that a path takes
// nothing. Linked into test programs only, where it stands in front of the C library's allocator.
#ifndef CALLOCATIONCOUNT_H
#define CALLOCATIONCOUNT_H

#include <stdint.h>

// False in sanitizer builds, whose allocator must stay in front.
_Bool CAllocationCount_is_counting(void);

// Allocations and reallocations by this thread since it started.
uint64_t CAllocationCount_value(void);

#endif
