// Twenty bugs in C, each reached by three ways: bugs BUG WAY. Nobody passes a bug without crashing.
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What the compiler may not know.
static volatile long zero;
static void *volatile nothing;
static void *volatile nowhere = (void *)0x5a5a5a5a5a5aL;
static volatile long sink;

struct node { struct node *next; long value; };
struct session { char *name; char *buffer; int open; };

// The bugs.

int parse_header(long n) {
    struct node *header = nothing;
    header->value = n;
    return (int)header->value;
}

int free_list_add(long n) {
    struct node *head = nowhere;
    struct node *added = head->next;
    added->value = n;
    return (int)added->value;
}

int cart_average(long n) { return (int)(n * 100 / zero); }

int checksum(long n) {
    static const unsigned char table[16];
    const unsigned char *at = table;
    long sum = 0;
    for (long i = 0; i < n + 64; i++)
        sum = sum * 31 + at[i * (1L << 30)];
    sink = sum;
    return (int)sum;
}

int session_close(long n) {
    char *name = malloc((size_t)n + 40);
    sink = (long)name;
    free(name);
    free((void *)sink);
    return name == nothing;
}

int render_name(long n) {
    const char *name = nothing;
    sink = (long)strlen(name) + n;
    return (int)sink;
}

int copy_payload(long n) {
    static char payload[4096];
    memcpy(nowhere, payload, (size_t)(n & 7) + 2048);
    return payload[n & 7];
}

int lookup_price(long n) {
    long count = zero;
    assert(n < count && "price");
    return (int)n;
}

int reserve_stock(long n) {
    long left = zero - n;
    assert(left >= 0);
    return (int)left;
}

int check_ledger(long n) {
    if (n > zero)
        abort();
    return (int)n;
}

int walk_tree(long n) {
    volatile char here[256];
    here[n & 255] = 1;
    return walk_tree(n + 1) + here[(n + 1) & 255];
}

int call_plugin(long n) {
    int (*plugin)(long) = (int (*)(long))nothing;
    return plugin(n) + 1;
}

__attribute__((optimize("stack-protector-all"))) int read_line(long n) {
    char line[16];
    char *volatile at = line;
    for (long i = 0; i < 64 + (n & 7); i++)
        at[i] = 'x';
    sink = line[3];
    return (int)sink;
}

int decode_varint(long n) {
    if (n >= zero)
        __builtin_trap();
    return (int)n;
}

static int compare_orders(const void *a, const void *b) {
    const struct node *other = nothing;
    return (int)(*(const long *)a - *(const long *)b + other->value);
}

int sort_orders(long n) {
    long orders[8] = { n, 7, 3, 9, 1, 4, 8, 2 };
    qsort(orders, 8, sizeof *orders, compare_orders);
    return (int)orders[0];
}

static int compare_prices(const void *a, const void *b) {
    const long *rate = nowhere;
    return (int)((*(const long *)a - *(const long *)b) / *rate);
}

int sort_prices(long n) {
    long prices[8] = { n, 7, 3, 9, 1, 4, 8, 2 };
    qsort(prices, 8, sizeof *prices, compare_prices);
    return (int)prices[0];
}

int release_buffer(long n) {
    volatile char *buffer = malloc(40);
    volatile char *next = malloc(40);
    for (long i = -24; i < 96 + (n & 1); i++)
        buffer[i] = 0x41;
    free((void *)buffer);
    free((void *)next);
    return (int)n;
}

static void on_tick(int number) {
    struct session *session = nothing;
    session->open = number;
}

int start_timer(long n) {
    signal(SIGUSR1, on_tick);
    raise(SIGUSR1);
    return (int)n;
}

static void *flush_queue(void *argument) {
    struct session *session = nowhere;
    session->open = (int)(long)argument;
    return session->buffer;
}

