/* Keys: what users may give, and how they are written on the server.
 *
 *     prod:users:42          prefix:namespace:key
 *     prod:users@3:42        a namespace with a shape version
 *     prod:users:#visits     a counter: '#' cannot come out of the escaping
 *
 * In the key part every byte but [A-Za-z0-9:_.@/+=,-] becomes %XX, so the mapping is injective and nobody can steal a hash tag.
 */
#ifndef COFFER_POLICY_KEY_H
#define COFFER_POLICY_KEY_H

#include "base/buf.h"
#include <coffer/status.h>

enum { COFFER__KEY_BYTES_MAX = 64 * 1024 }; /* no rules allow a longer one */

/* Whether `name` may be a prefix or namespace: 1 to 64 of [A-Za-z0-9._-]; "_" alone stands for none. */
bool coffer__name_ok(coffer_slice name);

/* KEY_INVALID, in words, where the key breaks the rules (COFFER_KEYS_...). */
coffer_status coffer__key_check(int key_rules, coffer_slice key, coffer_error *error);

/* "prod:users@3:", the part that all keys of a namespace share. */
bool coffer__key_base(coffer__buf *out, coffer_slice prefix, coffer_slice name, uint64_t version);

/* What SCAN's MATCH wants for all keys that begin so: what means something in a pattern is escaped, then a '*'. */
bool coffer__key_pattern(coffer__buf *out, coffer_slice base);

/* Appends the escaped key, behind a '#' where it is a counter. */
bool coffer__key_append(coffer__buf *out, coffer_slice key, bool counter);

/* Both: the key checked, and appended as on the server. KEY_INVALID in words, or NO_MEMORY; `out` is as it was then. `key` may lie in `out`
 * where that has room for what may be written: three bytes for each, and one. */
coffer_status coffer__key_write(coffer__buf *out, int key_rules, coffer_slice key, bool counter, coffer_error *error);

#endif
