// SPDX-License-Identifier: Apache-2.0
#include "CBusbar_arena.h"

#include <stdio.h>
#include <stdlib.h>

// Under the address sanitizer every allocation is fenced off from the next one, and from use after
// the reset, as if it came from malloc.
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
enum { fence = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
enum { fence = 0 };
#endif

enum { alignment = 16 };

typedef struct block {
    struct block *next;
    size_t capacity;
    _Alignas(16) uint8_t bytes[];
} block;

struct CBusbar_arena {
    // The allocator that protobuf-c sees; its data is the arena.
    ProtobufCAllocator allocator;
    // The block being filled, then those filled before it; the first block is the last in the list.
    block *top;
    size_t top_used;
    // Bytes of all blocks that are filled, or lost at a block's end.
    size_t used;
    size_t limit;
    uint64_t block_count;
    int is_exhausted;
};

static block *block_create(size_t capacity) {
    block *made = malloc(sizeof(block) + capacity);
    if (made == NULL) {
        fputs("busbar: out of memory for a message\n", stderr);
        abort();
    }
    made->next = NULL;
    made->capacity = capacity;
    ASAN_POISON_MEMORY_REGION(made->bytes, capacity);
    return made;
}

// The size that an allocation takes in its block.
static size_t rounded(size_t size) {
    return (size + fence + alignment - 1) & ~(size_t)(alignment - 1);
}

// The bytes that are left in the block being filled.
static size_t rest(const CBusbar_arena *arena) { return arena->top->capacity - arena->top_used; }

// Adds a block of at least `least` bytes, twice the last one's size where `most` allows it. What is
// left of the last one is lost until the reset, and counts as used.
static void add_block(CBusbar_arena *arena, size_t least, size_t most) {
    size_t capacity = arena->top->capacity * 2;
    if (capacity > most) capacity = most;
    if (capacity < least) capacity = least;
    block *made = block_create(capacity);
    arena->used += rest(arena);
    made->next = arena->top;
    arena->top = made;
    arena->top_used = 0;
    arena->block_count += 1;
}

static void *take(CBusbar_arena *arena, size_t size) {
    void *result = arena->top->bytes + arena->top_used;
    ASAN_UNPOISON_MEMORY_REGION(result, size);
    arena->top_used += rounded(size);
    arena->used += rounded(size);
    return result;
}

void *CBusbar_arena_build(CBusbar_arena *arena, size_t size) {
    if (size > SIZE_MAX / 4) {
        fputs("busbar: a message is too large to build\n", stderr);
        abort();
    }
    if (rounded(size) > rest(arena)) add_block(arena, rounded(size), SIZE_MAX);
    return take(arena, size);
}

// The allocator of an unpack: all blocks together never hold more than the limit.
static void *bounded_alloc(void *data, size_t size) {
    CBusbar_arena *arena = data;
    const size_t left = arena->limit > arena->used ? arena->limit - arena->used : 0;
    if (size > left || rounded(size) > left) {
        arena->is_exhausted = 1;
        return NULL;
    }
    if (rounded(size) > rest(arena)) {
        if (rest(arena) > left - rounded(size)) {
            arena->is_exhausted = 1;
            return NULL;
        }
        add_block(arena, rounded(size), left - rest(arena));
    }
    return take(arena, size);
}

// Memory comes back at the reset, all at once.
static void no_free(void *data, void *pointer) {
    (void)data;
    (void)pointer;
}

CBusbar_arena *CBusbar_arena_create(size_t first, size_t limit) {
    CBusbar_arena *arena = malloc(sizeof(CBusbar_arena));
    if (arena == NULL) {
        fputs("busbar: out of memory for a connection\n", stderr);
        abort();
    }
    const size_t least = 256;
    if (first > limit) first = limit;
    arena->allocator = (ProtobufCAllocator){bounded_alloc, no_free, arena};
    arena->top = block_create(first < least ? least : first);
    arena->top_used = 0;
    arena->used = 0;
    arena->limit = limit;
    arena->block_count = 1;
    arena->is_exhausted = 0;
    return arena;
}

void CBusbar_arena_reset(CBusbar_arena *arena) {
    while (arena->top->next != NULL) {
        block *next = arena->top->next;
        ASAN_UNPOISON_MEMORY_REGION(arena->top->bytes, arena->top->capacity);
        free(arena->top);
        arena->top = next;
    }
    ASAN_POISON_MEMORY_REGION(arena->top->bytes, arena->top->capacity);
    arena->top_used = 0;
    arena->used = 0;
    arena->is_exhausted = 0;
}

void CBusbar_arena_destroy(CBusbar_arena *arena) {
    CBusbar_arena_reset(arena);
    ASAN_UNPOISON_MEMORY_REGION(arena->top->bytes, arena->top->capacity);
    free(arena->top);
    free(arena);
}

ProtobufCMessage *CBusbar_arena_unpack(
    CBusbar_arena *arena, const ProtobufCMessageDescriptor *descriptor, size_t length,
    const uint8_t *bytes) {
    static const uint8_t nothing = 0;
    arena->is_exhausted = 0;
    return protobuf_c_message_unpack(
        descriptor, &arena->allocator, length, bytes == NULL ? &nothing : bytes);
}

int CBusbar_arena_is_exhausted(const CBusbar_arena *arena) { return arena->is_exhausted; }

uint64_t CBusbar_arena_block_count(const CBusbar_arena *arena) { return arena->block_count; }
