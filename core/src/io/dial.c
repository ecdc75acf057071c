#include "dial.h"

#include "base/alloc.h"
#include "clock.h"
#include "engine/access.h"
#include "resolve.h"
#include "secure.h"
#include "tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/un.h>

enum { UNIX_RETRY_MS = 2 }; /* a unix socket with a full queue says EAGAIN at once and cannot be waited for */

/* A step: OK: the socket is connected, or go on with dial->step; AGAIN: the slice is over; below 0: failed, `detail` is written. */
typedef coffer_status (*step_fn)(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);

struct coffer__dial {
    step_fn step; /* NULL: connected */
    coffer__resolution *resolution;
    coffer__addresses addresses;
    size_t next;
    uint64_t address_until_us; /* for the present one */
    uint64_t retry_us;
    int error; /* of the one before */
    coffer__login login;
};

static coffer_status login_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status name_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status lookup_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status address_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status attempt_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status retry_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status pending_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status tls_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);
static coffer_status shake_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail);

coffer__dial *coffer__dial_new(void) {
    coffer__dial *dial = (coffer__dial *)coffer__alloc_zero(sizeof *dial);
    if (dial != NULL) {
        dial->step = login_step;
    }
    return dial;
}

void coffer__dial_free(coffer__dial *dial) {
    if (dial != NULL) {
        coffer__resolve_release(dial->resolution);
        coffer__login_wipe(&dial->login);
        coffer__release(dial);
    }
}

coffer_status coffer__dial_go(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char detail[COFFER__DETAIL_CAP]) {
    coffer_status status = COFFER_OK;
    detail[0] = '\0';
    while (dial->step != NULL && status == COFFER_OK) {
        status = dial->step(dial, link, limits, detail);
    }
    return status;
}

const coffer__login *coffer__dial_login(const coffer__dial *dial) {
    return &dial->login;
}

/* The time has passed: AGAIN where it was only the slice's. */
static coffer_status time_passed(const coffer__link *link, const coffer__limits *limits, const char *doing, char *detail) {
    char name[COFFER__NAME_CAP];
    if (coffer__clock_us() < limits->deadline_us) {
        return COFFER_AGAIN;
    }
    snprintf(detail, COFFER__DETAIL_CAP, "%s %s took longer than the deadline allows", doing,
             coffer_endpoint_name(link->endpoint, name, sizeof name));
    return COFFER_TIMEOUT;
}

/* ---- login: first, so that no open connection waits for it --------------------------------------------------------- */

static coffer_status login_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    char why[COFFER__WHY_CAP] = "";
    if (coffer__client_is_sentinel(link->client, link->endpoint)) { /* it has its own, which nobody is asked for */
        dial->step = name_step;
        return COFFER_OK;
    }
    coffer__secure *secure = coffer__secure_of(link->client);
    coffer_status status = coffer__credentials_get(secure == NULL ? NULL : &secure->credentials, link->client, &dial->login, why);
    if (status == COFFER_AGAIN) {
        return time_passed(link, limits, "asking for credentials for", detail);
    }
    if (status == COFFER_CREDENTIALS) {
        snprintf(detail, COFFER__DETAIL_CAP, "%s", why);
    }
    dial->step = name_step;
    return status;
}

/* ---- name ------------------------------------------------------------------------------------------------------- */

static bool unix_address(coffer_slice path, coffer__address *address) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (path.len >= sizeof at.sun_path) {
        return false;
    }
    memcpy(at.sun_path, path.data, path.len);
    memcpy(&address->storage, &at, sizeof at);
    address->len = (socklen_t)sizeof at;
    return true;
}

static coffer_status name_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    const coffer_endpoint *endpoint = link->endpoint;
    (void)limits;
    dial->step = address_step;
    if (endpoint->path.len > 0) {
        dial->addresses.count = 1;
        if (!unix_address(endpoint->path, &dial->addresses.at[0])) {
            snprintf(detail, COFFER__DETAIL_CAP, "the path of a unix socket has at most %zu bytes", sizeof((struct sockaddr_un *)0)->sun_path - 1);
            return COFFER_CONNECT;
        }
        return COFFER_OK;
    }
    if (coffer__resolve_numeric(endpoint->host, endpoint->port, &dial->addresses)) {
        return COFFER_OK;
    }
    dial->step = lookup_step;
    coffer_status status = coffer__resolve_begin(&dial->resolution, endpoint->host, endpoint->port);
    if (status == COFFER_ARG) {
        snprintf(detail, COFFER__DETAIL_CAP, "a host name has at most 255 bytes, and no NUL");
        return COFFER_DNS;
    }
    return status;
}

