#include "internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "engine/access.h"
#include "policy/options_internal.h"

#include <stdio.h>

enum { PLACE_BITS = 12 };

/* ---- finding, making ------------------------------------------------------------------------------------------------- */

coffer__mux_link *coffer__mux_find(const coffer_mux *mux, uint32_t name) {
    size_t place = name & (COFFER__MUX_LINKS_MOST - 1);
    coffer__mux_link *link = place < mux->link_count ? mux->links[place] : NULL;
    return link != NULL && link->name == name && link->state != COFFER__LINK_FREE ? link : NULL;
}

/* Another one in a new place: there is none that is free. */
static coffer__mux_link *add_place(coffer_mux *mux) {
    if (mux->link_count == COFFER__MUX_LINKS_MOST) {
        return NULL;
    }
    if (mux->link_count == mux->link_cap) {
        size_t cap = mux->link_cap == 0 ? 4 : mux->link_cap * 2;
        coffer__mux_link **larger = (coffer__mux_link **)coffer__resize((void *)mux->links, cap * sizeof *larger);
        if (larger == NULL) {
            return NULL;
        }
        mux->links = larger;
        mux->link_cap = cap;
    }
    coffer__mux_link *link = (coffer__mux_link *)coffer__alloc_zero(sizeof *link);
    if (link != NULL) {
        link->name = (uint32_t)mux->link_count;
        mux->links[mux->link_count++] = link;
    }
    return link;
}

coffer__mux_link *coffer__mux_link_new(coffer_mux *mux, const coffer_endpoint *endpoint) {
    coffer__mux_link *link = NULL;
    for (size_t i = 0; link == NULL && i < mux->link_count; i++) {
        link = mux->links[i]->state == COFFER__LINK_FREE ? mux->links[i] : NULL;
    }
    if (link == NULL && (link = add_place(mux)) == NULL) {
        return NULL;
    }
    link->name += 1u << PLACE_BITS;
    link->state = COFFER__LINK_WANTED;
    link->held = link->listens = false;
    link->standing = NULL;
    link->endpoint = endpoint;
    link->data = NULL;
    link->moved_us = mux->now_us;
    coffer__mux_link_mark(mux, link);
    return link;
}

static size_t load_of(const coffer__mux_link *link) {
    return link->line_count + (link->conn == NULL ? 0 : coffer_conn_due(link->conn));
}

/* The one with least to do; a new one where each has something to do and there may be more. */
static coffer__mux_link *link_to(coffer_mux *mux, const coffer_endpoint *endpoint) {
    coffer__mux_link *best = NULL;
    uint64_t count = 0;
    for (size_t i = 0; i < mux->link_count; i++) {
        coffer__mux_link *link = mux->links[i];
        bool usable = link->endpoint == endpoint && !link->listens && link->state != COFFER__LINK_FREE && link->state != COFFER__LINK_CLOSING;
        count += usable;
        best = usable && (best == NULL || load_of(link) < load_of(best)) ? link : best;
    }
    bool may_add = count < coffer_client_options(mux->client)->loop_connections_count;
    coffer__mux_link *more = best == NULL || (may_add && load_of(best) > 0) ? coffer__mux_link_new(mux, endpoint) : NULL;
    return more == NULL ? best : more;
}

/* ---- orders ---------------------------------------------------------------------------------------------------------- */

void coffer__mux_link_mark(coffer_mux *mux, coffer__mux_link *link) {
    uint32_t place = (link->name & (COFFER__MUX_LINKS_MOST - 1)) + 1;
    if (!link->dirty) {
        link->dirty = true;
        link->next_dirty = 0;
        *(mux->last_dirty == 0 ? &mux->first_dirty : &mux->links[mux->last_dirty - 1]->next_dirty) = place;
        mux->last_dirty = place;
    }
}

