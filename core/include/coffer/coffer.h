/* Coffer: one cache in front of your database, for C, Python and Lua, on Redis and Valkey or with no server at all.
 *
 * CAVEATS FIRST
 *  - Threads: a cache may be used by any number of threads. An op, a conn and a value belong to one thread at a time.
 *  - Fork: a child may go on using its parent's caches; it opens connections of its own at its first call and never touches the parent's.
 *    fork while another thread is inside a call is allowed; the child has no use of that call's results.
 *  - Ownership: a slice lends. What a read gave is yours until coffer_value_clear. Keys are copied by every call; values are read before the call returns.
 *  - Errors: every function returns a coffer_status. Below 0 is an error; MISS and NOT_STORED are not.
 *  - A write that ends in MAYBE_APPLIED may or may not have been carried out: nobody can know.
 *  - Time: durations are milliseconds; 0 as a TTL means "the namespace's", never "for ever": that is COFFER_TTL_FOREVER.
 *  - The library is silent (hooks.h takes a function that is told what goes wrong), reads the environment only where asked (coffer_options_from_environment), installs no signal handler and never exits.
 *
 * LEVELS OF SKILL
 *  1. cache.h      open, get, set, get_or_load, close: all that most programs need
 *  2. options.h    every option, from a URL, by name, or from the environment
 *     value.h      what is stored and read
 *     metrics.h    what the cache has done
 *     health.h     how it is, and turning it off and on
 *     inspect.h    what stored bytes say of themselves
 *     simulate.h   how often a cache of some size would have hit, from a trace
 *     hooks.h      an allocator and a log of your own, set before anything else
 *  3. mux.h        the same operations on an event loop of your own
 *     tls.h        TLS for it
 *     driver.h     what it stands on: one operation at a time, on connections of your own
 */
#ifndef COFFER_COFFER_H
#define COFFER_COFFER_H

#define COFFER_VERSION "0.1.0"

#include <coffer/cache.h>
#include <coffer/driver.h>
#include <coffer/health.h>
#include <coffer/hooks.h>
#include <coffer/inspect.h>
#include <coffer/metrics.h>
#include <coffer/mux.h>
#include <coffer/options.h>
#include <coffer/simulate.h>
#include <coffer/status.h>
#include <coffer/tls.h>
#include <coffer/types.h>
#include <coffer/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is linked, as COFFER_VERSION. Static. */
COFFER_API const char *coffer_version(void);

#ifdef __cplusplus
}
#endif
#endif
