/* Reads headers. The bug: a request without a Host header is not expected. */
#include "http.h"

#include <string.h>

#define INLINED static inline __attribute__((always_inline))

static __attribute__((noinline)) const struct header *find_header(const struct request *request, const char *name) {
    for (int i = 0; i < request->header_count; i++) {
        if (strcmp(request->headers[i].name, name) == 0) {
            return &request->headers[i];
        }
    }
    return NULL;
}

INLINED int is_separator(const char *at) {
    return *at == ':' || *at == '/';
}

INLINED int host_length(const struct header *header) {
    const char *end = header->value;
    while (*end != '\0' && !is_separator(end)) {
        end++;
    }
    return (int)(end - header->value);
}

__attribute__((noinline)) int parse_host(const struct request *request) {
    const struct header *header = find_header(request, "Host");
    int length = host_length(header);
    return length > 0 ? length : 1;
}
