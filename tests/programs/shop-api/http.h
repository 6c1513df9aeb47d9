/* Requests as shop-api sees them. */
#ifndef HTTP_H
#define HTTP_H

struct header {
    const char *name;
    const char *value;
};

struct request {
    const char *path;
    const struct header *headers;
    int header_count;
};

/* Length of the host part of the Host header. */
int parse_host(const struct request *request);

#endif
