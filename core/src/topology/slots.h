/* The slot of a key in a cluster: CRC16 (XMODEM: polynomial 0x1021, from 0, not reflected) of the key, or of its hash tag, modulo 16384.
 * From the cluster specification of Redis; the tests compare it with CLUSTER KEYSLOT. */
#ifndef COFFER_TOPOLOGY_SLOTS_H
#define COFFER_TOPOLOGY_SLOTS_H

#include <coffer/types.h>

enum { COFFER__SLOTS = 16384 };

uint16_t coffer__slot_of(coffer_slice wire_key);

#endif
