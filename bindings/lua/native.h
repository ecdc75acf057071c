/* The hand-written part of the Lua binding: what SWIG's generated wrappers stand on, and the calls that no typemap can say.
 *
 *     handle   userdata "coffer.cache" -> one counted coffer_cache; ops that run keep it whole after a close
 *     op       userdata "coffer.op": one coffer_op, and all memory that was made for it
 *     text     bytes made here: a value encoded as JSON, a string without its escapes
 *
 * lua_error jumps over C frames, and any call that makes a Lua object may raise it: so nothing is allocated before the userdata that owns it
 * stands on the stack with its __gc. Ops are ended as soon as their answer is on the stack; __gc is for the calls that were jumped over.
 * C calls no Lua but the function `credentials`, protected, while a connection waits for it. A state and its objects belong to one thread at a time, which is Lua's own rule.
 *
 * What can happen at run time is returned: nil, a message, and the status's name ("TIMEOUT"). Raised is only what is no argument at all
 * (lib/coffer.lua has checked before). One source for Lua 5.4, 5.1 and LuaJIT, compiled once for each.
 */
#ifndef COFFER_LUA_NATIVE_H
#define COFFER_LUA_NATIVE_H

#include <coffer/coffer.h>
#include <lauxlib.h>
#include <lua.h>

#if LUA_VERSION_NUM >= 503
#define COFFER__LUA_HAS_INTEGERS 1
#else
#define COFFER__LUA_HAS_INTEGERS 0
#endif
#define COFFER__LUA_EXACT_MAX ((int64_t)1 << 53) /* the largest integer up to which a double keeps each */

/* Grows by doubling; zeroed is empty. */
typedef struct coffer__lua_text {
    char *data;
    size_t len;
    size_t cap;
} coffer__lua_text;

/* Why something cannot be done; `why` is static. OK and NULL: it was done. */
typedef struct coffer__lua_fault {
    coffer_status status;
    const char *why;
} coffer__lua_fault;

typedef struct coffer__lua_loop coffer__lua_loop; /* native_loop.h */
typedef struct coffer__lua_op coffer__lua_op;

/* What reads of what is near need (native_near.h). Zeroed is empty. */
typedef struct coffer__lua_near {
    coffer_room *room; /* NULL before the first peek, and after a large value */
    coffer__lua_text text; /* scratch of what is pushed */
    bool is_busy; /* the room is being read */
    uint32_t read_counts[2]; /* of get, and of get_or_load: some are timed */
    int values; /* in the registry, where slot_count is not 0 */
    uint64_t *versions; /* of the entries that the values were made of, by slot; 0: none is there */
    size_t slot_count, slot_next;
} coffer__lua_near;

typedef struct coffer__lua_handle {
    coffer_cache *cache; /* NULL before it was opened, and once it was really closed */
    coffer__lua_loop *loop; /* counted: runs its ops; NULL: the blocking driver does */
    size_t op_count; /* ops alive */
    bool is_owned; /* by a userdata that was not collected yet */
    bool is_closed; /* for new calls */
    coffer__lua_near near;
    int credentials; /* in the registry: the function that is asked at each connect; LUA_NOREF: none */
} coffer__lua_handle;

/* Pushes what an op that is done answers, or that its loader has to run, and settles it unless that is so. The op stands at 1, and at 2 what its call has
 * there: the keys of a batch, the value that a loader gave. */
typedef int (*coffer__lua_answer)(lua_State *lua, coffer__lua_op *op);

struct coffer__lua_op {
    coffer_op *op; /* first: generated wrappers know this address as the `coffer_op **op` that they fill */
    coffer__lua_handle *handle; /* NULL once settled */
    coffer__lua_loop *loop; /* while there is a task, and its slot there */
    coffer_task *task; /* owns the op; NULL: it was not begun, or there is no loop */
    uint32_t slot, parent_slot; /* parent_slot: of the load whose loader began this op; 0: of none */
    coffer__lua_answer answer;
    coffer_want want; /* how far it went: DONE or LOAD */
    coffer__lua_text text; /* of values that go in, and scratch of those that come out */
    void *batch; /* slices or items of many keys */
    coffer_slice value; /* what `lend` took */
    uint8_t format;
    bool is_supplied; /* its loader's value stands at 2 */
    coffer__lua_fault fault; /* why that value cannot be stored */
    uint64_t load_began_ms;
};

/* ---- native.c: errors, handles, ops, values ---- */

/* Pushes nil, the message (NULL or "": the table's text) and the status's name; answers 3. */
int coffer__lua_fail(lua_State *lua, coffer_status status, const char *message);
int coffer__lua_fail_fault(lua_State *lua, coffer__lua_fault fault);
void coffer__lua_handle_release(coffer__lua_handle *handle); /* one op of it less */
void coffer__lua_add_metatable(lua_State *lua, const char *name, lua_CFunction collect);

/* Makes the metatables. Called once for each state, by luaopen. */
void coffer__lua_init(lua_State *lua);

coffer_options **coffer__lua_options_box(lua_State *lua); /* pushes an empty one */
coffer_options *coffer__lua_options_of(lua_State *lua, int index);

coffer__lua_handle *coffer__lua_handle_box(lua_State *lua); /* pushes one that is not opened; NULL: no memory */
coffer__lua_handle *coffer__lua_handle_of(lua_State *lua, int index); /* also a closed one */
coffer__lua_handle *coffer__lua_handle_at(lua_State *lua, int index); /* the same; NULL where it was collected, which a weak table may show */

