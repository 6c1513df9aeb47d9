/* Dies at the end of a stack that is hard to walk; the argument says which. Every way goes
 * through main, outer and middle, so that a walk that goes on behind the trap can be told. */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile int sink;
static char *volatile nowhere;

/* Keeps the caller's frame: what follows a call is no tail call. */
#define KEEP __asm__ volatile("" ::: "memory")

static NOINLINE void write_to_null(void) {
    *nowhere = 1;
    KEEP;
}

/* Handlers. */

static NOINLINE void give_up(int number) {
    sink = number;
    abort();
}

static void on_stack_of_its_own(void) {
    stack_t stack = {.ss_size = 1 << 16};
    stack.ss_sp = malloc(stack.ss_size);
    sigaltstack(&stack, NULL);
}

static void install(int flags) {
    struct sigaction action = {.sa_handler = give_up, .sa_flags = flags};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* A handler that faults itself, in a handler of another signal. */

static void second(int number) {
    sink = number;
    write_to_null();
    KEEP;
}

static void first(int number) {
    sink = number;
    raise(SIGUSR2);
    KEEP;
}

static NOINLINE void nested_signals(void) {
    struct sigaction one = {.sa_handler = first, .sa_flags = SA_ONSTACK};
    struct sigaction two = {.sa_handler = second};
    on_stack_of_its_own();
    sigaction(SIGUSR1, &one, NULL);
    sigaction(SIGUSR2, &two, NULL);
    raise(SIGUSR1);
    KEEP;
}

/* A call that never returns is the last instruction: its return address lies in the function
 * that the linker put behind. */

static NOINLINE __attribute__((noreturn)) void never_returns(void) {
    *nowhere = 1;
    for (;;)
        pause();
}

NOINLINE __attribute__((noreturn)) void ends_with_a_call(void) {
    never_returns();
}

/* Behind `ends_with_a_call`, and without call frame information for its address. */
__asm__(".text\n.globl behind\n.type behind,%function\nbehind: .long 0\n.size behind,.-behind\n");

/* A function whose first instruction faults, and what lies before it. */
void faults_at_once(void);
#if defined __x86_64__
__asm__(".text\n.globl before\n.type before,@function\n"
        "before:\n.cfi_startproc\n sub $72,%rsp\n.cfi_adjust_cfa_offset 72\n call abort@plt\n"
        ".cfi_endproc\n.size before,.-before\n"
        ".globl faults_at_once\n.type faults_at_once,@function\n"
        "faults_at_once:\n.cfi_startproc\n ud2\n ret\n.cfi_endproc\n"
        ".size faults_at_once,.-faults_at_once\n");
#elif defined __i386__
__asm__(".text\n.globl faults_at_once\n.type faults_at_once,@function\n"
        "faults_at_once:\n.cfi_startproc\n ud2\n ret\n.cfi_endproc\n"
        ".size faults_at_once,.-faults_at_once\n");
#elif defined __aarch64__
__asm__(".text\n.globl faults_at_once\n.type faults_at_once,%function\n"
        "faults_at_once:\n.cfi_startproc\n udf #0\n ret\n.cfi_endproc\n"
        ".size faults_at_once,.-faults_at_once\n");
#elif defined __riscv
__asm__(".text\n.globl faults_at_once\n.type faults_at_once,@function\n"
        "faults_at_once:\n.cfi_startproc\n unimp\n ret\n.cfi_endproc\n"
        ".size faults_at_once,.-faults_at_once\n");
#else
__asm__(".text\n.globl faults_at_once\n.type faults_at_once,%function\n.arm\n"
        "faults_at_once:\n.fnstart\n.cfi_startproc\n udf #0\n bx lr\n.cfi_endproc\n.fnend\n"
        ".size faults_at_once,.-faults_at_once\n");
#endif

static NOINLINE void calls_it(void) {
    faults_at_once();
    KEEP;
}

/* Calls to where no code is. */

static NOINLINE void calls(void (*function)(void)) {
    function();
    KEEP;
}

/* Frames that find their caller by another register than the stack pointer. */

typedef float wide __attribute__((vector_size(64)));

static NOINLINE void aligned(int size) {
    volatile wide local = {1, 2, 3};
    char *room = alloca(size);
    memset(room, 7, size);
    sink = room[size / 2] + (int)local[1];
    write_to_null();
    KEEP;
}

static NOINLINE void much_on_the_stack(void) {
    volatile char local[20000];
    memset((char *)local, 3, sizeof local);
    write_to_null();
    sink = local[77];
}

static NOINLINE int sum(int depth) {
    volatile int local = depth;
    if (depth == 0)
        write_to_null();
    return depth == 0 ? local : sum(depth - 1) + local;
}

/* Threads. */

static pthread_barrier_t all_wait;

static NOINLINE void waits(void) {
    pthread_barrier_wait(&all_wait);
    for (;;)
        pause();
}

static void *runs(void *unused) {
    waits();
    return unused;
}

static NOINLINE void among_threads(void) {
    enum { COUNT = 4 };
    pthread_barrier_init(&all_wait, NULL, COUNT + 1);
    for (int i = 0; i < COUNT; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, runs, NULL);
    }
    pthread_barrier_wait(&all_wait);
    write_to_null();
    KEEP;
}

static int compare(const void *left, const void *right) {
    if (*(const int *)left == 3 || *(const int *)right == 3)
        write_to_null();
    return *(const int *)left - *(const int *)right;
}

static NOINLINE void from_the_library(void) {
    int numbers[] = {5, 3, 1, 4};
    qsort(numbers, 4, sizeof *numbers, compare);
    sink = numbers[0];
}

NOINLINE void middle(const char *how) {
    static char data[64];
    if (!strcmp(how, "plain"))
        write_to_null();
    else if (!strcmp(how, "handled"))
        install(0), write_to_null();
    else if (!strcmp(how, "handled-info"))
        install(SA_SIGINFO), write_to_null();
    else if (!strcmp(how, "handled-elsewhere"))
        on_stack_of_its_own(), install(SA_ONSTACK), write_to_null();
    else if (!strcmp(how, "handled-at-once"))
        install(0), calls_it();
    else if (!strcmp(how, "handled-null-call"))
        install(0), calls(NULL);
    else if (!strcmp(how, "nested"))
        nested_signals();
    else if (!strcmp(how, "no-return"))
        ends_with_a_call();
    else if (!strcmp(how, "at-once"))
        calls_it();
    else if (!strcmp(how, "null-call"))
        calls(NULL);
    else if (!strcmp(how, "wild-call"))
        calls((void (*)(void))(long)0x12345678);
    else if (!strcmp(how, "data-call"))
        calls((void (*)(void))data);
    else if (!strcmp(how, "aligned"))
        aligned(300);
    else if (!strcmp(how, "much"))
        much_on_the_stack();
    else if (!strcmp(how, "recursion"))
        sink = sum(30);
    else if (!strcmp(how, "threads"))
        among_threads();
    else if (!strcmp(how, "library"))
        from_the_library();
    else if (!strcmp(how, "abort"))
        abort();
    KEEP;
}

NOINLINE void outer(const char *how) {
    middle(how);
    KEEP;
}

int main(int count, char **arguments) {
    outer(count > 1 ? arguments[1] : "plain");
    return sink;
}
