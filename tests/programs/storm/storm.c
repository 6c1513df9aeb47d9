/* storm: so many processes with so many megabytes each, all of which die of SIGSEGV at once. Half of
 * the pages can be compressed. Says how long it took until the last was reaped.
 *
 *   storm PROCESSES MEGABYTES
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(int ready, int start, size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long *cells = (unsigned long *)memory, state = (unsigned long)getpid();
    for (size_t at = 0; at < bytes / sizeof *cells; at++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        cells[at] = at / 512 % 2 ? state : at;
    }
    char byte = 0;
    if (write(ready, &byte, 1) != 1 || read(start, &byte, 1) != 0)
        _exit(1);
    *(volatile int *)8 = 1;
}

int main(int count, char **arguments)
{
    int processes = count > 1 ? atoi(arguments[1]) : 10;
    size_t bytes = (size_t)(count > 2 ? atoi(arguments[2]) : 1) << 20;
    int ready[2], start[2];
    if (pipe(ready) != 0 || pipe(start) != 0)
        return 1;
    for (int process = 0; process < processes; process++) {
        if (fork() == 0) {
            close(start[1]);
            die(ready[1], start[0], bytes);
        }
    }
    for (int process = 0; process < processes; process++) {
        char byte;
        if (read(ready[0], &byte, 1) != 1)
            return 1;
    }
    struct timespec died, reaped;
    clock_gettime(CLOCK_MONOTONIC, &died);
    /* All read end of file now. */
    close(start[1]);
    int status, dead = 0;
    while (wait(&status) > 0)
        dead += WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    clock_gettime(CLOCK_MONOTONIC, &reaped);
    printf("%d of %d died of SIGSEGV, reaped after %.1f ms\n", dead, processes,
           (double)(reaped.tv_sec - died.tv_sec) * 1e3 +
               (double)(reaped.tv_nsec - died.tv_nsec) / 1e6);
    return dead == processes ? 0 : 1;
}
