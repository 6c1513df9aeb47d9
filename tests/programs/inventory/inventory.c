/* inventory: one binary with several bugs, chosen by the first argument. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct item {
    const char *name;
    volatile int pieces;
    struct item *replaces;
};

static __attribute__((noinline)) int average_price(const struct item *item, int cents) {
    int each = cents / item->pieces;
    return each + 1;
}

static __attribute__((noinline)) int count_replaced(struct item *item, volatile int depth) {
    char note[256];
    memset(note, depth, sizeof note);
    int below = item->replaces == NULL ? 0 : count_replaced(item->replaces, depth + 1);
    return below + note[17];
}

static __attribute__((noinline)) int restock(struct item *item, int pieces) {
    item->pieces = pieces;
    int left = item->pieces;
    return left + 1;
}

/* Waits while a test looks at the live process or stops the daemon. */
static __attribute__((noinline)) int wait_for_orders(void) {
    unsigned left = 3600;
    while (left > 0) {
        left = sleep(left);
    }
    return 0;
}

static __attribute__((noinline)) int take_stock(const char *bug) {
    struct item item = {"mug", 0, NULL};
    int result = 1;
    if (strcmp(bug, "divide") == 0) {
        result += average_price(&item, 995);
    } else if (strcmp(bug, "recurse") == 0) {
        item.replaces = &item;
        result += count_replaced(&item, 0);
    } else if (strcmp(bug, "write") == 0) {
        struct item *missing = getenv("NO_SUCH_ITEM") == NULL ? NULL : &item;
        result += restock(missing, 12);
    } else if (strcmp(bug, "wait") == 0) {
        result += wait_for_orders();
    }
    return result;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("inventory: %s\n", argc > 1 ? argv[1] : "nothing to do");
    return take_stock(argc > 1 ? argv[1] : "") == 0;
}
