/* Damages the heap in the way its argument names, as glibc's allocator can find it. */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noipa))

/* Larger than the tcache's chunks, and than those of the fast bins. */
#define LARGE 2000

static void *volatile kept;

NOINLINE void release(void *block) { free(block); }
NOINLINE void *resize(void *block) { return realloc(block, LARGE); }
NOINLINE void *obtain(size_t size) { return malloc(size); }

/* The size of the chunk that a block is in, with its flags. */
static size_t *size_of(void *block) { return (size_t *)block - 1; }

/* Fills the tcache, so that further chunks go to the fast bins. */
static void fill_tcache(size_t size) {
    void *blocks[7];
    for (int at = 0; at < 7; at++)
        blocks[at] = malloc(size);
    for (int at = 0; at < 7; at++)
        free(blocks[at]);
}

int main(int count, char **arguments) {
    (void)count;
    const char *what = arguments[1];
    char *block = malloc(24), *large = malloc(LARGE), *next = malloc(LARGE);
    kept = malloc(24);
#define IF(name, action)                                                                           \
    if (strcmp(what, name) == 0) action
    IF("invalid-pointer", release(block + 8));
    IF("invalid-size", (*size_of(block) = 1, release(block)));
    IF("fasttop", (fill_tcache(24), release(block), release(block)));
    IF("prev", (release(large), release(large)));
    IF("out", (*size_of(large) = 0x7ffff001, release(large)));
    IF("next-size", (*size_of(next) = 1, release(large)));
    IF("prev-size", (release(large), *size_of(large) = 0x21, release(next)));
    IF("realloc", kept = resize(block + 8));
    IF("munmap", (*size_of(large) |= 2, release(large)));
    IF("unsorted", (release(large), *size_of(large) = 1, kept = obtain(4000)));
    IF("top", {
        char *last = malloc(24);
        memset(last + malloc_usable_size(last), 0xff, 8);
        kept = obtain(1 << 16);
    });
    IF("tcache", {
        release(kept);
        release(block);
        *(uintptr_t *)block = 0x4141414141414141;
        kept = malloc(24);
        kept = obtain(24);
    });
    return 0;
}
