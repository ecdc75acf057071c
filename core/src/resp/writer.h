/* Writes commands as RESP arrays of bulk strings, straight into a conn's output. No format strings: argv and lengths only.
 *
 *     coffer__write_command(out, 3);
 *     coffer__write_slice(out, COFFER_SLICE("SET"));
 *     coffer__write_slice(out, key);
 *     coffer__write_integer(out, 5000);
 */
#ifndef COFFER_RESP_WRITER_H
#define COFFER_RESP_WRITER_H

#include "base/buf.h"

/* false where memory is short; the caller then truncates `out` to where it was. */
bool coffer__write_command(coffer__buf *out, size_t argument_count);
bool coffer__write_slice(coffer__buf *out, coffer_slice argument);
bool coffer__write_integer(coffer__buf *out, int64_t argument);

/* The whole of it at once, all or nothing: one reservation. */
bool coffer__write_argv(coffer__buf *out, const coffer_slice *arguments, size_t count);

#endif