bool coffer__mux_link_order(coffer_mux *mux, coffer__mux_link *link, coffer_order *order) {
    *order = (coffer_order){.link = link->name, .link_data = link->data, .endpoint = link->endpoint};
    switch (link->state) {
    case COFFER__LINK_WANTED:
        order->kind = COFFER_ORDER_CONNECT;
        order->wants_login = !coffer__client_is_sentinel(mux->client, link->endpoint);
        link->state = COFFER__LINK_CONNECTING;
        link->moved_us = mux->now_us;
        return true;
    case COFFER__LINK_OPEN:
        order->kind = COFFER_ORDER_WRITE;
        order->data = coffer_conn_output(link->conn);
        if (link->held || order->data.len == 0) {
            return false;
        }
        mux->written = link;
        mux->written_bytes = order->data.len;
        return true;
    case COFFER__LINK_CLOSING:
        order->kind = COFFER_ORDER_CLOSE;
        link->state = COFFER__LINK_FREE;
        return true;
    default:
        return false;
    }
}

/* ---- calls ----------------------------------------------------------------------------------------------------------- */

static bool line_reserve(coffer__mux_link *link) {
    if (link->line_count < link->line_cap) {
        return true;
    }
    size_t cap = link->line_cap == 0 ? 8 : link->line_cap * 2;
    coffer__lined *larger = (coffer__lined *)coffer__resize(link->line, cap * sizeof *larger);
    if (larger == NULL) {
        return false;
    }
    link->line = larger;
    link->line_cap = cap;
    return true;
}

static void send_call(coffer_mux *mux, coffer__mux_link *link, coffer_call *call) {
    link->moved_us = coffer_conn_due(link->conn) == 0 ? mux->now_us : link->moved_us;
    coffer_status status = coffer_call_send(call, link->conn);
    if (status != COFFER_OK) {
        coffer_call_fail(call, status, coffer_conn_message(link->conn));
    }
    coffer__mux_link_mark(mux, link);
}

void coffer__mux_place(coffer_mux *mux, coffer_task *task, const coffer_action *action) {
    coffer__mux_link *link = link_to(mux, action->endpoint);
    task->went_out = true;
    if (link != NULL && link->state == COFFER__LINK_OPEN) {
        send_call(mux, link, action->call);
    } else if (link != NULL && line_reserve(link)) {
        link->line[link->line_count++] = (coffer__lined){action->call, task};
        task->lined_count++;
    } else {
        coffer_call_fail(action->call, COFFER_NO_MEMORY, NULL);
    }
}

void coffer__mux_leave_lines(coffer_mux *mux, coffer_task *task) {
    for (size_t i = 0; task->lined_count > 0 && i < mux->link_count; i++) {
        coffer__mux_link *link = mux->links[i];
        size_t kept = 0;
        for (size_t j = 0; j < link->line_count; j++) {
            if (link->line[j].task != task) {
                link->line[kept++] = link->line[j];
            }
        }
        task->lined_count -= (unsigned)(link->line_count - kept);
        link->line_count = kept;
    }
}

/* Those in the line are sent, or fail where there will be no connection. */
static void serve_line(coffer_mux *mux, coffer__mux_link *link, coffer_status why, const char *detail) {
    for (size_t i = 0; i < link->line_count; i++) {
        link->line[i].task->lined_count--;
        if (why == COFFER_OK) {
            send_call(mux, link, link->line[i].call);
        } else {
            coffer_call_fail(link->line[i].call, why, detail);
        }
        coffer__task_ready(link->line[i].task);
    }
    link->line_count = 0;
}

/* ---- what becomes of it ---------------------------------------------------------------------------------------------- */

static void collect(coffer__mux_link *link) {
    coffer_waiter *waiter;
    while ((waiter = coffer_conn_pop_ready(link->conn)) != NULL) {
        coffer__task_ready(coffer_waiter_data(waiter));
        coffer_waiter_free(waiter);
    }
}

