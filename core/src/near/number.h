/* Decimal integers as Redis' INCRBY takes and gives them: an optional minus, no plus, no spaces, no leading zeros, no "-0", within 64 bits. */
#ifndef COFFER_NEAR_NUMBER_H
#define COFFER_NEAR_NUMBER_H

#include <coffer/types.h>

enum { COFFER__NUMBER_CAP = 24 };

bool coffer__number_parse(coffer_slice text, int64_t *number); /* false: not such a number */
coffer_slice coffer__number_write(int64_t number, char digits[COFFER__NUMBER_CAP]); /* the slice lies in `digits` */

#endif
