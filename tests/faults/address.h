/* Sockets of the fault tools, which share no code with what they test: "6379" is a port of 127.0.0.1, what holds a slash a unix socket. */
#ifndef COFFER_TESTS_FAULTS_ADDRESS_H
#define COFFER_TESTS_FAULTS_ADDRESS_H

#include <stdint.h>

int address_listen(const char *address, uint16_t *port); /* not blocking; "0": a free port; -1 and errno */
int address_connect(const char *address); /* not blocking: it may still be under way; -1 and errno */

#endif
