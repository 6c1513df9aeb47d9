/* Says something and gives up, with any C library. */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noipa))

NOINLINE void check(int items) { assert(items == 77); }
NOINLINE void give_up(void) { abort(); }

NOINLINE void copy_name(const char *name) {
    char buffer[8];
    strcpy(buffer, name);
    __asm__ volatile("" ::"r"(buffer));
}

NOINLINE void store(int *slot) { *slot = 1; }

NOINLINE long total(long *order) { return order[2]; }
NOINLINE int average(int sum, int count) { return sum / count; }
NOINLINE void call_back(void (*volatile callback)(void)) { callback(); }

NOINLINE int descend(int depth) {
    volatile char frame[1000];
    frame[0] = (char)depth;
    return descend(depth + 1) + frame[0];
}

NOINLINE void release_twice(void) {
    char *volatile block = malloc(10);
    free(block);
    free(block);
}

int main(int count, char **arguments) {
    const char *what = arguments[1];
#define IF(name, action)                                                                           \
    if (strcmp(what, name) == 0) action
    IF("assertion", check(count));
    IF("abort", give_up());
    IF("smash", copy_name("a name that is longer than eight characters"));
    IF("null-member", return (int)total(0));
    IF("division", return average(7, count - 2));
    IF("quotient", return average(INT_MIN, count - 3));
    IF("wild-call", call_back((void (*)(void))0x12345678));
    IF("recursion", return descend(0));
    IF("trap", __builtin_trap());
    IF("null-write", store(0));
    IF("double-free", release_twice());
    return 0;
}
