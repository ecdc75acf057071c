#include "native.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One encoding. `array` is where the metatable of arrays stands on the stack. */
typedef struct writer {
    lua_State *lua;
    coffer__lua_text *text;
    int array;
    int depth;
    coffer__lua_fault fault; /* the first one */
} writer;

static bool refuse(writer *out, coffer_status status, const char *why) {
    out->fault = (coffer__lua_fault){status, why};
    return false;
}

static bool put(writer *out, const char *data, size_t len) {
    return coffer__lua_text_append(out->text, data, len) || refuse(out, COFFER_NO_MEMORY, NULL);
}

static bool put_value(writer *out, int index);

/* ---- numbers ---- */

static bool put_integer(writer *out, long long integer) {
    char text[32];
    int len = snprintf(text, sizeof text, "%lld", integer);
    return put(out, text, (size_t)len);
}

/* The shortest text that reads back as the same double, marked as no integer; by no locale. */
static bool put_double(writer *out, double number) {
    char text[40];
    if (!isfinite(number)) {
        return refuse(out, COFFER_ARG, "NaN and infinity cannot be stored as JSON");
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text - 2, "%.*g", precision, number);
        if (strtod(text, NULL) == number) {
            break;
        }
    }
    char *point = text + strspn(text, "0123456789+-e");
    if (*point != '\0') {
        char *rest = point + strcspn(point, "0123456789"); /* a locale's own decimal sign */
        memmove(point + 1, rest, strlen(rest) + 1);
        *point = '.';
    } else if (strchr(text, 'e') == NULL) {
        memcpy(point, ".0", 3);
    }
    return put(out, text, strlen(text));
}

static bool put_number(writer *out, int index) {
#if COFFER__LUA_HAS_INTEGERS
    if (lua_isinteger(out->lua, index)) {
        return put_integer(out, (long long)lua_tointeger(out->lua, index));
    }
    return put_double(out, (double)lua_tonumber(out->lua, index));
#else
    double number = (double)lua_tonumber(out->lua, index);
    bool is_integer = fabs(number) <= (double)COFFER__LUA_EXACT_MAX && floor(number) == number && !(number == 0 && signbit(number));
    return is_integer ? put_integer(out, (long long)number) : put_double(out, number);
#endif
}

/* ---- strings ---- */

static bool put_escape(writer *out, unsigned char byte) {
    static const char SHORT[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: the byte, and what stands for it */
    for (size_t i = 0; SHORT[i] != '\0'; i += 2) {
        if ((unsigned char)SHORT[i] == byte) {
            char text[2] = {'\\', SHORT[i + 1]};
            return put(out, text, sizeof text);
        }
    }
    char text[8];
    int len = snprintf(text, sizeof text, "\\u%04x", (unsigned int)byte);
    return put(out, text, (size_t)len);
}

static bool put_string(writer *out, int index) {
    coffer_slice string = coffer__lua_slice(out->lua, index);
    if (!coffer__lua_is_utf8(string)) {
        return refuse(out, COFFER_ARG, "a string inside of a table has to be UTF-8 to be stored");
    }
    bool is_put = put(out, "\"", 1);
    size_t start = 0;
    for (size_t i = 0; is_put && i < string.len; i++) {
        unsigned char byte = (unsigned char)string.data[i];
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            is_put = put(out, string.data + start, i - start) && put_escape(out, byte);
            start = i + 1;
        }
    }
    return is_put && put(out, string.data + start, string.len - start) && put(out, "\"", 1);
}

/* ---- tables ---- */

typedef enum shape { SHAPE_OBJECT, SHAPE_ARRAY, SHAPE_REFUSED } shape;

/* 1 and above for what may be an array's index, 0 for a string, below 0 for every other key. */
static double key_rank(lua_State *lua, int index) {
    if (lua_type(lua, index) == LUA_TSTRING) {
        return 0;
    }
    double number = lua_type(lua, index) == LUA_TNUMBER ? (double)lua_tonumber(lua, index) : -1;
    return number >= 1 && number <= (double)COFFER__LUA_EXACT_MAX && floor(number) == number ? number : -1;
}

