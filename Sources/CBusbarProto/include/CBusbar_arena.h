// SPDX-License-Identifier: Apache-2.0
//
// A bump arena in which protobuf-c unpacks one frame at a time, and in which messages to be packed
// are built. Its first block lives as long as the arena; blocks that a large frame adds are freed
// by the next reset, so an idle connection holds the first block and nothing else.
#ifndef CBUSBAR_ARENA_H
#define CBUSBAR_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct CBusbar_arena CBusbar_arena;

// Makes an arena whose first block has `block` bytes, at most `limit` and at least 256. All blocks
// that one frame is unpacked into hold at most `limit` bytes together. Ends the process when there
// is no memory.
CBusbar_arena *CBusbar_arena_create(size_t block, size_t limit);

// Frees the arena and all that was allocated in it.
void CBusbar_arena_destroy(CBusbar_arena *arena);

// Forgets all allocations; pointers into the arena are dead from here on.
void CBusbar_arena_reset(CBusbar_arena *arena);

// Memory for a message that is being built, aligned to 16 bytes; not bounded by the limit. Never
// null: ends the process when there is no memory.
void *CBusbar_arena_build(CBusbar_arena *arena, size_t size);

// Unpacks a message, or returns null when the bytes are malformed or the limit was reached.
ProtobufCMessage *CBusbar_arena_unpack(
    CBusbar_arena *arena, const ProtobufCMessageDescriptor *descriptor, size_t length,
    const uint8_t *bytes);

// Whether the last unpack ended because of the limit.
int CBusbar_arena_is_exhausted(const CBusbar_arena *arena);

// The bytes of a text before its terminating zero.
static inline size_t CBusbar_text_length(const char *text) { return strlen(text); }

// How many blocks were taken from malloc in the arena's life, the first included.
uint64_t CBusbar_arena_block_count(const CBusbar_arena *arena);

#endif
