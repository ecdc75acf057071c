#include "channel.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/random.h"
#include "conn.h"
#include "near/copies.h"

#include <stdio.h>
#include <unistd.h>

enum { BACK_OFF_MS = 50, BACK_OFF_MOST_MS = 2000, DEAF_MS = 5000 };

_Static_assert((int)COFFER__STANDING_MOST == (int)COFFER__CHANNELS_MOST, "each has a place in the arena");

struct coffer__channels {
    coffer_client *client;
    coffer__coherence *coherence;
    coffer__lead lead;
    uint64_t who; /* for health */
    uint64_t generation; /* of forks */
    uint64_t lead_at_ms; /* when the lead is looked after again */
    uint64_t after_others_ms; /* until then the lead is left to others */
    uint64_t changes, moves; /* of the topology, as seen last */
    bool listed; /* since it leads */
    uint64_t heard_ms; /* when the last PING came back; or it began to lead */
    coffer__buf prefix; /* "prod:" */
    coffer__standing standing[COFFER__STANDING_MOST];
};

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

uint64_t coffer__node_of(const coffer_endpoint *endpoint) {
    static const coffer__hash_key known = {0x636f66666572, 0x6e6f6465}; /* any, and the same in all processes */
    char port[8];
    coffer_slice port_text = coffer_slice_of(port, (size_t)snprintf(port, sizeof port, "%u", (unsigned)endpoint->port));
    bool is_path = endpoint->path.len > 0;
    uint64_t hash = coffer__hash(known, is_path ? endpoint->path : endpoint->host);
    hash = (is_path ? hash : hash ^ coffer__hash((coffer__hash_key){hash, 1}, port_text)) & UINT64_C(0xFFFFFFFFFFFF);
    return hash == 0 ? 1 : hash;
}

int coffer__client_channel_of(const coffer_client *client, const coffer_endpoint *endpoint) {
    bool may = client->copies != NULL && endpoint != NULL && !endpoint->replica;
    return may ? coffer__channel_find(coffer__near_coherence(client->copies), coffer__node_of(endpoint)) : -1;
}

/* ---- what a channel says and hears ------------------------------------------------------------------------------------ */

static coffer_slice topic(void) {
    return COFFER_SLICE("__redis__:invalidate");
}

static void say_id(coffer_conn *conn) {
    const coffer_slice words[] = {COFFER_SLICE("CLIENT"), COFFER_SLICE("ID")};
    (void)coffer__conn_command(conn, COFFER__DUE_HEARING, words, 2);
}

static void say_tracking(coffer_conn *conn) {
    const coffer__standing *standing = (const coffer__standing *)conn->hearer;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)standing->id);
    const coffer_slice words[] = {
        COFFER_SLICE("CLIENT"), COFFER_SLICE("TRACKING"), COFFER_SLICE("ON"),     COFFER_SLICE("REDIRECT"),
        coffer_slice_text(id),  COFFER_SLICE("BCAST"),    COFFER_SLICE("PREFIX"), coffer__buf_slice(&standing->channels->prefix)};
    (void)coffer__conn_command(conn, COFFER__DUE_HEARING, words, sizeof words / sizeof words[0]);
}

static void say_subscribe(coffer_conn *conn) {
    const coffer_slice words[] = {COFFER_SLICE("SUBSCRIBE"), topic()};
    (void)coffer__conn_command(conn, COFFER__DUE_HEARING, words, 2);
}

static bool greet(coffer_conn *conn, unsigned round) {
    static void (*const rounds[])(coffer_conn *) = {say_id, say_tracking, say_subscribe};
    bool more = round < sizeof rounds / sizeof rounds[0];
    if (more) {
        rounds[round](conn);
    }
    return more;
}

/* It does not want to be tracked, or knows no such thing. Not so where it is only busy at the moment, or starting. */
static void refused(coffer_conn *conn, coffer_slice text) {
    coffer__standing *standing = (coffer__standing *)conn->hearer;
    coffer_status status = coffer__word_status(text);
    bool for_good = status == COFFER_NOPERM || status == COFFER_SERVER;
    standing->refused = standing->refused || for_good;
    coffer__handshake_fail_as(conn, for_good ? COFFER_LOG_TRACKING_REFUSED : COFFER_LOG_CONNECTION_LOST, status, text);
}

static void lose_lead(coffer__channels *channels);

static void pinged(coffer__standing *standing, const coffer_conn *conn) {
    coffer__channels *channels = standing->channels;
    uint64_t sent_ms = standing->pinged_ms;
    standing->pinged_ms = 0;
    if (!standing->wanted || standing->number < 0) {
        return;
    }
    if (!coffer__channel_heard(channels->coherence, &channels->lead, (unsigned)standing->number, sent_ms, conn->now_ms)) {
        lose_lead(channels);
        return;
    }
    channels->heard_ms = conn->now_ms;
    standing->hears = true;
    standing->refused = false;
    standing->failures = 0;
    atomic_store_explicit(&channels->coherence->lag_us, (conn->now_ms - sent_ms) * 1000, memory_order_relaxed);
}

