/* Dies of a signal that no fault raised, as its argument names it. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

/* A child, whose number is left in a file, sends the signal and the parent waits for it. */
NOINLINE void serve(int number, const char *way) {
    pid_t parent = getpid();
    if (fork() == 0) {
        FILE *file = fopen("sender", "w");
        fprintf(file, "%d", getpid());
        fclose(file);
        if (strcmp(way, "queue") == 0)
            sigqueue(parent, number, (union sigval){.sival_int = 7});
        else if (strcmp(way, "thread") == 0)
            syscall(SYS_tgkill, parent, parent, number);
        else
            kill(parent, number);
        _exit(0);
    }
    for (;;)
        pause();
}

NOINLINE void forbid(unsigned number, unsigned action) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

NOINLINE void rename_it(void) { rename("one", "other"); }
NOINLINE void unknown_call(void) { syscall(4095); }
NOINLINE void stop_here(void) { __asm__ volatile("int3"); }
NOINLINE void raise_trap(void) { raise(SIGTRAP); }

int main(int count, char **arguments) {
    (void)count;
    const char *what = arguments[1];
#define IF(name, action)                                                                           \
    if (strcmp(what, name) == 0) action
    IF("watchdog", serve(SIGABRT, "kill"));
    IF("watchdog-queue", serve(SIGABRT, "queue"));
    IF("watchdog-thread", serve(SIGABRT, "thread"));
    IF("quit", serve(SIGQUIT, "kill"));
    IF("forbidden", (forbid(SYS_rename, SECCOMP_RET_TRAP), rename_it()));
    IF("forbidden-kill", (forbid(SYS_rename, SECCOMP_RET_KILL_PROCESS), rename_it()));
    IF("forbidden-unknown", (forbid(4095, SECCOMP_RET_TRAP), unknown_call()));
    IF("trap", stop_here());
    IF("trap-raised", raise_trap());
    return 0;
}
