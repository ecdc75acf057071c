#include "native.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#define NUMBER_BYTES 512 /* longer numbers are refused */

/* One decoding. Functions push one value and are true, or are false with `fault`; what they left on the stack then is dropped at the end. */
typedef struct reader {
    lua_State *lua;
    coffer__lua_text *scratch;
    const char *at;
    const char *end;
    int array; /* where the metatable of arrays stands on the stack */
    int depth;
    coffer__lua_fault fault;
} reader;

static bool refuse(reader *in, coffer_status status, const char *why) {
    in->fault = (coffer__lua_fault){status, why};
    return false;
}

static bool malformed(reader *in) {
    return refuse(in, COFFER_BAD_FORMAT, "the value is marked as JSON but cannot be read as JSON");
}

static void skip_blanks(reader *in) {
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t')) {
        in->at++;
    }
}

static bool take(reader *in, char wanted) {
    bool is_there = in->at < in->end && *in->at == wanted;
    in->at += is_there;
    return is_there;
}

/* The same behind blanks. */
static bool take_sign(reader *in, char wanted) {
    skip_blanks(in);
    return take(in, wanted);
}

static bool read_value(reader *in);

/* ---- numbers: -? (0 | [1-9] digits) (. digits)? ([eE] [+-]? digits)? ---- */

static bool take_digits(reader *in) {
    const char *start = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
        in->at++;
    }
    return in->at > start;
}

static bool take_fraction(reader *in, bool *is_integer) {
    if (!take(in, '.')) {
        return true;
    }
    *is_integer = false;
    return take_digits(in);
}

static bool take_exponent(reader *in, bool *is_integer) {
    if (!take(in, 'e') && !take(in, 'E')) {
        return true;
    }
    *is_integer = false;
    if (!take(in, '+')) {
        take(in, '-');
    }
    return take_digits(in);
}

static bool take_number(reader *in, bool *is_integer) {
    *is_integer = true;
    take(in, '-');
    return (take(in, '0') || take_digits(in)) && take_fraction(in, is_integer) && take_exponent(in, is_integer);
}

static bool push_integer(reader *in, const char *text) {
    errno = 0;
    long long integer = strtoll(text, NULL, 10);
    if (errno == ERANGE || !coffer__lua_push_integer(in->lua, integer)) {
        return refuse(in, COFFER_UNSUPPORTED, "the value holds an integer that this Lua cannot keep exactly");
    }
    return true;
}

static bool push_double(reader *in, char *text) {
    char *point = strchr(text, '.');
    if (point != NULL) {
        *point = *localeconv()->decimal_point; /* what strtod reads here */
    }
    char *rest;
    double number = strtod(text, &rest);
    if (*rest != '\0' || !isfinite(number)) {
        return refuse(in, COFFER_UNSUPPORTED, "the value holds a number that this Lua cannot keep");
    }
    lua_pushnumber(in->lua, (lua_Number)number);
    return true;
}

static bool read_number(reader *in) {
    char text[NUMBER_BYTES];
    const char *start = in->at;
    bool is_integer;
    if (!take_number(in, &is_integer)) {
        return malformed(in);
    }
    size_t len = (size_t)(in->at - start);
    if (len >= sizeof text) {
        return refuse(in, COFFER_UNSUPPORTED, "the value holds a number with too many digits");
    }
    memcpy(text, start, len);
    text[len] = '\0';
    return is_integer ? push_integer(in, text) : push_double(in, text);
}

/* ---- strings ---- */

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The four digits behind \u; above 0xFFFF where they are none. */
static uint32_t take_unit(reader *in) {
    uint32_t unit = 0;
    if (in->end - in->at < 4) {
        return UINT32_MAX;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*in->at++);
        if (digit < 0) {
            return UINT32_MAX;
        }
        unit = unit << 4 | (uint32_t)digit;
    }
    return unit;
}

/* The code point behind \u, of two units where the first is a high surrogate; above 0x10FFFF where it is none. */
static uint32_t take_point(reader *in) {
    uint32_t first = take_unit(in);
    if (first < 0xD800 || first > 0xDFFF) {
        return first;
    }
    if (first > 0xDBFF || !take(in, '\\') || !take(in, 'u')) {
        return UINT32_MAX;
    }
    uint32_t second = take_unit(in);
    return second >= 0xDC00 && second <= 0xDFFF ? 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00) : UINT32_MAX;
}

static size_t utf8_of(uint32_t point, char out[4]) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char MARK[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (char)(MARK[len] | point);
    return len;
}

static bool add(reader *in, const char *data, size_t len) {
    return coffer__lua_text_append(in->scratch, data, len) || refuse(in, COFFER_NO_MEMORY, NULL);
}