static bool is_pong(const coffer__reply *reply) {
    return reply->node_count == 3 && reply->nodes[0].type == COFFER__REPLY_ARRAY &&
           coffer_slice_equal(coffer__reply_text(reply, 1), COFFER_SLICE("pong"));
}

static void replied(coffer_conn *conn, coffer__due_kind kind, const coffer__reply *reply) {
    coffer__standing *standing = (coffer__standing *)conn->hearer;
    const coffer__node *first = &reply->nodes[0];
    if (first->type == COFFER__REPLY_ERROR && kind == COFFER__DUE_HEARING) {
        refused(conn, coffer__reply_text(reply, 0));
    } else if (kind == COFFER__DUE_PING && is_pong(reply)) {
        pinged(standing, conn);
    } else if (kind == COFFER__DUE_PING) {
        coffer_conn_fail(conn, COFFER_PROTO, "a subscriber's PING was not answered as such");
    } else if (first->type == COFFER__REPLY_INTEGER && conn->hearing_rounds == 1) {
        standing->id = first->integer;
    }
}

/* Counted before each goes: a fill that has its token from before is not kept. */
static void drop_named(coffer__channels *channels, const coffer__reply *message) {
    size_t count = message->nodes[3].len;
    for (size_t i = 0; i < count && 4 + i < message->node_count; i++) {
        coffer__near_drop(channels->client->copies, coffer__reply_text(message, 4 + i));
    }
    atomic_fetch_add_explicit(&channels->coherence->invalidations, count, memory_order_relaxed);
}

/* ["message", topic, [key ...]], or nil for the keys: FLUSHALL, FLUSHDB, or a server that was emptied to become a replica. */
static bool heard(coffer_conn *conn, const coffer__reply *message) {
    coffer__channels *channels = ((coffer__standing *)conn->hearer)->channels;
    bool is_message = message->node_count >= 4 && message->nodes[0].type == COFFER__REPLY_ARRAY && message->nodes[0].len == 3 &&
                      coffer_slice_equal(coffer__reply_text(message, 1), COFFER_SLICE("message"));
    if (!is_message) {
        return false;
    }
    if (!coffer_slice_equal(coffer__reply_text(message, 2), topic())) {
        coffer_conn_fail(conn, COFFER_PROTO, "a message of something that was not subscribed to");
    } else if (message->nodes[3].type == COFFER__REPLY_ARRAY) {
        drop_named(channels, message);
    } else {
        coffer__epoch_end(channels->coherence);
        atomic_fetch_add_explicit(&channels->coherence->flushes, 1, memory_order_relaxed);
    }
    return true;
}

/* ---- standing connections --------------------------------------------------------------------------------------------- */

coffer__standing *coffer__channels_at(coffer__channels *channels, size_t index) {
    return channels == NULL || channels->standing[index].channels == NULL ? NULL : &channels->standing[index];
}

bool coffer__channels_lead(const coffer__channels *channels) {
    return channels != NULL && channels->lead.fence != 0;
}

bool coffer__standing_is_due(const coffer__standing *standing, uint64_t now_ms) {
    return standing->wanted && standing->link == NULL && now_ms >= standing->connect_at_ms;
}

void coffer__standing_opened(coffer__standing *standing, coffer_conn *conn, uint64_t now_ms) {
    static const coffer__hearing invalidations = {.greet = greet, .replied = replied, .heard = heard};
    conn->hearing = &invalidations;
    conn->hearer = standing;
    standing->conn = conn;
    standing->hears = false;
    standing->pinged_ms = standing->ping_at_ms = 0;
    standing->until_ms = now_ms + coffer_client_options(standing->channels->client)->timeout_ms;
}

/* A forked child frees its parent's, which goes on there. */
static bool is_ours(const coffer__channels *channels) {
    return channels->generation == coffer__fork_generation();
}

void coffer__standing_ended(coffer__standing *standing, uint64_t now_ms) {
    coffer__channels *channels = standing->channels;
    if (standing->hears && standing->number >= 0 && is_ours(channels)) {
        coffer__channel_lost(channels->coherence, &channels->lead, (unsigned)standing->number);
    }
    uint64_t wait_ms = coffer__random_back_off_ms(standing->failures++, BACK_OFF_MS, BACK_OFF_MOST_MS);
    standing->connect_at_ms = now_ms + (standing->refused ? COFFER__REFUSED_MS : wait_ms);
    standing->conn = NULL;
    standing->link = NULL;
    standing->hears = false;
    if (!standing->wanted) {
        standing->channels = NULL;
    }
}