static bool is_marked_array(writer *out, int table) {
    bool is_marked = lua_getmetatable(out->lua, table) != 0;
    if (is_marked) {
        is_marked = lua_rawequal(out->lua, -1, out->array) != 0;
        lua_pop(out->lua, 1);
    }
    return is_marked;
}

/* Looks at all keys once. */
static shape shape_of(writer *out, int table, int *length) {
    double highest = 0;
    int string_count = 0, index_count = 0;
    for (lua_pushnil(out->lua); lua_next(out->lua, table) != 0; lua_pop(out->lua, 1)) {
        double rank = key_rank(out->lua, -2);
        if (rank < 0) {
            lua_pop(out->lua, 2);
            refuse(out, COFFER_ARG, "the keys of a table have to be strings, or 1 to n, to be stored");
            return SHAPE_REFUSED;
        }
        string_count += rank == 0;
        index_count += rank > 0;
        highest = rank > highest ? rank : highest;
    }
    if (index_count > 0 && (string_count > 0 || highest != (double)index_count)) {
        refuse(out, COFFER_ARG, "a table with gaps, or with both strings and numbers as keys, cannot be stored");
        return SHAPE_REFUSED;
    }
    *length = index_count;
    if (string_count > 0) {
        return SHAPE_OBJECT;
    }
    return index_count > 0 || is_marked_array(out, table) ? SHAPE_ARRAY : SHAPE_OBJECT;
}

static bool put_array(writer *out, int table, int length) {
    bool is_put = put(out, "[", 1);
    for (int i = 1; is_put && i <= length; i++) {
        lua_rawgeti(out->lua, table, i);
        is_put = (i == 1 || put(out, ",", 1)) && put_value(out, lua_gettop(out->lua));
        lua_pop(out->lua, 1);
    }
    return is_put && put(out, "]", 1);
}

static bool put_object(writer *out, int table) {
    bool is_put = put(out, "{", 1);
    bool is_first = true;
    lua_pushnil(out->lua);
    while (is_put && lua_next(out->lua, table) != 0) {
        int value = lua_gettop(out->lua);
        is_put = (is_first || put(out, ",", 1)) && put_string(out, value - 1) && put(out, ":", 1) && put_value(out, value);
        is_first = false;
        lua_pop(out->lua, 1);
    }
    return is_put && put(out, "}", 1);
}

static bool put_table(writer *out, int table) {
    int length = 0;
    if (out->depth == COFFER__LUA_JSON_DEPTH || !lua_checkstack(out->lua, 8)) {
        return refuse(out, COFFER_ARG, "the value is nested too deeply, or holds itself");
    }
    shape kind = shape_of(out, table, &length);
    out->depth++;
    bool is_put = kind != SHAPE_REFUSED && (kind == SHAPE_ARRAY ? put_array(out, table, length) : put_object(out, table));
    out->depth--;
    return is_put;
}

/* `index` is absolute. */
static bool put_value(writer *out, int index) {
    switch (lua_type(out->lua, index)) {
    case LUA_TSTRING:
        return put_string(out, index);
    case LUA_TNUMBER:
        return put_number(out, index);
    case LUA_TBOOLEAN:
        return lua_toboolean(out->lua, index) ? put(out, "true", 4) : put(out, "false", 5);
    case LUA_TTABLE:
        return put_table(out, index);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(out->lua, index) == NULL) {
            return put(out, "null", 4);
        }
        break;
    default:
        break;
    }
    return refuse(out, COFFER_ARG, "a value is a string, number, boolean, coffer.null, or a table of these");
}

coffer__lua_fault coffer__lua_json_encode(lua_State *lua, int index, coffer__lua_text *text) {
    int top = lua_gettop(lua);
    luaL_checkstack(lua, 8, NULL);
    luaL_getmetatable(lua, COFFER__LUA_ARRAY);
    writer out = {lua, text, top + 1, 0, {COFFER_OK, NULL}};
    put_value(&out, index);
    lua_settop(lua, top);
    return out.fault;
}
