/* Fails allocations of a whole loaded library, whichever allocator it uses: what it calls malloc, calloc, realloc and free is relocated to functions
 * that count, and refuse. For a Python or Lua module, which hides its core, and for hiredis, zstd and OpenSSL, which have no allocator of ours.
 *
 *     starve_hook("/_coffer_core");        a part of the path of what is loaded; "" is the program itself
 *     starve_begin(7, STARVE_FOR_GOOD);    seven more succeed, all that follow fail; 1: the eighth alone
 *     ... what is tested ...
 *     bool did_starve = starve_end();      false: it needed fewer than that, so that all of them were tried
 *     starve_live();                       blocks taken and not given back
 *
 * ELF with RELA relocations and glibc: Linux on 64 bits. Counts are atomic, for the module may have threads. What other libraries free for the
 * hooked one, or it for them, is counted wrong: hook all that share blocks.
 */
#ifndef COFFER_TESTS_SUPPORT_STARVE_H
#define COFFER_TESTS_SUPPORT_STARVE_H

#include <stdbool.h>
#include <stddef.h>

#define STARVE_FOR_GOOD 1000000000L

/* How many relocations were changed; 0: nothing of that name is loaded. Twice is harmless. */
size_t starve_hook(const char *path_part);

/* What an allocator that is hooked in another way asks: whether this request has to fail. */
bool starve_refuses(void);
void starve_count(long blocks); /* added to those alive */

void starve_begin(long skip_count, long refuse_count);
bool starve_end(void);
long starve_live(void);

#endif
