/* Plays a conversation between operations and a scripted server: no sockets, virtual time, cut into pieces of any size.
 *
 *     # a value that is there is answered in one round trip        comment
 *     options raw=true ns=users                                    before the first op; prefix=app, ttl_jitter=0 and a TTL of 300 s are given
 *     op get key=42 [value=.. ttl_ms=.. id=.. delta=.. as=NAME]    begins an operation, called `op` unless named; calls go to the conn in use
 *     use a                                                        which conn that is (a at first); made at its first call
 *     options url=redis+cluster://a,b                              calls go to the conn named like the server they are for, whatever is in use; made anew
 *                                                                  once it has failed; to be read from as a replica, a/r. The refresh is an operation called `refresh`
 *     listen news a                                                   a conn "news" that listens to what the sentinel a announces
 *     near live                                                    who listens for near copies hears all servers now; near lost: nobody any more; near vouched: they do not tell
 *     near changed app:users:42                                    and hears that this key has changed
 *     down a    up a                                               that server refuses connections, or takes them again
 *     > a GET app:users:42                                         the next command on that conn is exactly this
 *     < a "hello"                                                  the server answers: $-1 +OK -ERR text :5 *2 "a bulk", or hex:2b4f4b0d0a as it is
 *     ~ 500                                                        so many milliseconds pass
 *     wants op LOAD                                                what the op is waiting for: LOAD WAIT REPLY SLEEP
 *     supply op "value"   supply_absent op   abort op              the loader's answer
 *     free op                                                      in flight or not
 *     break a                                                      the socket broke
 *     = op OK value="hello" integer=5 source=remote says="..."     it has ended so; `says` is part of its message, `hides` is not
 *     = op SERVER items=OK,SERVER,NOT_SENT                         and what became of each of many
 *     conn a READY|IDLE|GREETING|<status>                          the state of a conn; due=2 replies to come, says= and hides= of its message
 *     count hits 1                                                 a counter of the namespace
 *
 * In a command <sha:NAME> and <text:NAME> stand for a script's SHA1 and text, <e1> for any argument, which `< a <e1>` then sends back as a bulk, and
 * `<e1+9>` the same with the bit 0 of byte 9 flipped. A conn's greeting is answered by itself, unless the first line is `greet by hand`.
 */
#ifndef COFFER_TESTS_SUPPORT_TRANSCRIPT_H
#define COFFER_TESTS_SUPPORT_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>

/* Plays the file with everything fed and taken in pieces of at most `piece_bytes` (0: whole). Fails the test with file and line where it is not as told. */
void transcript_play(const char *path, size_t piece_bytes);

#endif
