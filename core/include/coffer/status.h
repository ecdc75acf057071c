/* Every answer Coffer can give, once.
 *
 *   0          it was done
 *   above 0    an outcome that is no error (the key was not there)
 *   below 0    an error; the object it happened on can be used again
 *   below -900 an error after which that connection cannot be used again
 *
 * The table is the one source: the enum, the texts, the Python exceptions and the Lua codes are made from it.
 * X(NAME, value, PYTHON_EXCEPTION, text)
 */
#ifndef COFFER_STATUS_H
#define COFFER_STATUS_H

#include <coffer/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define COFFER_STATUS_MAP(X) \
    X(OK,              0, "",                     "done") \
    /* outcomes */ \
    X(MISS,            1, "",                     "the key is not in the cache") \
    X(STALE,           2, "",                     "the value is past its freshness and was served all the same") \
    X(NOT_STORED,      3, "",                     "nothing was stored: the key was not in the state that was asked for") \
    X(AGAIN,           4, "",                     "not finished yet") \
    /* what the caller gave */ \
    X(ARG,            -1, "ArgumentError",        "an argument cannot be accepted") \
    X(KEY_INVALID,    -2, "KeyInvalidError",      "the key breaks the rules for keys") \
    X(TOO_LARGE,      -3, "TooLargeError",        "the value is larger than what is allowed") \
    X(OPTION,         -4, "OptionError",          "an option cannot be accepted") \
    X(UNSUPPORTED,    -5, "UnsupportedError",     "this version cannot do that") \
    X(CLOSED_CACHE,   -6, "ClosedError",          "the cache was closed") \
    X(NO_MEMORY,      -7, "OutOfMemoryError",     "there was not enough memory") \
    X(INTERNAL,       -8, "InternalError",        "a fault inside coffer") \
    X(NO_RANDOM,      -9, "InternalError",        "the system gave no random bytes") \
    /* the way to the server */ \
    X(TIMEOUT,       -20, "TimeoutError",         "the deadline passed") \
    X(POOL_TIMEOUT,  -21, "PoolTimeoutError",     "no connection became free in time") \
    X(NOT_SENT,      -22, "ConnectionError",      "the connection failed before the request was sent") \
    X(MAYBE_APPLIED, -23, "MaybeAppliedError",    "the connection failed after the request was sent: it may have been applied") \
    X(CONNECT,       -24, "ConnectionError",      "the server cannot be reached") \
    X(DNS,           -25, "ConnectionError",      "the server's name cannot be resolved") \
    X(IO,            -26, "ConnectionError",      "reading from or writing to the server failed") \
    X(CLOSED,        -27, "ConnectionError",      "the server closed the connection") \
    X(INTERRUPTED,   -28, "InterruptedError",     "the call was interrupted") \
    X(BREAKER_OPEN,  -29, "ConnectionError",      "the server is away: it failed a moment ago, and is not asked again yet") \
    X(TLS,           -30, "TlsError",             "no TLS connection could be made with the server, or it broke") \
    X(CERTIFICATE,   -31, "CertificateError",     "the server's certificate cannot be trusted") \
    X(CREDENTIALS,   -32, "CredentialsError",     "no user name and password could be had to log in with") \
    /* what the server said */ \
    X(SERVER,        -40, "ServerError",          "the server refused the command") \
    X(AUTH,          -41, "AuthenticationError",  "the server refused the user name or password") \
    X(NOPERM,        -42, "PermissionDeniedError","the user may not run this command on the server") \
    X(READONLY,      -43, "ServerError",          "the server is a read-only replica") \
    X(LOADING,       -44, "ServerBusyError",      "the server is still loading its data") \
    X(BUSY,          -45, "ServerBusyError",      "the server is busy running a script") \
    X(MASTERDOWN,    -46, "ServerBusyError",      "the replica has lost its primary") \
    X(MOVED,         -47, "ServerError",          "the key lives on another node of the cluster") \
    X(ASK,           -48, "ServerError",          "the key is moving to another node of the cluster") \
    X(TRYAGAIN,      -49, "ServerBusyError",      "the keys are being moved between nodes") \
    X(CLUSTERDOWN,   -50, "ServerBusyError",      "the cluster cannot serve this key now") \
    X(CROSSSLOT,     -51, "ServerError",          "the keys live in different slots of the cluster") \
    X(OOM,           -52, "ServerError",          "the server is out of memory") \
    X(WRONGTYPE,     -53, "ServerError",          "the key holds another type of data") \
    X(NOSCRIPT,      -54, "ServerError",          "the server does not know the script") \
    X(NOREPLICAS,    -55, "ServerError",          "the server has too few replicas to accept writes") \
    X(NOT_INTEGER,   -56, "CounterError",         "the counter is not an integer or would leave 64 bits") \
    /* what was stored: to a read of a cache each is a miss with a counter of its own */ \
    X(BAD_MAGIC,     -60, "FormatError",          "not an envelope") \
    X(BAD_VERSION,   -61, "FormatError",          "an envelope of an unknown version") \
    X(BAD_SUITE,     -62, "FormatError",          "an envelope of an unknown suite") \
    X(BAD_FLAGS,     -63, "FormatError",          "an envelope with unknown flags") \
    X(BAD_KEY_ID,    -64, "FormatError",          "an envelope whose key id does not fit its suite") \
    X(BAD_LENGTH,    -65, "FormatError",          "an envelope whose lengths do not add up") \
    X(BAD_CRC,       -66, "FormatError",          "an envelope with a wrong checksum") \
    X(BAD_KIND,      -67, "FormatError",          "an envelope of an unknown kind") \
    X(BAD_CODEC,     -68, "FormatError",          "an envelope with an unknown compression") \
    X(BAD_FORMAT,    -69, "FormatError",          "an envelope with a reserved payload format") \
    X(BAD_TAGS,      -70, "FormatError",          "an envelope whose tags are malformed") \
    X(BAD_PAD,       -71, "FormatError",          "an envelope whose padding is malformed") \
    X(BAD_DICTIONARY,-72, "FormatError",          "an envelope compressed with an unknown dictionary") \
    X(DECOMP,        -73, "FormatError",          "an envelope whose payload does not decompress") \
    X(UNKNOWN_KEY,   -74, "SealError",            "an envelope sealed with a key that is not in the keyring") \
    X(REVOKED_KEY,   -75, "SealError",            "an envelope sealed with a key that was revoked") \
    X(AUTH_FAILED,   -76, "SealError",            "an envelope whose seal does not verify") \
    X(DOWNGRADE,     -77, "SealError",            "an envelope without a seal where only sealed ones are accepted") \
    X(SEAL_UNFIT,    -78, "SealError",            "the cryptographic library failed its known-answer test") \
    X(PLACEHOLDER,   -79, "",                     "a load of this key is under way elsewhere; nothing is stored yet") \
    /* loading */ \
    X(LOAD_FAILED,   -80, "LoadError",            "the loader failed") \
    X(LOAD_RECURSIVE,-81, "LoadError",            "a loader asked for the key that it is loading") \
    /* fatal to the connection */ \
    X(PROTO,        -901, "ProtocolError",        "the server's bytes are not the Redis protocol") \
    X(LIMIT,        -902, "ProtocolError",        "the server's reply is larger than what is allowed")
