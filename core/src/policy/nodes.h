/* A list of servers as text: "a:7000,b,[::1]:7002". */
#ifndef COFFER_POLICY_NODES_H
#define COFFER_POLICY_NODES_H

#include <coffer/types.h>

typedef struct coffer__node_name {
    coffer_slice host; /* without brackets; into the text */
    uint16_t port; /* 0: none was given */
} coffer__node_name;

typedef enum coffer__nodes { COFFER__NODES_END, COFFER__NODES_ONE, COFFER__NODES_BAD } coffer__nodes;

/* Takes the next off the text. BAD: no host, a port that is not 1 to 65535, an IPv6 address without brackets, bytes that no host has. */
coffer__nodes coffer__nodes_next(coffer_slice *rest, coffer__node_name *name);

/* One to 64 of them. */
bool coffer__nodes_are_fit(coffer_slice text);

#endif
