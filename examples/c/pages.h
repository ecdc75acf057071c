/* What the services of on_libuv.c and on_libev.c say, on any loop: HTTP with one GET for each connection.
 *
 *     GET /42      200 and the page, which the database makes once, however many ask; X-Source says where it came from
 *     GET /no...   404: the database has none, which is remembered too
 */
#ifndef PAGES_H
#define PAGES_H

#include <coffer/mux.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUERY_MS = 50, REQUEST_CAP = 2048 };

typedef struct pages {
    coffer_client *client;
    coffer_namespace *ns;
    unsigned queries_count;
} pages;

static void pages_close(pages *p) {
    coffer_namespace_free(p->ns);
    coffer_client_free(p->client);
}

static bool pages_open(pages *p, const char *url, uint64_t now_ms) {
    coffer_error error = {.text = "no memory"};
    coffer_options *options = coffer_options_new();
    bool good = options != NULL && coffer_options_set(options, "namespace", COFFER_SLICE("pages"), &error) == COFFER_OK &&
                coffer_options_set_url(options, coffer_slice_text(url), &error) == COFFER_OK &&
                coffer_client_new(&p->client, options, (coffer_clock){now_ms, (uint64_t)time(NULL) * 1000}, &error) == COFFER_OK &&
                coffer_namespace_new(&p->ns, p->client, NULL, &error) == COFFER_OK;
    coffer_options_free(options);
    if (!good) {
        fprintf(stderr, "pages: %s\n", error.text);
        pages_close(p);
    }
    return good;
}

/* A socket that listens on a port of the loopback; where is printed. -1: there is none. */
static int pages_door(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&here, bytes) == 0 && listen(fd, SOMAXCONN) == 0 &&
        getsockname(fd, (struct sockaddr *)&here, &bytes) == 0) {
        printf("http://127.0.0.1:%u/\n", (unsigned)ntohs(here.sin_port));
        fflush(stdout);
        return fd;
    }
    perror("pages");
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

/* After a ping: what only a person can mend (a password, TLS) is told at once; a server that is away is not waited for. */
static bool pages_may_begin(coffer_task *ping) {
    coffer_status status = coffer_task_status(ping);
    if (status != COFFER_OK) {
        fprintf(stderr, "pages: %s\n", coffer_task_message(ping));
    }
    coffer_task_free(ping);
    return status == COFFER_OK || coffer_status_is_outage(status);
}

/* The page that a whole request asks for; NULL where it is none, or memory is short. */
static coffer_op *pages_asked(const pages *p, const char *request) {
    char key[256];
    coffer_op *op = NULL;
    if (sscanf(request, "GET /%255[^ ?\r\n]", key) == 1) {
        coffer_op_get_or_load(&op, p->ns, coffer_slice_text(key), NULL);
    }
    return op;
}

/* The database has answered, QUERY_MS after it was asked. */
static void pages_made(pages *p, const char *request, coffer_op *op) {
    char key[256] = "", page[512];
    coffer_write_options absent = COFFER_WRITE_OPTIONS_INIT;
    absent.absent = true;
    sscanf(request, "GET /%255[^ ?\r\n]", key);
    int bytes = snprintf(page, sizeof page, "page %s, query %u\n", key, ++p->queries_count);
    coffer_op_supply(op, coffer_slice_of(page, (size_t)bytes), strncmp(key, "no", 2) == 0 ? &absent : NULL, QUERY_MS);
}

/* The answer to who asked, to be freed; `task` is NULL where nothing was understood. NULL where memory is short. */
static char *pages_answer(const coffer_task *task, size_t *bytes) {
    const coffer_value *value = task == NULL ? NULL : coffer_op_value(coffer_task_op(task));
    coffer_status status = task == NULL ? COFFER_ARG : coffer_task_status(task);
    bool found = status == COFFER_OK || status == COFFER_STALE;
    bool refused = status == COFFER_ARG || status == COFFER_KEY_INVALID;
    const char *line = found ? "200 OK" : status == COFFER_MISS ? "404 Not Found" : refused ? "400 Bad Request" : "503 Service Unavailable";
    coffer_slice body = found ? value->data : coffer_slice_text(task == NULL || status >= 0 ? line : coffer_task_message(task));
    size_t cap = 256 + body.len;
    char *answer = (char *)malloc(cap);
    if (answer != NULL) {
        int head = snprintf(answer, cap, "HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nX-Source: %s\r\n\r\n", line, body.len,
                            value == NULL ? "none" : coffer_source_name(value->source));
        memcpy(answer + head, body.data, body.len);
        *bytes = (size_t)head + body.len;
    }
    return answer;
}

#endif