static coffer_status lookup_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    char name[COFFER__NAME_CAP];
    coffer_status status = coffer__resolve_wait(dial->resolution, coffer__limits_first(limits), &dial->addresses);
    if (status == COFFER_AGAIN) {
        return time_passed(link, limits, "looking up the name of", detail);
    }
    if (status == COFFER_DNS) {
        snprintf(detail, COFFER__DETAIL_CAP, "%s: %s", coffer_endpoint_name(link->endpoint, name, sizeof name),
                 coffer__resolve_message(dial->resolution));
    }
    dial->step = address_step;
    return status;
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

static coffer_status no_address_left(const coffer__dial *dial, const coffer__link *link, char *detail) {
    char name[COFFER__NAME_CAP];
    coffer_endpoint_name(link->endpoint, name, sizeof name);
    if (dial->error == ECONNREFUSED) {
        snprintf(detail, COFFER__DETAIL_CAP, "connection refused by %s", name);
    } else {
        snprintf(detail, COFFER__DETAIL_CAP, "connecting to %s: %s", name, strerror(dial->error));
    }
    return COFFER_CONNECT;
}

static coffer_status address_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    uint64_t now_us = coffer__clock_us();
    size_t left = dial->addresses.count - dial->next;
    if (now_us >= limits->deadline_us) {
        return time_passed(link, limits, "connecting to", detail);
    }
    if (left == 0) {
        return no_address_left(dial, link, detail);
    }
    dial->address_until_us = now_us + (limits->deadline_us - now_us) / left;
    dial->step = attempt_step;
    return COFFER_OK;
}

static void next_address(coffer__dial *dial, coffer__link *link, int error) {
    coffer__stream_close(&link->stream);
    dial->error = error;
    dial->next++;
    dial->step = address_step;
}

static void connected(coffer__dial *dial, const coffer__link *link) {
    dial->step = link->endpoint->tls ? tls_step : NULL;
}

static coffer_status attempt_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    int error = coffer__stream_connect(&link->stream, &dial->addresses.at[dial->next]);
    (void)limits;
    (void)detail;
    if (error == 0) {
        connected(dial, link);
    } else if (error == EINPROGRESS) {
        dial->step = pending_step;
    } else if (error == EAGAIN) {
        dial->retry_us = coffer__clock_add_ms(coffer__clock_us(), UNIX_RETRY_MS);
        dial->step = retry_step;
    } else {
        next_address(dial, link, error);
    }
    return COFFER_OK;
}

static coffer_status retry_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    uint64_t first_us = coffer__limits_first(limits);
    coffer__socket_wait(-1, 0, first_us < dial->retry_us ? first_us : dial->retry_us);
    if (coffer__clock_us() >= first_us) {
        return time_passed(link, limits, "connecting to", detail);
    }
    dial->step = attempt_step;
    return COFFER_OK;
}

static coffer_status pending_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    uint64_t first_us = coffer__limits_first(limits);
    int fd = coffer__stream_fd(&link->stream);
    if (coffer__socket_wait(fd, POLLOUT, first_us < dial->address_until_us ? first_us : dial->address_until_us) == 0) {
        if (coffer__clock_us() < dial->address_until_us || dial->address_until_us >= limits->deadline_us) {
            return time_passed(link, limits, "connecting to", detail);
        }
        next_address(dial, link, ETIMEDOUT);
        return COFFER_OK;
    }
    int error = coffer__socket_error(fd);
    if (error == 0) {
        connected(dial, link);
    } else {
        next_address(dial, link, error);
    }
    return COFFER_OK;
}

/* ---- TLS ---------------------------------------------------------------------------------------------------------- */

/* No other address is tried where TLS fails: that would hide who answered at this one. */
static coffer_status tls_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    coffer__tls_context *context;
    coffer_error error;
    coffer_status status = coffer__secure_tls(link->client, link->endpoint, &context, &error);
    (void)limits;
    if (status != COFFER_OK) {
        snprintf(detail, COFFER__DETAIL_CAP, "%.*s", COFFER__DETAIL_CAP - 1, error.text);
        return status;
    }
    dial->step = shake_step;
    return coffer__tls_new(&link->stream, context, link->endpoint->host);
}

static coffer_status shake_step(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char *detail) {
    char name[COFFER__NAME_CAP];
    coffer_status status = coffer__tls_handshake(&link->stream, coffer__limits_first(limits));
    if (status != COFFER_AGAIN) {
        coffer__tls_context_shook(coffer__secure_of(link->client)->tls, status == COFFER_OK);
    }
    if (status == COFFER_OK) {
        dial->step = NULL;
    } else if (status == COFFER_AGAIN) {
        return time_passed(link, limits, "the TLS handshake with", detail);
    } else {
        const char *words = coffer__stream_failure(&link->stream, -EPROTO, &status);
        snprintf(detail, COFFER__DETAIL_CAP, "%s: %s", coffer_endpoint_name(link->endpoint, name, sizeof name), words);
    }
    return status;
}
