/* call: one command of an op. It knows which command it is, whether it may be sent again, and what the server's error words mean; nothing of caching. */
#ifndef COFFER_ENGINE_CALL_H
#define COFFER_ENGINE_CALL_H

#include "command.h"
#include "resp/reader.h"
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
    coffer_conn *conn; /* while SENT */
    _Atomic int state;
    coffer_status status; /* OK: the server answered, and not with an error */
    bool script_sent; /* with its text */
    coffer__pass pass; /* from its hand-out until its end was recorded; outage.c */
    coffer__server *server; /* it was handed out for; NULL: none */
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

/* For conn.c: the reply has come (taken out of `reply`). True where the call has to be written again to the same conn (NOSCRIPT). */
bool coffer__call_replied(coffer_call *call, coffer__reply *reply);

/* The call ends without a reply. `detail` may be NULL; copied. */
void coffer__call_end(coffer_call *call, coffer_status status, const char *detail);

static inline bool coffer__call_is(const coffer_call *call, coffer__call_state state) {
    return atomic_load_explicit(&call->state, memory_order_acquire) == (int)state;
}

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
