/* Replies out of verified frames, by hiredis' reader (0.14.1 to 1.x) with reply functions of our own: no redisReply trees. For those that came in
 * pieces; one that lies whole in the input is taken by the guard. hiredis is known in reader.c only.
 */
#ifndef COFFER_RESP_READER_H
#define COFFER_RESP_READER_H

#include "reply.h"
#include <coffer/status.h>

typedef struct coffer__reader coffer__reader;

coffer_status coffer__reader_new(coffer__reader **reader);
void coffer__reader_free(coffer__reader *reader);

/* Whole frames, verified by the guard. NO_MEMORY and PROTO are final. */
coffer_status coffer__reader_feed(coffer__reader *reader, coffer_slice frames);

/* The next whole reply into `reply` (cleared first). OK; AGAIN where more frames have to come first; NO_MEMORY, PROTO. */
coffer_status coffer__reader_next(coffer__reader *reader, coffer__reply *reply);

#endif