static void write_ping(coffer__standing *standing, uint64_t now_ms) {
    standing->pinged_ms = now_ms;
    standing->ping_at_ms = now_ms + COFFER__PING_EVERY_MS;
    if (!coffer__conn_ping(standing->conn)) {
        coffer_conn_fail(standing->conn, COFFER_NO_MEMORY, NULL);
    }
}

/* When its conn is to be looked after again. */
static uint64_t look_after(coffer__standing *standing, uint64_t now_ms) {
    coffer_conn *conn = standing->conn;
    if (coffer_conn_status(conn) != COFFER_OK) {
        return now_ms;
    }
    if (!coffer_conn_ready(conn)) {
        if (now_ms >= standing->until_ms) {
            coffer_conn_fail(conn, COFFER_TIMEOUT, "the greeting of a channel took longer than a call may take");
        }
        return standing->until_ms;
    }
    if (standing->pinged_ms == 0 && now_ms >= standing->ping_at_ms) {
        write_ping(standing, now_ms);
    }
    if (standing->pinged_ms != 0 && now_ms - standing->pinged_ms >= COFFER__PING_SILENT_MS) {
        coffer_conn_fail(conn, COFFER_TIMEOUT, "a channel's PING was not answered");
    }
    return standing->pinged_ms != 0 ? standing->pinged_ms + COFFER__PING_SILENT_MS : standing->ping_at_ms;
}

/* ---- leading, following the servers ------------------------------------------------------------------------------------ */

/* Its place in the arena is given back where it is ours; the place here stays as long as the driver has a connection. */
static void let_go(coffer__standing *standing) {
    coffer__channels *channels = standing->channels;
    if (standing->number >= 0) {
        coffer__channel_give_back(channels->coherence, &channels->lead, (unsigned)standing->number);
    }
    standing->number = -1;
    standing->wanted = standing->refused = standing->hears = false;
    if (standing->link == NULL) {
        standing->channels = NULL;
    }
}

static void let_go_all(coffer__channels *channels) {
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = coffer__channels_at(channels, i);
        if (standing != NULL) {
            let_go(standing);
        }
    }
    channels->listed = false;
}

/* It was taken by another one while this one was stopped, or is given up. The places go first: without the lead nothing in the arena is ours to change. */
static void lose_lead(coffer__channels *channels) {
    let_go_all(channels);
    coffer__lead_leave(channels->coherence, &channels->lead);
}

static coffer__standing *place_for(coffer__channels *channels, const coffer_endpoint *endpoint) {
    coffer__standing *unused = NULL;
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = &channels->standing[i];
        if (standing->channels != NULL && standing->wanted && standing->endpoint == endpoint) {
            return standing;
        }
        unused = standing->channels == NULL ? standing : unused;
    }
    return unused;
}

static void stand(coffer__channels *channels, const coffer_endpoint *endpoint) {
    coffer__standing *standing = place_for(channels, endpoint);
    if (standing == NULL || standing->wanted) {
        return;
    }
    uint64_t node = coffer__node_of(endpoint);
    int number = coffer__channel_take(channels->coherence, &channels->lead, node);
    if (number >= 0) {
        *standing = (coffer__standing){.channels = channels, .endpoint = endpoint, .wanted = true, .node = node, .number = number};
    }
}

/* A channel for each that holds keys, and for nobody else. */
static void follow(coffer__channels *channels) {
    const coffer_endpoint *holders[COFFER__STANDING_MOST];
    coffer__topology *topology = channels->client->topology;
    size_t count = 0;
    while (count < COFFER__STANDING_MOST && (holders[count] = coffer__topology_other_holder(topology, holders, count)) != NULL) {
        count++;
    }
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = coffer__channels_at(channels, i);
        if (standing != NULL && standing->wanted && !coffer__endpoint_is_among(standing->endpoint, holders, count)) {
            let_go(standing);
        }
    }
    for (size_t i = 0; i < count; i++) {
        stand(channels, holders[i]);
    }
    channels->listed = true;
}

/* Keys that are another's now: what was copied from whoever held them counts no more. Each process says so for what it has learnt. */
static void heed_topology(coffer__channels *channels) {
    const coffer__topology *topology = channels->client->topology;
    uint64_t changes = coffer__topology_changes(topology), moves = coffer__topology_moves(topology);
    bool is_new = !channels->listed || changes != channels->changes || !coffer__topology_is_routed(topology);
    if (moves != channels->moves) {
        coffer__epoch_end(channels->coherence);
    }
    channels->changes = changes;
    channels->moves = moves;
    if (coffer__channels_lead(channels) && is_new) {
        follow(channels);
    }
}

