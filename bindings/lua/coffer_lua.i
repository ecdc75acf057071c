/* How the flat functions of coffer.i look from Lua: typemaps, and the hand-written calls. lib/coffer.lua requires the module as coffer.core.
 *
 *   coffer_slice                  string in
 *   coffer_options, coffer_cache  userdata of our own; collecting one frees or closes
 *   coffer_op ** with namespace   a cache in, an op out: op_finish runs it
 *   coffer_error *                not seen: nil, a message and the status's name instead of the result
 *   write and read options        nil or {ttl_ms, absent, timeout_ms}; nil or timeout_ms
 *
 * Integers go in and out as lua_Integer or are refused: SWIG's own typemaps would make doubles of them.
 * Raised is only in argument typemaps, before the core is entered.
 */
%module coffer_core

%{
#include "native_loop.h"
#include "native_near.h"
%}

%init %{
    coffer__lua_init(L);
%}

/* ---- text ---- */

%typemap(in) coffer_slice {
    $1 = coffer__lua_key(L, $input);
}
%typemap(in, checkfn="lua_isstring") const char *name {
    $1 = (char *)lua_tostring(L, $input);
}
%typemap(in, numinputs=0) (char *out, size_t cap) (char text[4096]) {
    text[0] = '\0';
    $1 = text;
    $2 = sizeof text;
}
%typemap(argout) (char *out, size_t cap) {
    lua_pushstring(L, $1); SWIG_arg = 1;
}
%typemap(out) size_t "(void)$1;" /* of the function above */

/* ---- statuses and errors ---- */

%typemap(in) coffer_status {
    $1 = (coffer_status)luaL_checkinteger(L, $input);
}
%typemap(out) coffer_status {
    lua_pushinteger(L, (lua_Integer)$1); SWIG_arg++;
}
%typemap(in, numinputs=0) coffer_error *error (coffer_error fault) {
    fault.status = COFFER_OK;
    fault.text[0] = '\0';
    $1 = &fault;
}
%typemap(argout) coffer_error *error {
    if (result < 0) return coffer__lua_fail(L, result, $1->text);
}

/* ---- enums, small numbers ---- */

%typemap(in) coffer_scope, coffer_operation {
    $1 = ($1_ltype)luaL_checkinteger(L, $input);
}
%typemap(in) uint32_t percent {
    $1 = (uint32_t)luaL_checkinteger(L, $input);
}
%typemap(out) coffer_operation {
    lua_pushinteger(L, (lua_Integer)$1); SWIG_arg++;
}

/* ---- options, caches: the userdata stands before anything is allocated for it ---- */

%exception coffer_options_new {
    coffer_options **box = coffer__lua_options_box(L);
    $action
    *box = result;
}
%exception coffer_options_copy {
    coffer_options **box = coffer__lua_options_box(L);
    $action
    *box = result;
}
%typemap(in) coffer_options *, const coffer_options * {
    $1 = coffer__lua_options_of(L, $input);
}
%typemap(out) coffer_options * {
    if ($1 == NULL) return coffer__lua_fail(L, COFFER_NO_MEMORY, NULL);
    SWIG_arg = 1;
}
%typemap(out) const coffer_options * { /* lent by the cache: Lua gets a copy */
    coffer_options **box = coffer__lua_options_box(L);
    *box = coffer_options_copy($1);
    if (*box == NULL) return coffer__lua_fail(L, COFFER_NO_MEMORY, NULL);
    SWIG_arg = 1;
}
%typemap(in, numinputs=0) (coffer_lookup_fn lookup, void *user_data) {
    $1 = NULL;
    $2 = NULL;
}
%typemap(in) coffer_cache *, const coffer_cache * {
    coffer__lua_handle *handle = coffer__lua_handle_of(L, $input);
    if (handle->is_closed) return coffer__lua_fail(L, COFFER_CLOSED_CACHE, NULL);
    $1 = handle->cache;
}
%typemap(in, numinputs=0) coffer_cache ** "$1 = NULL;" /* made by %exception, behind the check of the arguments */
%exception coffer_open {
    coffer__lua_handle *opened = coffer__lua_handle_box(L);
    if (opened == NULL) return coffer__lua_fail(L, COFFER_NO_MEMORY, NULL);
    arg1 = &opened->cache;
    lua_insert(L, 1);
    $action
}
%exception coffer_open_namespace {
    coffer__lua_handle *opened = coffer__lua_handle_box(L);
    if (opened == NULL) return coffer__lua_fail(L, COFFER_NO_MEMORY, NULL);
    arg1 = &opened->cache;
    lua_insert(L, 1);
    $action
}
%typemap(argout) coffer_cache ** {
    if (result >= 0) {
        lua_pushvalue(L, 1);
        SWIG_arg = 1;
    }
}

/* ---- durations: milliseconds as a number, math.huge for ever ---- */

