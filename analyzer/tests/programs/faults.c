/* Dies of the fault its argument names. */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

struct order {
    long id, total;
};

static volatile int zero;
static volatile long sink;

NOINLINE void store(int *slot) { *slot = 1; }
NOINLINE long total(struct order *order) { return order->total; }
NOINLINE void check(int items) { assert(items == 77); }
NOINLINE void give_up(void) { abort(); }
NOINLINE int average(int sum) { return sum / zero; }

NOINLINE int descend(int depth) {
    volatile char frame[1000];
    frame[0] = (char)depth;
    return descend(depth + 1) + frame[0];
}

NOINLINE void copy_name(const char *name) {
    char buffer[8];
    strcpy(buffer, name);
    sink = buffer[0];
}

NOINLINE void release_twice(void) {
    char *volatile block = malloc(10);
    free(block);
    free(block);
}

NOINLINE void call_back(void (*volatile callback)(void)) { callback(); }
NOINLINE void unreachable(void) { __builtin_trap(); }
NOINLINE long follow(volatile long *pointer) { return *pointer; }
NOINLINE void overwrite(volatile char *text) { text[0] = 'x'; }
static void last_words(int signal) {
    (void)signal;
    abort();
}

NOINLINE void handled(void) {
    static char stack[1 << 16];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = last_words, .sa_flags = SA_ONSTACK};
    sigaltstack(&other, 0);
    sigaction(SIGSEGV, &action, 0);
}

NOINLINE void raise_it(void) { kill(getpid(), SIGSEGV); }

NOINLINE void be_killed(void) {
    if (fork() == 0) {
        kill(getppid(), SIGSEGV);
        _exit(0);
    }
    pause();
}


NOINLINE long read_mapped(void) {
    char name[] = "cut-XXXXXX";
    int file = mkstemp(name);
    unlink(name);
    volatile long *mapped = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
    return *mapped;
}

int main(int count, char **arguments) {
    (void)count;
    const char *what = arguments[1];
#define IF(name, action)                                                                           \
    if (strcmp(what, name) == 0) action
    IF("null-write", store(0));
    IF("null-member", return (int)total(0));
    IF("assertion", check(count));
    IF("abort", give_up());
    IF("division", return average(7));
    IF("recursion", return descend(0));
    IF("smash", copy_name("a name that is longer than eight characters"));
    IF("double-free", release_twice());
    IF("null-call", call_back(0));
    IF("trap", unreachable());
    IF("non-canonical", return (int)follow((long *)0x4141414141414141));
    IF("invalid", return (int)follow((long *)0x123456789000));
    IF("near-null", return (int)follow((long *)0x8000));
    IF("read-only", overwrite((char *)"constant"));
    IF("handled-null", (handled(), store(0)));
    IF("handled-recursion", (handled(), descend(0)));
    IF("breakpoint", __asm__ volatile("int3"));
    IF("damaged-call", call_back((void (*)(void))0x4141414141414140));
    IF("killed", be_killed());
    IF("raised", raise_it());
    IF("cut-file", return (int)read_mapped());
    return 0;
}
