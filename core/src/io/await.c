/* Waiting, and reading for all.
 *
 * A link has one leader at most: the run that reads it. A run leads only while it awaits, and while it awaits it polls what it leads, so a lead never
 * lies with somebody who does not read:
 *
 *     take part    for each link: flush; read it (lead) where nobody does, else be among its followers
 *     wait         for bytes on what is led, for room on what could not be written, for the wake
 *     leave        put each lead down; where followers remain without a leader, wake one: it takes part anew, and leads
 *
 * Whoever leaves without having led passes such a wake on in the same way, so none is lost by a deadline or a signal.
 * A wake may come for nothing; then the op is asked once too often, which does no harm. */
#define _GNU_SOURCE /* ppoll */

#include "run_internal.h"

#include "base/alloc.h"
#include "clock.h"
#include "engine/waiter.h"

#include <errno.h>

enum { WAKES_AT_ONCE = 16, PAUSE_WITHOUT_MEMORY_MS = 1 };

/* ---- the wake --------------------------------------------------------------------------------------------------- */

void coffer__run_wake(void *data) {
    coffer__wake_up(&((coffer__run *)data)->wake);
}

static bool is_woken(coffer__run *run) {
    return coffer__wake_is_up(&run->wake);
}

/* After a wait: where a test has the clock that was all of the slice, for time may not have passed. */
static void look_at_clock(coffer__run *run) {
    run->now_us = coffer__clock_us();
    if (coffer__clock_is_moved()) {
        run->limits.slice_us = 0;
    }
}

void coffer__run_sleep(coffer__run *run, uint64_t until_us) {
    coffer__wake_sleep(&run->wake, until_us);
    look_at_clock(run);
}

/* Under the link's mutex: takes those whose calls have ended, but for the run itself, which is marked as woken. */
static size_t collect(coffer__link *link, coffer__run *own, coffer_waiter *others[WAKES_AT_ONCE]) {
    coffer_waiter *waiter;
    size_t count = 0;
    if (coffer_conn_status(link->conn) != COFFER_OK) {
        atomic_store(&link->broken, true);
    }
    while (count < WAKES_AT_ONCE && (waiter = coffer_conn_pop_ready(link->conn)) != NULL) {
        if (coffer_waiter_data(waiter) != own) {
            others[count++] = waiter;
            continue;
        }
        coffer__wake_note(&own->wake);
        coffer_waiter_free(waiter);
    }
    return count;
}

/* Without it. */
static void wake_all(coffer_waiter *waiters[], size_t count) {
    for (size_t i = 0; i < count; i++) {
        coffer__run_wake(coffer_waiter_data(waiters[i]));
        coffer_waiter_free(waiters[i]);
    }
}

/* Under the mutex, which is free afterwards. `more`: somebody else to be woken; may be NULL. */
static void tell(coffer__link *link, coffer__run *own, coffer_waiter *more) {
    coffer_waiter *others[WAKES_AT_ONCE];
    size_t count = collect(link, own, others);
    coffer__link_unlock(link);
    wake_all(others, count);
    while (count == WAKES_AT_ONCE) {
        coffer__link_lock(link);
        count = collect(link, own, others);
        coffer__link_unlock(link);
        wake_all(others, count);
    }
    if (more != NULL) {
        wake_all(&more, 1);
    }
}

void coffer__run_lock(coffer__run *run, coffer__link *link) {
    if (run->locked != link) {
        coffer__run_unlock(run);
        coffer__link_lock(link);
        run->locked = link;
    }
}

void coffer__run_unlock(coffer__run *run) {
    if (run->locked != NULL) {
        tell(run->locked, run, NULL);
        run->locked = NULL;
    }
}

/* ---- writing for several at once

 * A write costs as much as all the rest of a call, and callers whose replies came together ask again together. So when several were woken, what is put
 * in next is held back until the last of them has put in his, who writes for all. The leader writes when a time has passed in which they could have
 * come. Where they did not, the link is in other use, and it is tried less often. All under the link's mutex. */

enum { WOKEN_AT_LEAST = 3, GATHER_US = 20, GATHER_EACH_US = 40, MISSED_AT_MOST = 10 };

static void begin_gather(coffer__gather *gather, size_t woken_count, uint64_t now_us) {
    if (gather->until_us != 0) {
        gather->awaited_count += woken_count;
        gather->woken_count += woken_count;
    } else if (woken_count >= WOKEN_AT_LEAST && gather->skip == 0) {
        gather->awaited_count = gather->woken_count = woken_count;
        gather->until_us = now_us + GATHER_US + GATHER_EACH_US * woken_count;
    } else if (woken_count >= WOKEN_AT_LEAST) {
        gather->skip--;
    }
}

static void end_gather(coffer__gather *gather) {
    if (gather->until_us != 0) {
        bool missed = gather->awaited_count * 2 > gather->woken_count;
        gather->missed = !missed ? 0 : gather->missed < MISSED_AT_MOST ? gather->missed + 1 : MISSED_AT_MOST;
        gather->skip = (1u << gather->missed) - 1;
        gather->until_us = 0;
    }
}

