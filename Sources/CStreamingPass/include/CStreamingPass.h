// SPDX-License-Identifier: Apache-2.0
//
// The yardstick of the power solver: the least that any program does that looks at every GPU once.
#ifndef CSTREAMINGPASS_H
#define CSTREAMINGPASS_H

#include <stddef.h>
#include <stdint.h>

// Reads five columns of 32 bits and writes one, each `count` long: 24 bytes of a GPU pass by.
// The caps mean nothing; they depend on every column, so that no read can be left out.
void CStreamingPass_run(
    size_t count, const uint32_t *floor, const uint32_t *full, const uint32_t *gang,
    const uint32_t *rack, const uint32_t *feed, uint32_t *cap);

#endif
