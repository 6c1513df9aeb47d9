/* shop-api: two worker threads answer requests; the second one gets a request that kills the
 * process by a null dereference in http.c while the other threads wait. */
#define _GNU_SOURCE
#include "http.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A second build of the image has another code layout, as the next release would. */
#ifdef NEXT_RELEASE
__attribute__((noinline)) int added_feature(int number) {
    volatile int sum = number;
    for (int i = 0; i < number; i++) {
        sum += i * number;
    }
    return sum;
}
#endif

static const struct header with_host[] = {{"Accept", "*/*"}, {"Host", "shop.example:443"}};
static const struct header without_host[] = {{"Accept", "*/*"}, {"User-Agent", "probe/2"}};

static __attribute__((noinline)) int handle_request(const struct request *request) {
    printf("shop-api: %s\n", request->path);
    fflush(stdout);
    int length = parse_host(request);
    return length + (int)strlen(request->path);
}

static void *serve_connections(void *argument) {
    struct request good = {"/cart", with_host, 2};
    struct request bad = {"/health", without_host, 2};
    int served = handle_request(&good);
    if (argument != NULL) {
        served += handle_request(&bad);
    }
    for (;;) {
        sleep(60 + (unsigned)served);
    }
    return NULL;
}

int main(void) {
    pthread_t idle, unlucky;
#ifdef NEXT_RELEASE
    printf("shop-api: warmed up with %d\n", added_feature(7));
#endif
    pthread_create(&idle, NULL, serve_connections, NULL);
    pthread_setname_np(idle, "worker-1");
    usleep(20000);
    pthread_create(&unlucky, NULL, serve_connections, &idle);
    pthread_setname_np(unlucky, "worker-2");
    pthread_join(unlucky, NULL);
    return 0;
}
