/* dial: how a link gets its socket. Name, then the addresses one after the other, each with its share of the time that is left. */
#ifndef COFFER_IO_DIAL_H
#define COFFER_IO_DIAL_H

#include "credentials.h"
#include "link.h"

coffer__dial *coffer__dial_new(void); /* NULL where memory is short */
void coffer__dial_free(coffer__dial *dial); /* takes NULL */

/* As coffer__link_connect, as far as the socket: OK when it is connected. */
coffer_status coffer__dial_go(coffer__dial *dial, coffer__link *link, const coffer__limits *limits, char detail[COFFER__DETAIL_CAP]);

/* Whom to log in as; once it is connected. Lent by the dial. */
const coffer__login *coffer__dial_login(const coffer__dial *dial);

#endif
