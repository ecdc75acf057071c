/* A share of a link for a call: a stage each time something may have to be waited for, so that a slice may end anywhere. */
#include "run_internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "clock.h"

#include <stdio.h>

coffer__hold *coffer__run_hold(coffer__run *run, const coffer_endpoint *endpoint) {
    coffer__hold *free_one = NULL;
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        if (hold->endpoint == endpoint && hold->pool != NULL) {
            return hold;
        }
        free_one = free_one == NULL && hold->stage == COFFER__STAGE_NONE && hold->postponed_count == 0 ? hold : free_one;
    }
    if (free_one == NULL) {
        free_one = (coffer__hold *)coffer__alloc_zero(sizeof *free_one);
        if (free_one == NULL) {
            return NULL;
        }
        free_one->run = run;
        free_one->ticket.run = run;
        free_one->next = run->hold.next;
        run->hold.next = free_one;
    }
    free_one->endpoint = endpoint;
    free_one->pool = coffer__pools_at(run->pools, endpoint);
    return free_one->pool == NULL ? NULL : free_one;
}

static coffer_status failed(coffer__hold *hold, coffer_status why) {
    hold->stage = COFFER__STAGE_NONE;
    hold->link = NULL;
    return why;
}

static uint64_t now_ms(const coffer__hold *hold) {
    return hold->run->now_us / COFFER__US_PER_MS;
}

static coffer_status use_grant(coffer__hold *hold, coffer__grant grant) {
    hold->link = hold->ticket.link;
    hold->fresh = true;
    hold->stage = COFFER__STAGE_OPEN;
    if (grant == COFFER__GRANT_LINK) {
        return COFFER_OK;
    }
    coffer_status status = coffer__pool_make(hold->pool, &hold->link);
    if (status != COFFER_OK) {
        coffer__pool_give_up_slot(hold->pool, NULL);
        return failed(hold, status);
    }
    hold->ticket.slot = hold->link->slot;
    hold->stage = COFFER__STAGE_CONNECTING;
    return COFFER_OK;
}

static coffer_status take(coffer__hold *hold) {
    coffer__grant grant = coffer__pool_take(hold->pool, &hold->ticket, now_ms(hold));
    if (grant != COFFER__GRANT_NONE) {
        return use_grant(hold, grant);
    }
    hold->acquire_until_us = coffer__clock_add_ms(hold->run->now_us, coffer__pool_acquire_ms(hold->pool));
    hold->stage = COFFER__STAGE_QUEUED;
    return COFFER_OK;
}

/* Meanwhile the run reads what it has a share of already: it may be what those wait for who have what this one wants. */
static coffer_status wait_for_grant(coffer__hold *hold) {
    coffer__run *run = hold->run;
    uint64_t end_us = coffer__clock_earlier(hold->acquire_until_us, run->limits.deadline_us);
    for (;;) {
        coffer__wake_clear(&run->wake);
        coffer__grant grant = coffer__pool_granted(hold->pool, &hold->ticket);
        if (grant != COFFER__GRANT_NONE) {
            return use_grant(hold, grant);
        }
        if (run->now_us >= end_us) {
            break;
        }
        if (run->now_us >= run->limits.slice_us) {
            return COFFER_AGAIN;
        }
        coffer__run_await(run, coffer__clock_earlier(end_us, run->limits.slice_us), false);
    }
    coffer__pool_leave(hold->pool, &hold->ticket, now_ms(hold));
    coffer__pool_count_timeout(hold->pool);
    snprintf(run->detail, sizeof run->detail, "all %zu are in use", coffer__pool_max(hold->pool));
    return failed(hold, COFFER_POOL_TIMEOUT);
}

static coffer_status connect_link(coffer__hold *hold) {
    coffer__run *run = hold->run;
    coffer_status status = coffer__link_connect(hold->link, &run->limits, run->detail);
    run->now_us = coffer__clock_us();
    if (status == COFFER_OK) {
        coffer__pool_opened(hold->pool, hold->link, now_ms(hold));
        hold->fresh = false;
        hold->stage = COFFER__STAGE_OPEN;
    } else if (status != COFFER_AGAIN) {
        coffer__log(COFFER_LOG_CONNECT_FAILED, status, "%s", run->detail);
        coffer__pool_give_up_slot(hold->pool, hold->link);
        return failed(hold, status);
    }
    return status;
}

coffer_status coffer__hold_acquire(coffer__hold *hold) {
    static coffer_status (*const stages[COFFER__STAGE_COUNT])(coffer__hold *) = {
        [COFFER__STAGE_NONE] = take,
        [COFFER__STAGE_QUEUED] = wait_for_grant,
        [COFFER__STAGE_CONNECTING] = connect_link,
    };
    coffer_status status = COFFER_OK;
    while (hold->stage != COFFER__STAGE_OPEN && status == COFFER_OK) {
        status = stages[hold->stage](hold);
    }
    return status;
}

void coffer__hold_replace(coffer__hold *hold) {
    atomic_store(&hold->link->broken, true);
    coffer__hold_let_go(hold);
}

void coffer__hold_let_go(coffer__hold *hold) {
    switch (hold->stage) {
    case COFFER__STAGE_QUEUED:
        coffer__pool_leave(hold->pool, &hold->ticket, now_ms(hold));
        break;
    case COFFER__STAGE_CONNECTING:
        coffer__pool_give_up_slot(hold->pool, hold->link);
        break;
    case COFFER__STAGE_OPEN:
        coffer__pool_give(hold->pool, hold->link, now_ms(hold));
        break;
    case COFFER__STAGE_NONE:
    case COFFER__STAGE_COUNT:
        break;
    }
    hold->stage = COFFER__STAGE_NONE;
    hold->link = NULL;
}