%typemap(in) uint64_t ttl_ms {
    $1 = coffer__lua_duration(L, $input);
}
%typemap(in, numinputs=0) uint64_t *ttl_ms (uint64_t parsed_ms = 0) {
    $1 = &parsed_ms;
}
%typemap(argout) uint64_t *ttl_ms {
    coffer__lua_push_duration(L, *$1); SWIG_arg = 1;
}
%typemap(in) uint64_t clock_us { /* exact for 285 years */
    $1 = (uint64_t)luaL_checknumber(L, $input);
}
%typemap(out) uint64_t {
    lua_pushnumber(L, (lua_Number)$1); SWIG_arg++;
}
%typemap(in) double seconds {
    $1 = (double)luaL_checknumber(L, $input);
}

/* ---- ops ---- */

%typemap(in) (coffer_op **op, coffer_namespace *ns) (coffer__lua_op *box) {
    box = coffer__lua_op_begin(L); /* in the place of argument 1 */
    if (box == NULL) return coffer__lua_fail(L, COFFER_CLOSED_CACHE, NULL);
    $1 = &box->op;
    $2 = coffer__lua_op_namespace(box);
}
%typemap(argout) (coffer_op **op, coffer_namespace *ns) {
    if (result < 0) {
        coffer__lua_op_settle(box$argnum);
        return coffer__lua_fail(L, result, NULL);
    }
    lua_pushvalue(L, 1); SWIG_arg = 1;
}
%typemap(in) const coffer_op * {
    coffer__lua_op *box = coffer__lua_op_of(L, $input);
    if (box == NULL) return coffer__lua_fail(L, COFFER_INTERNAL, NULL);
    $1 = box->op;
}

/* A stored value is lent until its op is freed, so the op holds a copy. The op is argument 1 of every function that takes one. */
%typemap(in) coffer_slice value_lent {
    coffer__lua_op *owner = (coffer__lua_op *)(void *)arg1;
    coffer__lua_fault fault = coffer__lua_op_lend(L, owner, $input);
    if (fault.status < 0) {
        coffer__lua_op_settle(owner);
        return coffer__lua_fail_fault(L, fault);
    }
    $1 = owner->value;
}
%typemap(in) const coffer_write_options *options (coffer_write_options given) {
    given = coffer__lua_write_options(L, $input, ((coffer__lua_op *)(void *)arg1)->format);
    $1 = &given;
}
%typemap(in) const coffer_read_options *options (coffer_read_options given) {
    given = coffer__lua_read_options(L, $input);
    $1 = &given;
}
%typemap(in) uint64_t entry_id {
    $1 = coffer__lua_entry_id(L, $input);
}
%typemap(in) int64_t delta {
    luaL_argcheck(L, coffer__lua_integer(L, $input, &$1), $input, "not an integer");
}
%typemap(out) int64_t {
    if (!coffer__lua_push_integer(L, $1)) lua_pushnil(L);
    SWIG_arg++;
}

/* ---- written by hand in native.c, native_calls.c, native_tables.c, native_near.c and native_loop.c ---- */

%define COFFER_NATIVE(name)
%native(name) int coffer__lua_##name(lua_State *L);
%enddef
COFFER_NATIVE(get)
COFFER_NATIVE(entry)
COFFER_NATIVE(peek)
COFFER_NATIVE(peek_load)
COFFER_NATIVE(peek_entry)
COFFER_NATIVE(near_shared)
COFFER_NATIVE(near_found)
COFFER_NATIVE(keep_objects)
COFFER_NATIVE(set)
COFFER_NATIVE(delete)
COFFER_NATIVE(get_many)
COFFER_NATIVE(set_many)
COFFER_NATIVE(delete_many)
COFFER_NATIVE(load_begin)
COFFER_NATIVE(load_supply)
COFFER_NATIVE(load_abort)
COFFER_NATIVE(op_finish)
COFFER_NATIVE(ask)
COFFER_NATIVE(close)
COFFER_NATIVE(is_closed)
COFFER_NATIVE(is_local)
COFFER_NATIVE(option_table)
COFFER_NATIVE(stats)
COFFER_NATIVE(health)
COFFER_NATIVE(json_text)
COFFER_NATIVE(json_value)
COFFER_NATIVE(array)
COFFER_NATIVE(resume)
COFFER_NATIVE(is_stopped)
COFFER_NATIVE(drop)
COFFER_NATIVE(later)
COFFER_NATIVE(held_bytes)
COFFER_NATIVE(loop_new)
COFFER_NATIVE(loop_attach)
COFFER_NATIVE(loop_hold)
COFFER_NATIVE(loop_order)
COFFER_NATIVE(loop_stopped)
COFFER_NATIVE(loop_opened)
COFFER_NATIVE(loop_reopened)
COFFER_NATIVE(loop_fed)
COFFER_NATIVE(loop_lost)
COFFER_NATIVE(loop_tick)
COFFER_NATIVE(loop_is_idle)
COFFER_NATIVE(loop_release)
COFFER_NATIVE(loop_close)
COFFER_NATIVE(loop_step_back)

%include "coffer.i"
