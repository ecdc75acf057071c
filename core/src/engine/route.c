#include "route.h"

#include "base/random.h"
#include "replicas.h"

enum { AT_ONCE = 2 }; /* redirects: MOVED and then ASK is what a slot that moves may take. More is nodes that disagree, for a moment mostly */
enum { PAUSE_FIRST_MS = 10, PAUSE_MOST_MS = 200, DOUBLINGS_MOST = 5, LOOK_AGAIN_MS = 5, TO_ITSELF_MS = 10 };

coffer_slice coffer__call_key(const coffer_call *call) {
    size_t at = call->command->script_sha1 != NULL ? 3 : 1;
    return call->command->has_key && call->argument_count > at ? call->arguments[at] : coffer_slice_of(NULL, 0);
}

static uint64_t jitter(uint64_t most_ms) {
    return 1 + coffer__random_u64() % most_ms;
}

uint64_t coffer__route_pause_ms(unsigned tries) {
    uint64_t most = (uint64_t)PAUSE_FIRST_MS << (tries < DOUBLINGS_MOST ? tries : DOUBLINGS_MOST);
    return jitter(most < PAUSE_MOST_MS ? most : PAUSE_MOST_MS);
}

/* No server is known. Somebody asks for them, or will soon; or has in vain, and then the reason is this call's as well. */
static void await_map(coffer_call *call, coffer__topology *topology, uint64_t now_ms) {
    char why[COFFER__TOPOLOGY_WHY_CAP];
    coffer_status status = coffer__topology_failure(topology, now_ms, why);
    if (status != COFFER_OK) {
        coffer__call_end(call, status, why);
        call->pinned = true;
        return;
    }
    if (why[0] != '\0' && call->detail == NULL) {
        coffer__call_note(call, why);
    }
    call->awaits_map = true;
    call->not_before_ms = now_ms + LOOK_AGAIN_MS + jitter(LOOK_AGAIN_MS);
}

uint64_t coffer__call_not_before_ms(const coffer_call *call, const coffer__topology *topology) {
    return call->awaits_map && coffer__topology_is_known(topology) ? 0 : call->not_before_ms;
}

bool coffer__call_route(coffer_call *call, coffer_client *client, uint64_t now_ms) {
    coffer__topology *topology = client->topology;
    if (now_ms < call->not_before_ms && now_ms < coffer__call_not_before_ms(call, topology)) {
        return false;
    }
    if (!call->chosen) {
        const coffer_endpoint *endpoint = coffer__topology_endpoint(topology, coffer__call_key(call), call->tries > 0 ? call->endpoint : NULL);
        if (endpoint == NULL) {
            await_map(call, topology, now_ms);
            return false;
        }
        if (call->anywhere && (endpoint = coffer__replicas_choose(call, client, endpoint, now_ms)) == NULL) {
            return false;
        }
        call->endpoint = endpoint;
        call->asking = false;
    }
    call->routed = coffer__topology_is_routed(topology);
    call->awaits_map = call->chosen = false;
    return true;
}

/* True where it was sent on. */
static bool follow(coffer_call *call, coffer__topology *topology, uint64_t now_ms) {
    coffer__redirect redirect;
    if (call->redirects == COFFER__REDIRECTS_MOST || !coffer__redirect_read(coffer__reply_text(&call->reply, 0), &redirect)) {
        return false;
    }
    const coffer_endpoint *to = coffer__topology_redirected(topology, &redirect, call->endpoint, call->status == COFFER_MOVED);
    if (to == NULL) {
        call->status = COFFER_NO_MEMORY;
        return false;
    }
    call->redirects++;
    call->asking = call->status == COFFER_ASK;
    bool to_itself = to == call->endpoint; /* that conn is being closed: the next is another */
    bool at_once = call->redirects <= AT_ONCE && !to_itself;
    call->not_before_ms = at_once ? 0 : now_ms + (to_itself ? jitter(TO_ITSELF_MS) : coffer__route_pause_ms(call->redirects));
    call->endpoint = to;
    call->chosen = true;
    return true;
}

