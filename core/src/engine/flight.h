/* Single flight: of all the ops of this process that load one key, one runs the loader and the others wait for it.
 *
 *     join --- nobody loads it ----> LEAD ---- publish --> the others' poll gives RESULT
 *         \--- somebody does ------> WAIT        leave --> one of the others' poll gives LEAD
 *          \-- its own parent does -> RECURSIVE
 *
 * A flight stays findable until its leader has left, so that nobody begins a second load between publishing and storing.
 * A write to the key overtakes the flight: who is in it still gets the value, whoever comes later starts anew, and the leader stores nothing,
 * or takes back what was on its way to the store when the write came.
 */
#ifndef COFFER_ENGINE_FLIGHT_H
#define COFFER_ENGINE_FLIGHT_H

#include "client.h"

typedef struct coffer__flight coffer__flight;

typedef enum coffer__flight_role {
    COFFER__FLIGHT_LEAD,
    COFFER__FLIGHT_WAIT,
    COFFER__FLIGHT_RESULT,
    COFFER__FLIGHT_RECURSIVE,
    COFFER__FLIGHT_NO_MEMORY
} coffer__flight_role;

/* What a load gave: OK with a value, MISS for an absence, or an error. */
typedef struct coffer__flight_result {
    coffer_status status;
    coffer_value value; /* data lent by the flight */
} coffer__flight_result;

coffer_status coffer__flights_new(coffer__flights **flights);
void coffer__flights_free(coffer__flights *flights);
void coffer__flights_after_fork(coffer__flights *flights);

/* How many flights of this key, and of a few others, have ended: who saw a miss before this number changed has to look again before it leads. */
uint64_t coffer__flights_ended(const coffer__flights *flights, coffer_slice wire_key);

/* Enters the flight for this key, making it where there is none. RECURSIVE and NO_MEMORY enter nothing. `parent` is the op whose loader asks, or NULL. */
coffer__flight_role coffer__flight_join(coffer_client *client, coffer_slice wire_key, const coffer_op *op, const coffer_op *parent,
                                        coffer_waiter *waiter, coffer__flight **flight);

/* For one who waits: WAIT still, RESULT, or LEAD (the leader left without one; it is now this op). */
coffer__flight_role coffer__flight_poll(coffer_client *client, coffer__flight *flight, const coffer_op *op);

/* The leader's result, for all who wait now and later; the value's data are copied. Wakes them. False where memory is short: they are told to lead. */
bool coffer__flight_publish(coffer_client *client, coffer__flight *flight, coffer_status status, const coffer_value *value);

/* Lent until coffer__flight_leave. Valid once poll gave RESULT. */
const coffer__flight_result *coffer__flight_result_of(const coffer__flight *flight);

/* Whether a write to the key came since the flight began. */
bool coffer__flight_is_overtaken(coffer_client *client, const coffer__flight *flight);

/* The op goes, in whatever role; each join needs one. A leader without a result leaves the lead to another, who is woken. */
void coffer__flight_leave(coffer_client *client, coffer__flight *flight, const coffer_op *op);

/* A write to this key begins or has ended. */
void coffer__flight_overtake(coffer_client *client, coffer_slice wire_key);

/* A write to every key that begins so begins or has ended. */
void coffer__flights_overtake(coffer_client *client, coffer_slice key_base);

/* The op of whose loader `op` is part, or NULL; op.c. */
const coffer_op *coffer__op_parent(const coffer_op *op);

#endif