/* Those who refuse to be tracked are vouched for. False: there is none of them. */
static bool vouch(coffer__channels *channels, uint64_t now_ms) {
    bool any = false;
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = coffer__channels_at(channels, i);
        if (standing != NULL && standing->refused && standing->number >= 0) {
            any = coffer__channel_vouched(channels->coherence, &channels->lead, (unsigned)standing->number, now_ms) || any;
        }
    }
    return any;
}

/* Who leads and hears nobody lets another one try: it may be its own fault (credentials that its program is not there to give, a file it may not read). */
static void look_after_lead(coffer__channels *channels, uint64_t now_ms) {
    bool led = coffer__channels_lead(channels);
    bool may = now_ms >= channels->after_others_ms;
    bool leads = may && coffer__lead_hold(channels->coherence, &channels->lead, channels->who, now_ms);
    channels->lead_at_ms = now_ms + COFFER__LEAD_EVERY_MS;
    channels->heard_ms = led && leads ? channels->heard_ms : now_ms;
    if (led && !leads) {
        let_go_all(channels);
    } else if (leads && vouch(channels, now_ms)) {
        channels->heard_ms = now_ms;
    } else if (leads && now_ms - channels->heard_ms >= DEAF_MS) {
        lose_lead(channels);
        channels->after_others_ms = channels->lead_at_ms + coffer__random_u64() % DEAF_MS;
    }
}

bool coffer__channels_should_look(const coffer__channels *channels, uint64_t now_ms) {
    return channels != NULL && !coffer__channels_lead(channels) && now_ms >= channels->after_others_ms &&
           coffer__lead_is_free(channels->coherence, now_ms);
}

void coffer__channels_step_back(coffer__channels *channels) {
    if (channels != NULL && is_ours(channels)) {
        lose_lead(channels);
        channels->after_others_ms = UINT64_MAX;
    }
}

uint64_t coffer__channels_beat(coffer__channels *channels, uint64_t now_ms) {
    if (channels == NULL) {
        return UINT64_MAX;
    }
    if (now_ms >= channels->lead_at_ms || coffer__channels_should_look(channels, now_ms)) {
        look_after_lead(channels, now_ms);
    }
    heed_topology(channels);
    uint64_t due_ms = channels->lead_at_ms;
    for (size_t i = 0; i < COFFER__STANDING_MOST; i++) {
        coffer__standing *standing = coffer__channels_at(channels, i);
        uint64_t next_ms = standing == NULL         ? UINT64_MAX
                           : standing->conn != NULL ? look_after(standing, now_ms)
                           : standing->link != NULL ? UINT64_MAX
                                                    : standing->connect_at_ms;
        due_ms = next_ms < due_ms ? next_ms : due_ms;
    }
    return due_ms;
}

/* ---- beginning and end -------------------------------------------------------------------------------------------------- */

bool coffer__channels_are_needed(const coffer_client *client) {
    return client->copies != NULL && client->topology != NULL;
}

bool coffer__channels_nobody_leads(const coffer_client *client, uint64_t now_ms) {
    return coffer__lead_is_free(coffer__near_coherence(client->copies), now_ms);
}

coffer_status coffer__channels_new(coffer__channels **channels, coffer_client *client) {
    *channels = NULL;
    if (!coffer__channels_are_needed(client)) {
        return COFFER_OK;
    }
    coffer__channels *made = (coffer__channels *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return COFFER_NO_MEMORY;
    }
    if (!coffer__buf_append_slice(&made->prefix, coffer_slice_text(client->options->prefix)) || !coffer__buf_append(&made->prefix, ":", 1)) {
        coffer__buf_free(&made->prefix);
        coffer__release(made);
        return COFFER_NO_MEMORY;
    }
    made->client = client;
    made->coherence = coffer__near_coherence(client->copies);
    made->who = (uint64_t)getpid();
    made->generation = coffer__fork_generation();
    *channels = made;
    return COFFER_OK;
}

void coffer__channels_after_fork(coffer__channels *channels) {
    if (channels != NULL) {
        memset(channels->standing, 0, sizeof channels->standing);
        channels->lead = (coffer__lead){.fence = 0};
        channels->lead_at_ms = channels->after_others_ms = 0;
        channels->listed = false;
        channels->who = (uint64_t)getpid();
        channels->generation = coffer__fork_generation();
    }
}

void coffer__channels_free(coffer__channels *channels) {
    if (channels != NULL) {
        if (is_ours(channels)) {
            coffer__lead_leave(channels->coherence, &channels->lead);
        }
        coffer__buf_free(&channels->prefix);
        coffer__release(channels);
    }
}
