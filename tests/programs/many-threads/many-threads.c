/* many-threads: so many threads in calls of different depth, a heap of so many megabytes, and a
 * null pointer read in the main thread. Says so before it dies.
 *
 *   many-threads THREADS MEGABYTES
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
    int number;
    char *name;
};

static pthread_barrier_t all_waiting;

static int descend(struct job *job, const char *caller, int left)
{
    char here[64];
    snprintf(here, sizeof here, "%.40s.%d", caller, left);
    if (left == 0) {
        pthread_barrier_wait(&all_waiting);
        for (;;)
            pause();
    }
    return descend(job, here, left - 1) + here[0];
}

static void *work(void *argument)
{
    struct job *job = argument;
    descend(job, job->name, 2 + job->number % 13);
    return NULL;
}

static struct job *new_job(int number)
{
    struct job *job = malloc(sizeof *job);
    job->number = number;
    job->name = malloc(32);
    snprintf(job->name, 32, "worker %d", number);
    return job;
}

static int finish(struct job *job, const char *reason)
{
    volatile int *result = NULL;
    return *result + job->number + reason[0];
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 4;
    size_t heap = (size_t)(count > 2 ? atoi(arguments[2]) : 1) << 20;
    unsigned long *cells = malloc(heap);
    unsigned long state = 1;
    for (size_t at = 0; at < heap / sizeof *cells; at++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        /* Every other page can be compressed. */
        cells[at] = at / 512 % 2 ? state : at;
    }
    pthread_barrier_init(&all_waiting, NULL, threads + 1);
    for (int number = 0; number < threads; number++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work, new_job(number));
    }
    pthread_barrier_wait(&all_waiting);
    puts("dies");
    fflush(stdout);
    struct job *last = new_job(threads);
    return finish(last, last->name) + (int)cells[0];
}
