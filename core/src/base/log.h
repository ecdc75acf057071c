/* Tells the program's log hook what happened. Does nothing but one comparison where there is none.
 *
 *     coffer__log(COFFER_LOG_CONNECTION_LOST, COFFER_CLOSED, "%zu replies were due", due_count);
 *
 * `format` (NULL: no details) gives what comes behind the event's text and the status's. The caller may hold no lock, and keeps keys, values, secrets and
 * what a server said out of it. Bytes that are not printable are blanked here, so that no text forges a line.
 */
#ifndef COFFER_BASE_LOG_H
#define COFFER_BASE_LOG_H

#include <coffer/hooks.h>

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void coffer__log(coffer_log_event event, coffer_status status, const char *format, ...);

#endif
