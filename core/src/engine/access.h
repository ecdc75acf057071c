/* What drivers in C may ask of an op beyond driver.h. Includes nothing of the engine's insides. */
#ifndef COFFER_ENGINE_ACCESS_H
#define COFFER_ENGINE_ACCESS_H

#include <coffer/driver.h>
#include <coffer/metrics.h>

/* Which operation it is, for coffer_metrics_record. */
coffer_operation coffer__op_operation(const coffer_op *op);

/* Its namespace, for the same. Lent until the op is freed. */
coffer_namespace *coffer__op_namespace(const coffer_op *op);

/* Whether the namespace has values in this host's memory, for coffer_peek. */
bool coffer__namespace_is_near(const coffer_namespace *ns);

/* The waiter it was given by coffer_op_set_waiter, lent; NULL where it has none. */
coffer_waiter *coffer__op_waiter(const coffer_op *op);

/* Whether the step at which it is has more than one call. */
bool coffer__op_has_several_calls(const coffer_op *op);

/* Ends the calls in flight on this conn as when the deadline passes; their replies will be read and dropped. The conn is the caller's to lock. */
void coffer__op_give_up(coffer_op *op, const coffer_conn *conn);

/* Who announces news of the servers, in turn: a conn to it is told to listen when it is made, and fed whatever comes. NULL: nobody does. */
const coffer_endpoint *coffer__client_announcer(const coffer_client *client, size_t turn);
void coffer__conn_listen(coffer_conn *conn);

/* How much longer than a call may take a connection may be silent while something is due: who waits as long as calls usually do gives up by itself first. */
enum { COFFER__STALL_GRACE_MS = 50 };

/* A sentinel, to whom the servers' credentials are never said. */
bool coffer__client_is_sentinel(const coffer_client *client, const coffer_endpoint *endpoint);

/* What io/ keeps for a client: told of forks by coffer_client_after_fork, and released with the client, whose options are still there. */
typedef struct coffer__attachment coffer__attachment;
struct coffer__attachment {
    void (*after_fork)(coffer__attachment *attachment);
    void (*release)(coffer__attachment *attachment);
};
coffer__attachment *coffer__client_attachment(const coffer_client *client); /* NULL: none yet */
coffer__attachment *coffer__client_attach(coffer_client *client, coffer__attachment *attachment); /* gives the one that was there first, if any did */

/* In a forked child: ends all calls in flight, without touching their conns, in which a thread of the parent may have been at work. */
void coffer__op_orphan(coffer_op *op);

#endif
