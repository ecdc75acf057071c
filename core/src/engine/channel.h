/* channels: the connections over which servers tell what changes, so that copies of their values may be kept (near/copies.h). Without I/O: a driver
 * connects what should be connected, feeds and flushes it, and lets the rest be done by a beat.
 *
 *     channels_new ... beat(now): leads? --no--> nothing stands; again in half a second
 *                          | yes
 *                          v
 *          one standing connection to each server that holds keys:
 *
 *     wanted -- the driver connects --> HELLO ... CLIENT ID, CLIENT TRACKING ON REDIRECT <itself> BCAST PREFIX prod:, SUBSCRIBE __redis__:invalidate
 *        ^                                 |                      |
 *        |                                 |                 PING at once, then each second; answered: the channel hears until that PING was *sent* + 2 s
 *        |                                 |                      |     message [keys]: those copies go;    message nil (FLUSH): all do
 *        '------- back-off ------- broken, nonsense, a PING unanswered for 2 s: the epoch ends
 *        '------- a minute ------- the server refuses to be tracked: copies live by their near TTL alone meanwhile, and health says so
 *
 * One process of all that share the arena leads (coherence.h), and each tries to, twice a second, so that another one follows within three seconds whatever
 * becomes of it. Who leaves on purpose leaves at once, and whoever comes with a call and finds the lead free has it looked at then (should_look): the gap is
 * the time to that call and the round trips of a greeting. In one process each driver has its own: channels belong to one thread at a time.
 *
 * The prefix is that of the client, which all its namespaces share, and BCAST knows no database: one connection hears of all that could be kept. With a
 * redirection to itself a connection needs no RESP3, and is told even where pooled ones come and go (default tracking forgets what those have read). */
#ifndef COFFER_ENGINE_CHANNEL_H
#define COFFER_ENGINE_CHANNEL_H

#include <coffer/driver.h>

enum {
    COFFER__STANDING_MOST = 63, /* servers; of a larger deployment some are not listened to, and nothing of theirs is kept */
    COFFER__LEAD_EVERY_MS = 500,
    COFFER__PING_EVERY_MS = 1000,
    COFFER__PING_SILENT_MS = 2000,
    COFFER__REFUSED_MS = 60000 /* how long until a server that refuses to be tracked is asked again */
};

typedef struct coffer__channels coffer__channels;

/* One that should be there. What a driver reads: */
typedef struct coffer__standing {
    coffer__channels *channels; /* NULL: this place is free */
    const coffer_endpoint *endpoint;
    bool wanted; /* false: close it, and say that it ended */
    uint64_t connect_at_ms; /* where there is none: not before */
    coffer_conn *conn; /* as the driver said */
    void *link; /* the driver's own; where it is not NULL nothing else is connected, and the place stays */
    /* the channel's */
    uint64_t node;
    int number; /* in the arena; -1: it has no place there */
    bool refused; /* it does not want to be tracked */
    bool hears; /* a PING came back */
    unsigned failures; /* in a row */
    uint64_t until_ms; /* connected, it has to be ready by then */
    uint64_t ping_at_ms, pinged_ms; /* the next; the one that is out, 0: none is */
    int64_t id; /* the conn's own, as the server counts */
} coffer__standing;

bool coffer__channels_are_needed(const coffer_client *client); /* it has copies */
bool coffer__channels_nobody_leads(const coffer_client *client, uint64_t now_ms); /* of one with copies: the lead is free */

/* For a client with copies; for one without, OK and NULL: there is nothing to be done, and all functions below take that. The client is lent. */
coffer_status coffer__channels_new(coffer__channels **channels, coffer_client *client);

/* Leaves the lead, so that another one takes it at once; in a forked child it does not touch it. Its conns are the driver's, to be freed before. */
void coffer__channels_free(coffer__channels *channels);

/* In a forked child: nothing stands, and who leads is the parent. */
void coffer__channels_after_fork(coffer__channels *channels);

/* Whenever it is time, and after something was fed: leads or not, says who should be connected, writes PINGs, fails what is silent. Output may be in each
 * conn then, or its status be bad. When it is wanted again at the latest; UINT64_MAX for NULL. */
uint64_t coffer__channels_beat(coffer__channels *channels, uint64_t now_ms);

bool coffer__channels_lead(const coffer__channels *channels); /* this process does, by this driver */

/* The lead is free and this driver may take it: a beat now does. A load or two, and true again only when it was free again: no more beats than leaders. */
bool coffer__channels_should_look(const coffer__channels *channels, uint64_t now_ms);

/* Leaves the lead as coffer__channels_free does, and never takes it again: for a process that is about to end. What stands is not wanted any more, and the
 * beats go on: what it learns of the servers is still for all. */
void coffer__channels_step_back(coffer__channels *channels);

/* Place `index` of COFFER__STANDING_MOST; NULL where nothing stands, or should. */
coffer__standing *coffer__channels_at(coffer__channels *channels, size_t index);

/* A driver should connect it now. */
bool coffer__standing_is_due(const coffer__standing *standing, uint64_t now_ms);

/* A conn was made for it, and is lent until it ended: it becomes a channel when its handshake is over. */
void coffer__standing_opened(coffer__standing *standing, coffer_conn *conn, uint64_t now_ms);

/* It could not be connected, or its conn is about to be freed. */
void coffer__standing_ended(coffer__standing *standing, uint64_t now_ms);

/* What a server is in the arena, whichever process says it: 48 bits of a hash of its address, never 0. */
uint64_t coffer__node_of(const coffer_endpoint *endpoint);

#endif