/* Puts an op that has no coffer_op yet into the place of its handle, 1. NULL where that is closed. */
coffer__lua_op *coffer__lua_op_begin(lua_State *lua);
coffer__lua_op *coffer__lua_op_of(lua_State *lua, int index); /* NULL once settled */
coffer_namespace *coffer__lua_op_namespace(const coffer__lua_op *op);
void coffer__lua_op_settle(coffer__lua_op *op); /* ends the op and frees what it held; twice is harmless */

/* Runs what was made, or what goes on after a loader, to its answer, which it pushes; or to where the loop has to wait (native_loop.h). */
int coffer__lua_op_end(lua_State *lua, coffer__lua_op *op, coffer_status made, coffer__lua_answer answer);
int coffer__lua_op_go_on(lua_State *lua, coffer__lua_op *op, coffer__lua_answer answer);

coffer_status coffer__lua_op_status(const coffer__lua_op *op); /* of one that is done */

/* Pushes nil, the op's message, its status's name; settles it; answers 3. */
int coffer__lua_op_fail(lua_State *lua, coffer__lua_op *op);

/* The string at `index`, lent by the stack; key raises where it is none. */
coffer_slice coffer__lua_key(lua_State *lua, int index);
coffer_slice coffer__lua_slice(lua_State *lua, int index);

/* A value to store, and its format: UTF-8 text, other bytes, or JSON made in `text`. Strings are lent by the stack. */
coffer__lua_fault coffer__lua_value_in(lua_State *lua, int index, coffer__lua_text *text, coffer_slice *data, uint8_t *format);

/* The same for an op that runs after this call: strings are copied. Into op->value and op->format. */
coffer__lua_fault coffer__lua_op_lend(lua_State *lua, coffer__lua_op *op, int index);

/* Pushes what a read value is in Lua; nothing where it fails. */
coffer__lua_fault coffer__lua_push_value(lua_State *lua, const coffer_value *value, coffer__lua_text *scratch);

/* Milliseconds as a number; HUGE_VAL stands for "for ever", nil for 0. */
uint64_t coffer__lua_duration(lua_State *lua, int index);
void coffer__lua_push_duration(lua_State *lua, uint64_t duration_ms);

/* An integer that this Lua keeps exactly: 64 bits, or 2^53 where all numbers are doubles. False where it is none. */
bool coffer__lua_integer(lua_State *lua, int index, int64_t *integer);
bool coffer__lua_push_integer(lua_State *lua, int64_t integer);
void coffer__lua_push_count(lua_State *lua, uint64_t count); /* of a counter: rounded where it is too large */

/* An entry id is 16 hexadecimal digits in Lua, so that no double rounds it. */
#define COFFER__LUA_ID_DIGITS 16
uint64_t coffer__lua_entry_id(lua_State *lua, int index); /* raises where it is none */

/* nil or {ttl_ms, absent, timeout_ms}; nil or timeout_ms. */
coffer_write_options coffer__lua_write_options(lua_State *lua, int index, uint8_t format);
coffer_read_options coffer__lua_read_options(lua_State *lua, int index);

/* ---- text.c ---- */

bool coffer__lua_text_reserve(coffer__lua_text *text, size_t more); /* false: no memory, and nothing changed */
bool coffer__lua_text_append(coffer__lua_text *text, const char *data, size_t len);
void coffer__lua_text_free(coffer__lua_text *text);

/* Whether it is UTF-8 as Unicode defines it: shortest forms, no surrogates, up to U+10FFFF. */
bool coffer__lua_is_utf8(coffer_slice data);

/* ---- json_encode.c, json_decode.c: exact, or refused ----
 *
 * Tables whose keys are 1..n are arrays, those with string keys objects; an empty one is an object, unless it has the metatable "coffer.array",
 * which every decoded array has. Refused: gaps, mixed keys, NaN, infinity, strings that are not UTF-8, functions and the like,
 * nesting deeper than COFFER__LUA_JSON_DEPTH. null is the light userdata NULL, as in cjson. Integers keep their value or are refused.
 * Metatables are not asked: what is stored is what the table itself holds. */
#define COFFER__LUA_JSON_DEPTH 1000
#define COFFER__LUA_ARRAY "coffer.array"

/* Appends. Raises nothing but Lua's own lack of memory. */
coffer__lua_fault coffer__lua_json_encode(lua_State *lua, int index, coffer__lua_text *text);

/* Pushes the value; nothing where it fails. Of keys that stand twice the last counts. `json` is UTF-8. */
coffer__lua_fault coffer__lua_json_decode(lua_State *lua, coffer_slice json, coffer__lua_text *scratch);

/* ---- native_calls.c, native_tables.c: entered through %native ---- */

int coffer__lua_get(lua_State *lua);
int coffer__lua_entry(lua_State *lua);
int coffer__lua_set(lua_State *lua);
int coffer__lua_delete(lua_State *lua);
int coffer__lua_get_many(lua_State *lua);
int coffer__lua_set_many(lua_State *lua);
int coffer__lua_delete_many(lua_State *lua);
int coffer__lua_load_begin(lua_State *lua);
int coffer__lua_load_supply(lua_State *lua);
int coffer__lua_load_abort(lua_State *lua);
int coffer__lua_op_finish(lua_State *lua);
int coffer__lua_number_answer(lua_State *lua, coffer__lua_op *op); /* what op_finish answers */
int coffer__lua_ask(lua_State *lua);
int coffer__lua_close(lua_State *lua);
int coffer__lua_is_closed(lua_State *lua);
int coffer__lua_is_local(lua_State *lua);
int coffer__lua_option_table(lua_State *lua);
int coffer__lua_stats(lua_State *lua);
int coffer__lua_health(lua_State *lua);
int coffer__lua_json_text(lua_State *lua);
int coffer__lua_json_value(lua_State *lua);
int coffer__lua_array(lua_State *lua);

#endif