int flush_later(long n) {
    pthread_t thread;
    pthread_create(&thread, NULL, flush_queue, (void *)n);
    pthread_join(thread, NULL);
    return (int)n;
}

int write_report(long n) {
    char text[64];
    snprintf(text, sizeof text, "%ld %s %s", n, "total", (char *)nowhere);
    return text[0];
}

// The ways to them.

typedef int bug(long);

static int retry(bug *work, long n) {
    int failed = 0;
    for (int attempt = 0; attempt < 3; attempt++)
        failed += work(n + attempt);
    return failed;
}

#define WAYS(name, direct, twice, again)                                       \
    int direct(long n) { int result = name(n + 1); return result ^ 3; }        \
    int again(long n) { return retry(name, n) + 1; }                           \
    static int twice##_step(long n) { int r = name(n + 5); return r | 1; }     \
    int twice(long n) { sink = n; int r = twice##_step(n * 3); return r + 2; }

WAYS(parse_header, get_page, post_form, replay_log)
WAYS(free_list_add, drop_item, trim_cache, close_pool)
WAYS(cart_average, show_cart, mail_invoice, nightly_stats)
WAYS(checksum, verify_upload, verify_backup, scrub_disk)
WAYS(session_close, log_out, expire_sessions, shut_down)
WAYS(render_name, show_profile, list_members, export_names)
WAYS(copy_payload, send_reply, relay_packet, mirror_port)
WAYS(lookup_price, quote, checkout, reprice_all)
WAYS(reserve_stock, place_order, move_pallet, restock)
WAYS(check_ledger, book_payment, book_refund, audit)
WAYS(walk_tree, find_file, index_files, collect_garbage)
WAYS(call_plugin, filter_image, filter_sound, reload_plugins)
WAYS(read_line, read_config, read_script, read_history)
WAYS(decode_varint, decode_row, decode_key, compact_table)
WAYS(sort_orders, show_orders, pick_orders, archive_orders)
WAYS(sort_prices, show_prices, rank_offers, index_prices)
WAYS(release_buffer, end_frame, end_stream, reset_codec)
WAYS(start_timer, start_game, start_lesson, restart_clock)
WAYS(flush_later, save_draft, save_copy, save_all)
WAYS(write_report, print_day, print_week, print_year)

static bug *const ways[][3] = {
    { get_page, post_form, replay_log },
    { drop_item, trim_cache, close_pool },
    { show_cart, mail_invoice, nightly_stats },
    { verify_upload, verify_backup, scrub_disk },
    { log_out, expire_sessions, shut_down },
    { show_profile, list_members, export_names },
    { send_reply, relay_packet, mirror_port },
    { quote, checkout, reprice_all },
    { place_order, move_pallet, restock },
    { book_payment, book_refund, audit },
    { find_file, index_files, collect_garbage },
    { filter_image, filter_sound, reload_plugins },
    { read_config, read_script, read_history },
    { decode_row, decode_key, compact_table },
    { show_orders, pick_orders, archive_orders },
    { show_prices, rank_offers, index_prices },
    { end_frame, end_stream, reset_codec },
    { start_game, start_lesson, restart_clock },
    { save_draft, save_copy, save_all },
    { print_day, print_week, print_year },
};

int serve_request(bug *work, long n) { int r = work(n); return r + 1; }
int run_job(bug *work, long n) { int r = work(n + 2); return r + 2; }
int on_idle(bug *work, long n) { int r = work(n + 3); return r + 3; }

int main(int argc, char **argv) {
    long which = argc > 1 ? atol(argv[1]) : 0, way = argc > 2 ? atol(argv[2]) : 0;
    if (which < 0 || which >= (long)(sizeof ways / sizeof *ways) || way < 0 || way > 2)
        return 2;
    bug *work = ways[which][way];
    int result = way == 0 ? serve_request(work, way) : way == 1 ? run_job(work, way) : on_idle(work, way);
    printf("nothing happened: %d\n", result);
    return 3;
}