static bool try_again(coffer_call *call, coffer__remedy remedy, uint64_t now_ms) {
    if (call->tries >= remedy.most && remedy.most != COFFER__TRIES_UNTIL_THE_DEADLINE) {
        return false;
    }
    call->not_before_ms = remedy.at_once && call->tries == 0 ? 0 : now_ms + coffer__route_pause_ms(call->tries);
    if (call->tries < UINT8_MAX) {
        call->tries++;
    }
    call->chosen = remedy.cure == COFFER__CURE_HERE; /* and ASKING again, where it was asked before */
    return true;
}

/* Why a refresh is asked for, and what becomes of a redirect. */
static void tally(coffer__topology *topology, coffer_status status, bool again) {
    static const struct {
        coffer_status status;
        coffer__tally what, refused;
    } rows[] = {
        {COFFER_MOVED, COFFER__TALLY_moved, COFFER__TALLY_redirects_refused},
        {COFFER_ASK, COFFER__TALLY_asked, COFFER__TALLY_redirects_refused},
        {COFFER_TRYAGAIN, COFFER__TALLY_waited, COFFER__TALLY_COUNT},
        {COFFER_READONLY, COFFER__TALLY_doubts_readonly, COFFER__TALLY_doubts_readonly},
        {COFFER_CLUSTERDOWN, COFFER__TALLY_doubts_down, COFFER__TALLY_doubts_down},
        {COFFER_MASTERDOWN, COFFER__TALLY_doubts_down, COFFER__TALLY_doubts_down},
        {COFFER_LOADING, COFFER__TALLY_doubts_down, COFFER__TALLY_doubts_down},
        {COFFER_CONNECT, COFFER__TALLY_doubts_unreachable, COFFER__TALLY_doubts_unreachable},
        {COFFER_DNS, COFFER__TALLY_doubts_unreachable, COFFER__TALLY_doubts_unreachable},
        {COFFER_BREAKER_OPEN, COFFER__TALLY_doubts_unreachable, COFFER__TALLY_doubts_unreachable},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        coffer__tally what = again ? rows[i].what : rows[i].refused;
        if (rows[i].status == status && what != COFFER__TALLY_COUNT) {
            coffer__topology_tally(topology, what);
        }
    }
}

bool coffer__call_turns(coffer_call *call, coffer_client *client, coffer_waiter *waiter, uint64_t now_ms) {
    coffer__remedy remedy = coffer__remedy_for(call->status, true);
    if (remedy.cure == COFFER__CURE_FOLLOW) {
        call->fell_back = true;
        return false;
    }
    const coffer_endpoint *primary = call->pinned ? NULL : coffer__topology_endpoint(client->topology, coffer__call_key(call), NULL);
    if (primary == NULL || !coffer__replicas_turn(call, client, primary, now_ms)) {
        return false;
    }
    if (remedy.doubt) {
        coffer__topology_doubt(client->topology, now_ms);
        tally(client->topology, call->status, true);
    }
    call->not_before_ms = 0;
    call->chosen = false;
    coffer__call_reopen(call, waiter);
    return true;
}

bool coffer__call_goes_again(coffer_call *call, coffer__topology *topology, coffer_waiter *waiter, uint64_t now_ms, bool late) {
    coffer_status status = call->status;
    coffer__remedy remedy = coffer__remedy_for(status, coffer__topology_is_learnt(topology));
    if (remedy.doubt) {
        coffer__topology_doubt(topology, now_ms);
    }
    bool astray = remedy.cure == COFFER__CURE_FOLLOW && !coffer__topology_is_routed(topology); /* a node of a cluster, which nobody asked for */
    bool again = !late && !call->pinned && !astray && remedy.cure != COFFER__CURE_NONE &&
                 (remedy.cure == COFFER__CURE_FOLLOW ? follow(call, topology, now_ms) : try_again(call, remedy, now_ms));
    if (coffer__topology_is_learnt(topology)) {
        tally(topology, status, again);
    }
    if (again) {
        coffer__call_reopen(call, waiter);
    }
    return again;
}