/* Somebody has put in what he wants. */
static void count_in(coffer__gather *gather) {
    if (gather->until_us != 0 && --gather->awaited_count == 0) {
        end_gather(gather);
    }
}

/* ---- taking part ------------------------------------------------------------------------------------------------ */

static void follow(coffer__link *link, coffer__hold *hold) {
    hold->follows = true;
    hold->next_follower = link->followers;
    link->followers = hold;
}

static void unfollow(coffer__link *link, coffer__hold *hold) {
    coffer__hold **at = &link->followers;
    while (*at != hold) {
        at = &(*at)->next_follower;
    }
    *at = hold->next_follower;
    hold->follows = false;
}

/* What is to be written is written, if it is not held back. Under the mutex. */
static void write_out(coffer__run *run, coffer__hold *hold) {
    if (hold->link->gather.until_us != 0) {
        hold->writes = false;
        return;
    }
    coffer__link_flush(hold->link, run);
    hold->writes = coffer_conn_output(hold->link->conn).len > 0 || coffer__stream_has_unsent(&hold->link->stream);
}

/* What falls to the leader, from time to time. Under the mutex. */
static void look_after(coffer__run *run, coffer__hold *hold) {
    coffer__link *link = hold->link;
    if (run->now_us >= link->gather.until_us) {
        end_gather(&link->gather);
    }
    write_out(run, hold);
    hold->due_us = coffer__link_heed_stall(link, run->now_us);
    if (link->gather.until_us != 0) {
        hold->due_us = coffer__clock_earlier(hold->due_us, link->gather.until_us);
    }
}

static void take_part(coffer__run *run, coffer__hold *hold) {
    coffer__link *link = hold->link;
    coffer__run_lock(run, link);
    if (hold->has_put) {
        count_in(&link->gather);
        hold->has_put = false;
    }
    if (coffer_conn_status(link->conn) == COFFER_OK && link->leader == NULL) {
        link->leader = run;
        hold->leads = true;
        look_after(run, hold);
    } else if (coffer_conn_status(link->conn) == COFFER_OK) {
        write_out(run, hold);
        follow(link, hold);
    }
    coffer__run_unlock(run);
}

/* Under the mutex. Who is to take part anew, because nobody reads now; NULL where that is not needed. The last to come is the one: any will do, and
 * its memory is warm. */
static coffer_waiter *put_down(coffer__hold *hold) {
    coffer__link *link = hold->link;
    if (hold->follows) {
        unfollow(link, hold);
    }
    if (hold->leads) {
        link->leader = NULL;
        hold->leads = false;
    }
    return link->leader == NULL && link->followers != NULL ? coffer__waiter_ref(link->followers->run->waiter) : NULL;
}

/* What a leader does when it has read, or waited long enough: `got` as of coffer__stream_receive. When its own call has ended, the lead is put down in
 * the same breath. */
static void take_in(coffer__run *run, coffer__hold *hold, const char *buffer, ssize_t got) {
    coffer__link *link = hold->link;
    bool again = true;
    coffer__link_lock(link);
    coffer__link_came(link, buffer, got, run->now_us);
    while (again) {
        coffer_waiter *others[WAKES_AT_ONCE], *next = NULL;
        bool was_woken = is_woken(run);
        size_t count = collect(link, run, others);
        begin_gather(&link->gather, count + (is_woken(run) && !was_woken), run->now_us);
        if (is_woken(run) && count < WAKES_AT_ONCE) {
            next = put_down(hold);
        } else {
            look_after(run, hold);
        }
        again = count == WAKES_AT_ONCE || (coffer_conn_status(link->conn) != COFFER_OK && !atomic_load(&link->broken));
        coffer__link_unlock(link);
        wake_all(others, count);
        wake_all(&next, next == NULL ? 0 : 1);
        if (again) {
            coffer__link_lock(link);
        }
    }
}

static void leave(coffer__run *run, coffer__hold *hold) {
    if (hold->leads || hold->follows) {
        coffer__link_lock(hold->link);
        if (hold->leads) { /* what it holds back itself must not lie there for the next to come */
            end_gather(&hold->link->gather);
            write_out(run, hold);
        }
        tell(hold->link, run, put_down(hold));
    }
}

/* ---- one link, and nothing else to wait for --------------------------------------------------------------------- */

/* Reads until a call of its own has ended; or until something cannot be written. */
static void read_alone(coffer__run *run, coffer__hold *hold, char *buffer, uint64_t until_us) {
    while (hold->leads && !hold->writes && !is_woken(run) && run->now_us < until_us && run->limits.slice_us > 0) {
        uint64_t first_us = coffer__clock_earlier(until_us, hold->due_us);
        ssize_t got = coffer__stream_receive(&hold->link->stream, buffer, COFFER__READ_BYTES, run->now_us, first_us);
        look_at_clock(run);
        take_in(run, hold, buffer, got);
    }
}

/* ---- several ---------------------------------------------------------------------------------------------------- */

/* What it reads or has to write itself, as long as the link is well. */
static bool takes_part(const coffer__hold *hold) {
    return (hold->leads || (hold->follows && hold->writes)) && !atomic_load(&hold->link->broken);
}

