// SPDX-License-Identifier: Apache-2.0
#include "CStreamingPass.h"

void CStreamingPass_run(
    size_t count, const uint32_t *restrict floor, const uint32_t *restrict full,
    const uint32_t *restrict gang, const uint32_t *restrict rack, const uint32_t *restrict feed,
    uint32_t *restrict cap) {
    for (size_t gpu = 0; gpu < count; ++gpu) {
        cap[gpu] = floor[gpu] + ((full[gpu] - floor[gpu]) >> 1) + (gang[gpu] ^ rack[gpu] ^ feed[gpu]);
    }
}