/* clang-format on */

typedef enum coffer_status {
#define COFFER_STATUS_ENUM(name, value, exception, text) COFFER_##name = (value),
    COFFER_STATUS_MAP(COFFER_STATUS_ENUM)
#undef COFFER_STATUS_ENUM
} coffer_status;

/* The name in the table ("TIMEOUT"); "UNKNOWN" for a number that is not in it. Static. */
COFFER_API const char *coffer_status_name(coffer_status status);

/* The status of that name, for languages that have names alone; INTERNAL for one that is not in the table. */
COFFER_API coffer_status coffer_status_named(const char *name);

/* What it means, for a person, without a full stop. Static. */
COFFER_API const char *coffer_status_text(coffer_status status);

/* The class of coffer's Python exceptions that stands for it; "" for outcomes. Static. */
COFFER_API const char *coffer_status_exception(coffer_status status);

/* Whether the server could not be asked (it is away, too slow or not able to serve), so that a cache may go on without it. Not what only a person can
 * mend, which has to be noticed: bytes that are no Redis protocol (PROTO), a reply above the limits (LIMIT), TLS, CERTIFICATE, CREDENTIALS, and whatever
 * a server that works answered (AUTH, NOPERM, WRONGTYPE, READONLY ...). */
COFFER_API bool coffer_status_is_outage(coffer_status status);

/* A failure in words. Give one to any function that takes it, or NULL; `text` is always terminated.
 * It never holds a secret, a key or a value. */
typedef struct coffer_error {
    coffer_status status;
    char text[496];
} coffer_error;

#ifdef __cplusplus
}
#endif
#endif