static bool polls_reserve(coffer__run *run, size_t count) {
    if (count <= run->poll_cap) {
        return true;
    }
    struct pollfd *polls = (struct pollfd *)coffer__resize(run->polls, count * sizeof *polls);
    if (polls == NULL) {
        return false;
    }
    run->polls = polls;
    run->poll_cap = count;
    return true;
}

/* What to poll: the wake first, then the links in the order of the holds. False where memory or descriptors are short. */
static bool fill_polls(coffer__run *run, bool *pending) {
    size_t holds = 1;
    run->poll_count = 0;
    *pending = false;
    for (const coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        holds++;
    }
    if (!coffer__wake_has_fd(&run->wake) || !polls_reserve(run, holds)) {
        return false;
    }
    run->polls[run->poll_count++] = (struct pollfd){.fd = run->wake.fd, .events = POLLIN};
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        if (takes_part(hold)) {
            short events = (short)((hold->leads ? POLLIN : 0) | (hold->writes ? POLLOUT : 0));
            *pending = *pending || (hold->leads && coffer__stream_has_pending(&hold->link->stream));
            run->polls[run->poll_count++] = (struct pollfd){.fd = coffer__stream_fd(&hold->link->stream), .events = events};
        }
    }
    return true;
}

static void serve(coffer__run *run, coffer__hold *hold, short events, char *buffer) {
    coffer__link *link = hold->link;
    if (!hold->leads) {
        coffer__link_lock(link);
        write_out(run, hold);
        tell(link, run, NULL);
        return;
    }
    ssize_t got = (events & ~POLLOUT) == 0 ? -EAGAIN : coffer__stream_receive_now(&link->stream, buffer, COFFER__READ_BYTES);
    take_in(run, hold, buffer, got);
}

/* In the order in which fill_polls went; a link that breaks meanwhile is looked for in the rest, for it may be another's doing. */
static void serve_all(coffer__run *run, char *buffer) {
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        int fd = takes_part(hold) ? coffer__stream_fd(&hold->link->stream) : -1;
        for (size_t at = 1; fd >= 0 && at < run->poll_count; at++) {
            bool pending = hold->leads && coffer__stream_has_pending(&hold->link->stream);
            bool due = hold->leads && run->now_us >= hold->due_us;
            if (run->polls[at].fd == fd && (run->polls[at].revents != 0 || pending || due)) {
                serve(run, hold, (short)(run->polls[at].revents | (pending ? POLLIN : 0)), buffer);
                break;
            }
        }
    }
}

/* One poll of all that is led or still to be written. */
static bool poll_all(coffer__run *run, char *buffer, uint64_t until_us) {
    bool pending;
    for (const coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        until_us = hold->leads ? coffer__clock_earlier(until_us, hold->due_us) : until_us;
    }
    if (!fill_polls(run, &pending)) {
        return false;
    }
    if (coffer__wake_begin_poll(&run->wake)) {
        const struct timespec left = coffer__clock_left(pending ? 0 : until_us);
        ppoll(run->polls, (nfds_t)run->poll_count, &left, NULL);
    }
    coffer__wake_end_poll(&run->wake);
    look_at_clock(run);
    serve_all(run, buffer);
    return true;
}

/* ---- the outside ------------------------------------------------------------------------------------------------ */

static bool is_single(const coffer__run *run) {
    for (const coffer__hold *hold = run->hold.next; hold != NULL; hold = hold->next) {
        if (hold->stage == COFFER__STAGE_OPEN) {
            return false;
        }
    }
    return run->hold.stage == COFFER__STAGE_OPEN;
}

/* Whether there is anything to read or write itself, or just the wake to wait for. */
static bool is_busy(const coffer__run *run) {
    const coffer__hold *hold = &run->hold;
    while (hold != NULL && !takes_part(hold)) {
        hold = hold->next;
    }
    return hold != NULL;
}

static void wait_some(coffer__run *run, uint64_t until_us, bool alone) {
    char *buffer = coffer__thread_buffer();
    if (!is_busy(run)) {
        coffer__run_sleep(run, until_us);
    } else if (buffer != NULL && alone && run->hold.leads && !run->hold.writes) {
        read_alone(run, &run->hold, buffer, until_us);
    } else if (buffer == NULL || !poll_all(run, buffer, until_us)) { /* later there may be memory, or a descriptor */
        coffer__run_sleep(run, coffer__clock_earlier(until_us, coffer__clock_add_ms(run->now_us, PAUSE_WITHOUT_MEMORY_MS)));
    }
}

void coffer__run_await(coffer__run *run, uint64_t until_us, bool alone) {
    alone = alone && is_single(run);
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        if (hold->stage == COFFER__STAGE_OPEN) {
            take_part(run, hold);
        }
    }
    while (!is_woken(run) && run->now_us < until_us && run->limits.slice_us > 0) {
        wait_some(run, until_us, alone);
    }
    for (coffer__hold *hold = &run->hold; hold != NULL; hold = hold->next) {
        leave(run, hold);
    }
}