void coffer__mux_link_opened(coffer_mux *mux, coffer__mux_link *link, coffer_status made) {
    if (made != COFFER_OK) {
        coffer__mux_link_end(mux, link, made, NULL, true);
        return;
    }
    mux->made_count++;
    link->state = COFFER__LINK_OPEN;
    link->moved_us = mux->now_us;
    if (link->standing != NULL) {
        coffer__standing_opened(link->standing, link->conn, coffer__mux_ms(mux->now_us));
    } else if (link->listens) {
        coffer__conn_listen(link->conn);
    }
    serve_line(mux, link, COFFER_OK, NULL);
    coffer__mux_link_mark(mux, link);
}

void coffer__mux_link_end(coffer_mux *mux, coffer__mux_link *link, coffer_status why, const char *detail, bool order) {
    if (mux->written == link) {
        mux->written = NULL;
    }
    if (link->conn == NULL && !mux->closed) {
        mux->failed_count++;
        coffer__log(COFFER_LOG_CONNECT_FAILED, why, "%s", detail == NULL ? "" : detail);
    }
    if (link->conn != NULL) {
        coffer_conn_fail(link->conn, why, detail);
        collect(link);
        coffer_conn_free(link->conn);
        link->conn = NULL;
    }
    bool was_wanted = link->state == COFFER__LINK_WANTED; /* nobody was told to connect it */
    link->state = order && !was_wanted ? COFFER__LINK_CLOSING : COFFER__LINK_FREE;
    serve_line(mux, link, why, detail);
    coffer__mux_listener_lost(mux, link);
    if (link->standing != NULL) {
        coffer__standing_ended(link->standing, coffer__mux_ms(mux->now_us));
        link->standing = NULL;
    }
    if (link->state == COFFER__LINK_CLOSING) {
        coffer__mux_link_mark(mux, link);
    }
}

void coffer__mux_link_told(coffer_mux *mux, coffer__mux_link *link) {
    collect(link);
    if (coffer_conn_status(link->conn) != COFFER_OK) {
        coffer__mux_link_end(mux, link, coffer_conn_status(link->conn), NULL, true);
    } else if (coffer_conn_output(link->conn).len > 0) {
        coffer__mux_link_mark(mux, link);
    }
}

/* ---- from time to time ----------------------------------------------------------------------------------------------- */

static bool is_over(const coffer_mux *mux, const coffer__mux_link *link, uint64_t limit_ms) {
    return mux->now_us > link->moved_us && coffer__mux_ms(mux->now_us - link->moved_us) >= limit_ms;
}

static size_t count_to(const coffer_mux *mux, const coffer_endpoint *endpoint) {
    size_t count = 0;
    for (size_t i = 0; i < mux->link_count; i++) {
        count += mux->links[i]->state == COFFER__LINK_OPEN && mux->links[i]->endpoint == endpoint && !mux->links[i]->listens;
    }
    return count;
}

static void end_silent(coffer_mux *mux, coffer__mux_link *link, const char *what) {
    char name[COFFER__MUX_DETAIL_CAP], detail[2 * COFFER__MUX_DETAIL_CAP];
    snprintf(detail, sizeof detail, "%s: %s", coffer_endpoint_name(link->endpoint, name, sizeof name), what);
    coffer__mux_link_end(mux, link, COFFER_TIMEOUT, detail, true);
}

void coffer__mux_link_look_after(coffer_mux *mux, coffer__mux_link *link) {
    const coffer_options *options = coffer_client_options(mux->client);
    if (link->state == COFFER__LINK_CONNECTING && is_over(mux, link, options->timeout_ms)) {
        end_silent(mux, link, "connecting took longer than a call may take");
    } else if (link->state == COFFER__LINK_OPEN && link->standing == NULL && coffer_conn_due(link->conn) > 0 &&
               is_over(mux, link, options->timeout_ms + COFFER__STALL_GRACE_MS)) {
        end_silent(mux, link, "no reply came for as long as a call may take");
    } else if (link->state == COFFER__LINK_OPEN && !link->listens && coffer_conn_idle(link->conn) && is_over(mux, link, options->pool_idle_ms) &&
               count_to(mux, link->endpoint) > options->pool_min_count) {
        coffer__mux_link_end(mux, link, COFFER_CLOSED, "it was unused", true);
    }
}
