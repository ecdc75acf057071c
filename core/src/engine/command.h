/* The commands that operations may use: one row each. What a row says is all that calls and conns know of a command. */
#ifndef COFFER_ENGINE_COMMAND_H
#define COFFER_ENGINE_COMMAND_H

#include "near/near.h"
#include "resp/reader.h"
#include <coffer/types.h>

/* A command as the store inside the process carries it out: its arguments (the name first) -> the reply a server would give. */
typedef struct coffer__local {
    coffer__near *store;
    const coffer_slice *arguments;
    size_t count;
    uint64_t now_ms;
    coffer__reply *reply;
} coffer__local;

typedef struct coffer__command {
    const char *name; /* for messages; the first argument on the wire, but for scripts */
    bool writes; /* its effect may have happened when its reply is lost: not to be sent again once its bytes may have been received */
    const char *script_sha1; /* scripts: sent as EVALSHA, or EVAL with the text where the server does not know it */
    const char *script_text;
    bool has_key; /* the first argument, or a script's only key */
    coffer_status (*local)(coffer__local *run); /* OK (the reply is set), NO_MEMORY */
} coffer__command;

extern const coffer__command coffer__command_get;
extern const coffer__command coffer__command_mget;
extern const coffer__command coffer__command_set; /* key value [PX ms] [NX|XX] */
extern const coffer__command coffer__command_unlink; /* key ... */
extern const coffer__command coffer__command_pttl;
extern const coffer__command coffer__command_pexpire;
extern const coffer__command coffer__command_persist;
extern const coffer__command coffer__command_ping;
extern const coffer__command coffer__command_scan; /* cursor MATCH pattern COUNT n */
extern const coffer__command coffer__command_cluster; /* SLOTS */
extern const coffer__command coffer__command_sentinel; /* MASTER name */
extern const coffer__command coffer__command_store_if; /* script: key, "absent" or "is", id, value, px or "0" */
extern const coffer__command coffer__command_add; /* script: key, delta, px or "0" */

#endif
