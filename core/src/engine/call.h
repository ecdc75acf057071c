/* call: one command of an op. It knows which command it is, whether it may be sent again, and what the server's error words mean; nothing of caching. */
#ifndef COFFER_ENGINE_CALL_H
#define COFFER_ENGINE_CALL_H

#include "command.h"
#include "resp/reader.h"
#include "topology/topology.h"
#include "watch.h"
#include <coffer/driver.h>

#include <stdatomic.h>

enum { COFFER__CALL_ARGUMENTS = 8 };

typedef enum coffer__call_state {
    COFFER__CALL_OPEN, /* to be sent */
    COFFER__CALL_SENT, /* its reply is due on `conn` */
    COFFER__CALL_DONE /* `status` and `reply` are set */
} coffer__call_state;

struct coffer_call {
    const coffer__command *command;
    coffer_waiter *waiter; /* the op's, a reference of its own while SENT */
    coffer_conn *conn; /* where it was sent; its owner sets it, and nobody else */
    _Atomic int state;
    coffer_status status; /* OK: the server answered, and not with an error */
    coffer__pass pass; /* from its hand-out until its end was recorded; outage.c */
    coffer__server *server; /* it was handed out for; NULL: none */
    /* where it goes: route.c */
    const coffer_endpoint *endpoint; /* or went last; NULL: nowhere yet */
    uint64_t not_before_ms; /* while OPEN: it waits until then */
    uint8_t tries, redirects; /* how often it was sent again, by reason */
    uint16_t tried; /* with `anywhere`: servers that could not answer it, a bit each */
    bool handed_out; /* while OPEN: the driver has it */
    bool routed; /* its server may say MOVED and ASK */
    bool asking; /* ASKING goes directly before it */
    bool chosen; /* `endpoint` is where it goes next */
    bool awaits_map; /* while OPEN: it waits until servers are known */
    bool pinned; /* to `endpoint`: neither redirected nor sent again */
    bool settled; /* while DONE: it does not go again */
    bool script_sent; /* with its text */
    bool anywhere; /* a replica may answer it: replicas.c */
    bool fell_back; /* and a server that was chosen could not */
    coffer_slice *arguments;
    size_t argument_count, argument_cap;
    coffer_slice few[COFFER__CALL_ARGUMENTS];
    char numbers[2][24]; /* integers as text */
    unsigned number_count;
    coffer__reply reply;
    char *detail; /* what the server or the system said; may be NULL */
};

/* `call` is zeroed memory, or one that was reset. */
void coffer__call_init(coffer_call *call, const coffer__command *command);
void coffer__call_reset(coffer_call *call); /* in every state: a reply still due will be dropped. Keeps the reply's memory for the next */
void coffer__call_clear(coffer_call *call); /* the same, and keeps nothing */

/* Arguments behind the command's name, or behind the script's key count. Lent until the call is cleared. False where memory is short. */
bool coffer__call_argument(coffer_call *call, coffer_slice argument);
bool coffer__call_arguments(coffer_call *call, const coffer_slice *arguments, size_t count);
bool coffer__call_number(coffer_call *call, uint64_t number);

/* For conn.c: the reply has come (taken out of `reply`). What follows for the conn: */
typedef enum coffer__verdict {
    COFFER__VERDICT_NONE,
    COFFER__VERDICT_REPEAT, /* the call is not DONE: it has to be written again (NOSCRIPT) */
    COFFER__VERDICT_LEAVE, /* the node has sent the call on to itself: it is not who its address says, any more */
    COFFER__VERDICT_BROKEN /* a redirect that cannot be read */
} coffer__verdict;
coffer__verdict coffer__call_replied(coffer_call *call, coffer__reply *reply);

/* The call ends without a reply. `detail` may be NULL; copied. */
void coffer__call_end(coffer_call *call, coffer_status status, const char *detail);

static inline bool coffer__call_is(const coffer_call *call, coffer__call_state state) {
    return atomic_load_explicit(&call->state, memory_order_acquire) == (int)state;
}

/* A call that is OPEN waits for this, should it not end otherwise. Copied. */
void coffer__call_note(coffer_call *call, const char *detail);

/* A call that is DONE will be sent once more; its reply is forgotten, its detail kept. `waiter` is its op's. */
void coffer__call_reopen(coffer_call *call, coffer_waiter *waiter);

/* words.c: what a failure asks for. */
typedef enum coffer__cure {
    COFFER__CURE_NONE, /* it is the answer; where it is an outage, the namespace says what follows (a miss, an error) */
    COFFER__CURE_HERE, /* again on the same server */
    COFFER__CURE_ANEW, /* again wherever the key lives then */
    COFFER__CURE_FOLLOW /* the redirect */
} coffer__cure;
enum { COFFER__TRIES_UNTIL_THE_DEADLINE = UINT8_MAX };
typedef struct coffer__remedy {
    coffer__cure cure;
    uint8_t most; /* so many times; COFFER__TRIES_UNTIL_THE_DEADLINE: as long as there is time */
    bool at_once; /* the first time without a pause */
    bool doubt; /* what is known of the topology may be wrong */
} coffer__remedy;
coffer__remedy coffer__remedy_for(coffer_status status, bool routed);

/* words.c: what the first word of an error reply means. SERVER for words that are not in the table. */
coffer_status coffer__word_status(coffer_slice error_text);

/* words.c: how much of what a server said may be repeated: at most so many bytes, and nothing from where it begins to repeat what it was sent (Redis does:
 * "unknown command 'SET', with args beginning with: ..."), for that may be a key or a value. Part of `error_text`. */
enum { COFFER__WORDS_KEPT = 512 };
coffer_slice coffer__words_kept(coffer_slice error_text, const coffer_slice *arguments, size_t count);

/* words.c: whether the text holds the secret. */
bool coffer__words_tell(coffer_slice error_text, coffer_slice secret);

/* conn.c: the caller has no more use of the reply; it will be read and dropped. */
void coffer__conn_forget(coffer_conn *conn, coffer_call *call);

#endif
