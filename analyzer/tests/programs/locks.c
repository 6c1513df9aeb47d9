/* Threads that wait: for a lock that another holds, for each other, for a thread, for nothing. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

static pthread_mutex_t orders = PTHREAD_MUTEX_INITIALIZER;
/* On the heap, as those of most objects are. */
static pthread_mutex_t *stock;
static pthread_barrier_t both, all;
static int wakes[2];

/* A thread may name itself without /proc. */
static void call_me(void *name) { pthread_setname_np(pthread_self(), name); }

/* Two locks, each thread in its own order. */
NOINLINE void *sell(void *argument) {
    call_me(argument);
    pthread_mutex_lock(&orders);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(stock);
    return argument;
}

NOINLINE void *restock(void *argument) {
    call_me(argument);
    pthread_mutex_lock(stock);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(&orders);
    return argument;
}

NOINLINE void *hold(void *argument) {
    call_me(argument);
    pthread_mutex_lock(&orders);
    pthread_barrier_wait(&both);
    for (;;)
        pause();
    return argument;
}

NOINLINE void *lock_twice(void *argument) {
    pthread_mutex_lock(&orders);
    pthread_mutex_lock(&orders);
    return argument;
}

NOINLINE void *idle(void *argument) {
    call_me(argument);
    pthread_barrier_wait(&all);
    char byte;
    return read(wakes[0], &byte, 1) == 1 ? argument : 0;
}

static pthread_t start(void *(*work)(void *), const char *name) {
    pthread_t thread;
    pthread_create(&thread, 0, work, (void *)name);
    return thread;
}

/* As a watchdog does, from another process, when every other thread has come to its rest. */
static void kill_soon(int number) {
    pid_t parent = getpid();
    if (fork() == 0) {
        usleep(300000);
        kill(parent, number);
        _exit(0);
    }
}

int main(int count, char **arguments) {
    (void)count;
    const char *what = arguments[1];
    pthread_barrier_init(&both, 0, 2);
    stock = malloc(sizeof *stock);
    pthread_mutex_init(stock, 0);
    if (strcmp(what, "held") == 0) {
        start(hold, "holder");
        pthread_barrier_wait(&both);
        kill_soon(SIGABRT);
        pthread_mutex_lock(&orders);
    }
    if (strcmp(what, "deadlock") == 0 || strcmp(what, "deadlock-quit") == 0) {
        pthread_t seller = start(sell, "seller");
        start(restock, "restocker");
        kill_soon(strcmp(what, "deadlock") == 0 ? SIGABRT : SIGQUIT);
        pthread_join(seller, 0);
    }
    if (strcmp(what, "deadlock-abort") == 0) {
        start(sell, "seller");
        start(restock, "restocker");
        usleep(300000);
        abort();
    }
    if (strcmp(what, "twice") == 0) {
        kill_soon(SIGABRT);
        lock_twice(0);
    }
    if (strcmp(what, "idle") == 0) {
        pthread_barrier_init(&all, 0, 41);
        if (pipe(wakes) != 0)
            return 1;
        for (int at = 0; at < 40; at++)
            start(idle, "idler");
        pthread_barrier_wait(&all);
        usleep(300000);
        abort();
    }
    return 0;
}
