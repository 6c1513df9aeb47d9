/* storm: so many processes with so many megabytes each, all of which die of SIGSEGV at once.
 *
 *   storm PROCESSES MEGABYTES
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(int ready, int start, size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; at < bytes; at += 64)
        memory[at] = (char)(at / 64 * 7 + getpid());
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
    /* All read end of file now. */
    close(start[1]);
    int status, dead = 0;
    while (wait(&status) > 0)
        dead += WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    printf("%d of %d died of SIGSEGV\n", dead, processes);
    return dead == processes ? 0 : 1;
}
