/* Dies of the fault its argument names. */
#define _GNU_SOURCE
#include <assert.h>
#include <emmintrin.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

struct order {
    long id, total;
};

static volatile int zero, minus_one = -1;
static volatile double nothing;
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

NOINLINE void copy_checked(const char *name) {
    static char buffer[8];
    strcpy(buffer, name);
    sink = buffer[0];
}

NOINLINE void watch(int file) {
    fd_set files;
    FD_ZERO(&files);
    FD_SET(file, &files);
    sink = FD_ISSET(1, &files);
}

NOINLINE void release_twice(void) {
    char *volatile block = malloc(10);
    free(block);
    free(block);
}

NOINLINE void *descend_in_thread(void *argument) {
    (void)argument;
    return (void *)(long)descend(0);
}

NOINLINE void overflow_thread(void) {
    pthread_t thread;
    pthread_create(&thread, 0, descend_in_thread, 0);
    pthread_join(thread, 0);
}

struct session {
    struct session *next;
    struct session *previous;
    void (*close)(void);
    long bytes;
};

NOINLINE long bytes_of(struct session *session) { return session->bytes; }
NOINLINE void close_session(struct session *session) { session->close(); }

/* A session that is used after it was freed, of a size that the thread cache takes or does not. */
static struct session *freed(size_t extra) {
    struct session *volatile session = calloc(1, sizeof *session + extra);
    free(session);
    return session;
}

/* Larger than what the thread cache keeps: only such blocks are filled with a pattern. */
#define LARGE 4000

NOINLINE int overflow_quotient(int number) { return number / minus_one; }
NOINLINE double divide(double number) { return number / nothing; }

/* A vector that its owner promised to align. */
NOINLINE void clear_vector(char *numbers) {
    _mm_store_si128((__m128i *)(numbers + 1), _mm_setzero_si128());
}

/* Sets the flag that makes the processor check alignment. */
NOINLINE long load_checked(char *bytes) {
    long value;
    __asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq; movq 1(%1), %0"
                     : "=r"(value)
                     : "r"(bytes)
                     : "cc");
    return value;
}

NOINLINE void no_instruction(void) { __asm__ volatile(".byte 0x06, 0x07, 0x1f"); }
/* One that exists, but not for a program that is no hypervisor. */
NOINLINE void foreign_instruction(void) { __asm__ volatile("vmread %%rax, %%rcx" ::: "rcx"); }

NOINLINE void run_data(void) {
    char *code = malloc(16);
    memset(code, 0xc3, 16);
    void (*volatile run)(void) = (void (*)(void))code;
    run();
}

NOINLINE void call_back(void (*volatile callback)(void)) { callback(); }
NOINLINE void unreachable(void) { __builtin_trap(); }
NOINLINE long follow(volatile long *pointer) { return *pointer; }

/* Reads on behind the end of what is mapped. */
NOINLINE long read_beyond(void) {
    char *pages = mmap(0, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    memcpy(pages + 4096 - 32, "the last of all that is mapped. ", 32);
    return follow((long *)(pages + 4096));
}

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


/* The file was whole when it was mapped. */
NOINLINE void write_cut(void) {
    char name[] = "cut-XXXXXX";
    int file = mkstemp(name);
    unlink(name);
    if (ftruncate(file, 3 * 4096) != 0)
        return;
    volatile char *mapped = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    mapped[2 * 4096] = 'x';
    if (ftruncate(file, 4096) != 0)
        return;
    mapped[2 * 4096] = 'y';
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
    IF("thread-recursion", overflow_thread());
    IF("freed-next", return (int)bytes_of(freed(0)->next));
    IF("freed-previous", return (int)bytes_of(freed(0)->previous));
    IF("freed-filled", return (int)bytes_of((struct session *)freed(LARGE)->bytes));
    IF("freed-call", close_session(freed(LARGE)));
    IF("poisoned", return (int)follow((long *)0xdeadbeef));
    IF("quotient", return overflow_quotient(INT_MIN));
    IF("float", {
        _MM_SET_EXCEPTION_MASK(_MM_GET_EXCEPTION_MASK() & ~_MM_MASK_DIV_ZERO);
        return (int)divide(7);
    });
    IF("misaligned-vector", clear_vector(calloc(4, 16)));
    IF("misaligned-checked", return (int)load_checked(calloc(4, 16)));
    IF("no-instruction", no_instruction());
    IF("foreign-instruction", foreign_instruction());
    IF("near-null-call", call_back((void (*)(void))0x30));
    IF("wild-call", call_back((void (*)(void))0x123456789000));
    IF("heap-call", run_data());
    IF("recursion", return descend(0));
    IF("smash", copy_name("a name that is longer than eight characters"));
    IF("checked-copy", copy_checked(arguments[0]));
    IF("watch", watch(5000));
    IF("double-free", release_twice());
    IF("null-call", call_back(0));
    IF("trap", unreachable());
    IF("non-canonical", return (int)follow((long *)0x4141414141414141));
    IF("invalid", return (int)follow((long *)0x123456789000));
    IF("beyond", return (int)read_beyond());
    IF("near-null", return (int)follow((long *)0x8000));
    IF("read-only", overwrite((char *)"constant"));
    IF("handled-null", (handled(), store(0)));
    IF("handled-recursion", (handled(), descend(0)));
    IF("breakpoint", __asm__ volatile("int3"));
    IF("damaged-call", call_back((void (*)(void))0x4141414141414140));
    IF("killed", be_killed());
    IF("raised", raise_it());
    IF("cut-later", write_cut());
    IF("cut-file", return (int)read_mapped());
    return 0;
}
