/* Dies with mappings that are hard to make modules of; the argument says which. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP __asm__ volatile("" ::: "memory")

static char *volatile nowhere;
volatile long sink;

NOINLINE void write_to_null(void) {
    *nowhere = 1;
    KEEP;
}

/* A copy of this program's file that is mapped to be read, and stays mapped. */
static NOINLINE void read_own_file(void) {
    int file = open("/proc/self/exe", O_RDONLY);
    struct stat facts;
    fstat(file, &facts);
    char *bytes = mmap(NULL, facts.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    sink = bytes[0];
    write_to_null();
    KEEP;
}

/* The dynamic linker's list, cut behind its first entry. */
static NOINLINE void cut_list(void) {
    _r_debug.r_map->l_next = (struct link_map *)0x10;
    write_to_null();
    KEEP;
}

static NOINLINE void many_mappings(long count) {
    for (long i = 0; i < count; i++) {
        int right = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
        if (mmap(NULL, 4096, right, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            exit(3);
    }
    write_to_null();
    KEEP;
}

/* In the kernel's own code: the clock that only the vDSO's caller passes a bad address to. */
static NOINLINE void in_vdso(void) {
    clock_gettime(CLOCK_MONOTONIC, (struct timespec *)8);
    KEEP;
}

static NOINLINE void delete_own_file(void) {
    char path[4096] = {0};
    readlink("/proc/self/exe", path, sizeof path - 1);
    unlink(path);
    write_to_null();
    KEEP;
}

/* Runs itself from memory that never had a name. */
static NOINLINE void from_memory(void) {
    int memory = memfd_create("nameless", MFD_CLOEXEC);
    int file = open("/proc/self/exe", O_RDONLY);
    char buffer[65536];
    for (ssize_t n; (n = read(file, buffer, sizeof buffer)) > 0;)
        if (write(memory, buffer, n) != n)
            exit(4);
    char *arguments[] = {"program", "plain", NULL};
    fexecve(memory, arguments, environ);
    exit(5);
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "plain";
    if (!strcmp(how, "plain"))
        write_to_null();
    else if (!strcmp(how, "twice"))
        read_own_file();
    else if (!strcmp(how, "cut-list"))
        cut_list();
    else if (!strcmp(how, "many"))
        many_mappings(66000);
    else if (!strcmp(how, "vdso"))
        in_vdso();
    else if (!strcmp(how, "deleted"))
        delete_own_file();
    else if (!strcmp(how, "memory"))
        from_memory();
    KEEP;
    return 0;
}
