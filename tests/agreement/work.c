/* Threads in the many places where a server's threads are, then a crash in an inlined function
 * that libc called back. */
#include <alloca.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

struct item {
    int key;
    const char *text;
};

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t waiting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
static sem_t ready;
static int ends[2];

static void rest(void) {
    sem_post(&ready);
    for (;;)
        pause();
}

static NOINLINE void *sleeper(void *unused) {
    struct timespec long_time = {.tv_sec = 3600};
    sem_post(&ready);
    while (nanosleep(&long_time, &long_time) != 0) {
    }
    return unused;
}

static NOINLINE void *locker(void *unused) {
    sem_post(&ready);
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
    return unused;
}

static NOINLINE void *waiter(void *unused) {
    pthread_mutex_lock(&waiting);
    sem_post(&ready);
    for (;;)
        pthread_cond_wait(&never, &waiting);
    return unused;
}

static NOINLINE void *reader(void *unused) {
    char byte;
    sem_post(&ready);
    if (read(ends[0], &byte, 1) == 1)
        puts("read");
    return unused;
}

static NOINLINE void *gatekeeper(void *unused) {
    sem_post(&ready);
    pthread_rwlock_wrlock(&gate);
    return unused;
}

static NOINLINE int poll_for(struct pollfd *files, int count) {
    return poll(files, (nfds_t)count, -1);
}

static NOINLINE void *poller(void *unused) {
    struct pollfd file = {.fd = ends[0], .events = POLLPRI};
    sem_post(&ready);
    if (poll_for(&file, 1) > 0)
        puts("polled");
    return unused;
}

static int resting_order(const void *left, const void *right) {
    rest();
    return ((const struct item *)left)->key - ((const struct item *)right)->key;
}

static NOINLINE void *sorter(void *unused) {
    struct item items[3] = {{3, "c"}, {1, "a"}, {2, "b"}};
    qsort(items, 3, sizeof items[0], resting_order);
    printf("%s\n", items[0].text);
    return unused;
}

static void on_signal(int number) {
    (void)number;
    rest();
}

static NOINLINE void interrupted(volatile int *counter) {
    raise(SIGUSR1);
    ++*counter;
}

static NOINLINE void *handler(void *unused) {
    volatile int counter = 0;
    stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&other, NULL);
    interrupted(&counter);
    return unused;
}

static NOINLINE unsigned long nested(unsigned depth, volatile unsigned char *above) {
    volatile unsigned char here[32] = {(unsigned char)depth};
    if (depth == 0)
        rest();
    return nested(depth - 1, here) + here[1] + above[0];
}

static NOINLINE void *recursive(void *unused) {
    volatile unsigned char start = 1;
    printf("%lu\n", nested(20, &start));
    return unused;
}

static NOINLINE int sized(size_t size, ...) {
    va_list rest_of;
    va_start(rest_of, size);
    char *space = alloca(size);
    memset(space, va_arg(rest_of, int), size);
    va_end(rest_of);
    rest();
    return space[size / 2];
}

static NOINLINE void *variadic(void *argument) {
    printf("%d\n", sized((size_t)argument, 7, "x", 2.5));
    return NULL;
}

__attribute__((noreturn)) static NOINLINE void stop_here(const char *why) {
    (void)why;
    rest();
    __builtin_unreachable();
}

/* A call that never returns is the last instruction of this function. */
static NOINLINE void *dead_end(void *unused) {
    if (unused == NULL)
        stop_here("the end");
    return unused;
}

static NOINLINE int tail_target(int value) {
    rest();
    return value * 2;
}

static NOINLINE int tail_caller(int value) {
    return tail_target(value + 1);
}

static NOINLINE void *tail(void *unused) {
    printf("%d\n", tail_caller(3));
    return unused;
}

static inline int length_of(const struct item *item) {
    return (int)strlen(item->text) + *(const volatile int *)item->text;
}

static inline int compare(const struct item *left, const struct item *right) {
    return length_of(left) - length_of(right);
}

static int crashing_order(const void *left, const void *right) {
    return compare(left, right);
}

static NOINLINE const struct item *find(const struct item *items, size_t count) {
    struct item key = {.key = 1, .text = "somewhere"};
    return bsearch(&key, items, count, sizeof *items, crashing_order);
}

static NOINLINE int serve(int requests) {
    struct item items[4] = {{1, NULL}, {2, NULL}, {3, NULL}, {4, NULL}};
    const struct item *found = find(items, 4);
    return found == NULL ? requests : found->key;
}

int main(void) {
    void *(*const work[])(void *) = {sleeper, locker,    waiter,   reader,   gatekeeper, poller, sorter,
                                     handler, recursive, variadic, dead_end, tail,       sleeper};
    const size_t count = sizeof work / sizeof work[0];
    signal(SIGUSR1, on_signal);
    sem_init(&ready, 0, 0);
    pthread_mutex_lock(&held);
    pthread_rwlock_rdlock(&gate);
    if (pipe(ends) != 0)
        return 1;
    for (size_t index = 0; index < count; index++) {
        pthread_t thread;
        void *argument = work[index] == variadic ? (void *)100 : NULL;
        if (pthread_create(&thread, NULL, work[index], argument) != 0)
            return 1;
    }
    for (size_t index = 0; index < count; index++)
        sem_wait(&ready);
    usleep(50000);
    return serve((int)count);
}