/* What stands behind a backslash. */
static bool add_escape(reader *in) {
    static const char SIGNS[] = "\"\"\\\\//b\bf\fn\nr\rt\t"; /* pairs: the sign, and what it stands for */
    char sign = in->at < in->end ? *in->at++ : '\0';
    if (sign == 'u') {
        char bytes[4];
        uint32_t point = take_point(in);
        return point > 0x10FFFF ? malformed(in) : add(in, bytes, utf8_of(point, bytes));
    }
    for (size_t i = 0; sign != '\0' && SIGNS[i] != '\0'; i += 2) {
        if (SIGNS[i] == sign) {
            return add(in, &SIGNS[i + 1], 1);
        }
    }
    return malformed(in);
}

/* Up to the next quote, backslash or sign that may not stand there. */
static coffer_slice take_plain(reader *in) {
    const char *start = in->at;
    while (in->at < in->end && *in->at != '"' && *in->at != '\\' && (unsigned char)*in->at >= 0x20) {
        in->at++;
    }
    return coffer_slice_of(start, (size_t)(in->at - start));
}

/* Behind the opening quote. */
static bool read_string(reader *in) {
    coffer_slice plain = take_plain(in);
    if (take(in, '"')) {
        lua_pushlstring(in->lua, plain.data, plain.len);
        return true;
    }
    in->scratch->len = 0;
    bool is_read = add(in, plain.data, plain.len);
    while (is_read && take(in, '\\')) {
        is_read = add_escape(in);
        plain = take_plain(in);
        is_read = is_read && add(in, plain.data, plain.len);
    }
    if (!is_read || !take(in, '"')) {
        return is_read ? malformed(in) : false;
    }
    lua_pushlstring(in->lua, in->scratch->data, in->scratch->len);
    return true;
}

/* ---- arrays and objects, behind their opening sign ---- */

static bool read_array(reader *in) {
    lua_newtable(in->lua);
    lua_pushvalue(in->lua, in->array);
    lua_setmetatable(in->lua, -2);
    if (take_sign(in, ']')) {
        return true;
    }
    for (int i = 1; read_value(in); i++) {
        lua_rawseti(in->lua, -2, i);
        if (take_sign(in, ']')) {
            return true;
        }
        if (!take(in, ',')) {
            return malformed(in);
        }
    }
    return false;
}

static bool read_pair(reader *in) {
    if (!take_sign(in, '"')) {
        return malformed(in);
    }
    if (!read_string(in)) {
        return false;
    }
    if (!take_sign(in, ':')) {
        return malformed(in);
    }
    return read_value(in);
}

static bool read_object(reader *in) {
    lua_newtable(in->lua);
    if (take_sign(in, '}')) {
        return true;
    }
    while (read_pair(in)) {
        lua_rawset(in->lua, -3);
        if (take_sign(in, '}')) {
            return true;
        }
        if (!take(in, ',')) {
            return malformed(in);
        }
    }
    return false;
}

static bool read_nested(reader *in, bool (*read)(reader *)) {
    if (in->depth == COFFER__LUA_JSON_DEPTH || !lua_checkstack(in->lua, 8)) {
        return refuse(in, COFFER_UNSUPPORTED, "the value is nested too deeply");
    }
    in->depth++;
    bool is_read = read(in);
    in->depth--;
    return is_read;
}

/* ---- any value ---- */

static bool take_word(reader *in, const char *word) {
    size_t len = strlen(word);
    bool is_there = (size_t)(in->end - in->at) >= len && memcmp(in->at, word, len) == 0;
    in->at += is_there ? len : 0;
    return is_there;
}

static bool read_word(reader *in) {
    if (take_word(in, "null")) {
        lua_pushlightuserdata(in->lua, NULL);
    } else if (take_word(in, "true")) {
        lua_pushboolean(in->lua, 1);
    } else if (take_word(in, "false")) {
        lua_pushboolean(in->lua, 0);
    } else {
        return malformed(in);
    }
    return true;
}

static bool read_value(reader *in) {
    skip_blanks(in);
    if (take(in, '"')) {
        return read_string(in);
    }
    if (take(in, '{')) {
        return read_nested(in, read_object);
    }
    if (take(in, '[')) {
        return read_nested(in, read_array);
    }
    bool is_number = in->at < in->end && (*in->at == '-' || (*in->at >= '0' && *in->at <= '9'));
    return is_number ? read_number(in) : read_word(in);
}

coffer__lua_fault coffer__lua_json_decode(lua_State *lua, coffer_slice json, coffer__lua_text *scratch) {
    int top = lua_gettop(lua);
    luaL_checkstack(lua, 8, NULL);
    luaL_getmetatable(lua, COFFER__LUA_ARRAY);
    reader in = {lua, scratch, json.data, json.data + json.len, top + 1, 0, {COFFER_OK, NULL}};
    bool is_read = json.len > 0 ? read_value(&in) : malformed(&in);
    if (is_read) {
        skip_blanks(&in);
        is_read = in.at == in.end || malformed(&in);
    }
    if (is_read) {
        lua_replace(lua, top + 1);
    }
    lua_settop(lua, is_read ? top + 1 : top);
    return in.fault;
}
