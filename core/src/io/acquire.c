/* A link for a call: a stage each time something may have to be waited for, so that a slice may end anywhere. */
#include "run_internal.h"

#include "base/lock.h"
#include "base/log.h"
#include "clock.h"
#include "policy/options_internal.h"

#include <stdio.h>

static coffer_status failed(coffer__run *run, coffer_status why) {
    run->stage = COFFER__STAGE_NONE;
    run->link = NULL;
    return why;
}

static coffer_status begin_connecting(coffer__run *run) {
    coffer_status status = coffer__pool_make(run->pool, run->endpoint, &run->link);
    if (status != COFFER_OK) {
        coffer__pool_give_up_slot(run->pool, NULL);
        return failed(run, status);
    }
    run->stage = COFFER__STAGE_CONNECTING;
    return COFFER_OK;
}

/* An idle link may have been closed, or written to, by the server meanwhile. */
static coffer_status use_grant(coffer__run *run, coffer__grant grant) {
    while (grant == COFFER__GRANT_LINK) {
        if (coffer__link_is_usable(run->ticket.link)) {
            run->link = run->ticket.link;
            run->stage = COFFER__STAGE_OPEN;
            return COFFER_OK;
        }
        grant = coffer__pool_replace(run->pool, &run->ticket, run->ticket.link, run->now_us / COFFER__US_PER_MS);
    }
    return begin_connecting(run);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static coffer_status take(coffer__run *run) {
    coffer__grant grant = coffer__pool_take(run->pool, &run->ticket, run->now_us / COFFER__US_PER_MS);
    if (grant != COFFER__GRANT_NONE) {
        return use_grant(run, grant);
    }
    run->acquire_until_us = coffer__clock_add_ms(run->now_us, coffer__pool_acquire_ms(run->pool));
    run->stage = COFFER__STAGE_QUEUED;
    return COFFER_OK;
}

static coffer_status wait_for_grant(coffer__run *run) {
    uint64_t end_us = earlier(run->acquire_until_us, run->limits.deadline_us);
    coffer__grant grant = coffer__pool_wait(run->pool, &run->ticket, earlier(end_us, run->limits.slice_us));
    run->now_us = coffer__clock_us();
    if (grant != COFFER__GRANT_NONE) {
        return use_grant(run, grant);
    }
    if (run->now_us < end_us) {
        return COFFER_AGAIN;
    }
    coffer__pool_leave(run->pool, &run->ticket);
    coffer__pool_count_timeout(run->pool);
    snprintf(run->detail, sizeof run->detail, "all %zu are in use", coffer__pool_max(run->pool));
    return failed(run, COFFER_POOL_TIMEOUT);
}

static coffer_status connect_link(coffer__run *run) {
    coffer_status status = coffer__link_connect(run->link, &run->limits, run->detail);
    run->now_us = coffer__clock_us();
    if (status == COFFER_OK) {
        coffer__pool_opened(run->pool, run->link);
        run->stage = COFFER__STAGE_OPEN;
    } else if (status != COFFER_AGAIN) {
        coffer__log(COFFER_LOG_CONNECT_FAILED, status, "%s", run->detail);
        coffer__pool_give_up_slot(run->pool, run->link);
        return failed(run, status);
    }
    return status;
}

coffer_status coffer__run_acquire(coffer__run *run) {
    static coffer_status (*const stages[COFFER__STAGE_COUNT])(coffer__run *) = {
        [COFFER__STAGE_NONE] = take,
        [COFFER__STAGE_QUEUED] = wait_for_grant,
        [COFFER__STAGE_CONNECTING] = connect_link,
    };
    coffer_status status = COFFER_OK;
    while (run->stage != COFFER__STAGE_OPEN && status == COFFER_OK) {
        status = stages[run->stage](run);
    }
    return status;
}

void coffer__run_let_go(coffer__run *run) {
    switch (run->stage) {
    case COFFER__STAGE_QUEUED:
        coffer__pool_leave(run->pool, &run->ticket);
        break;
    case COFFER__STAGE_CONNECTING:
        coffer__pool_give_up_slot(run->pool, run->link);
        break;
    case COFFER__STAGE_OPEN:
        coffer__pool_give(run->pool, run->link, run->now_us / COFFER__US_PER_MS);
        break;
    case COFFER__STAGE_NONE:
    case COFFER__STAGE_COUNT:
        break;
    }
    run->stage = COFFER__STAGE_NONE;
    run->link = NULL;
}
