#include "stream.h"

#include <string.h>

const char *coffer__stream_failure(const coffer__stream *stream, ssize_t got, coffer_status *status) {
    (void)stream;
    *status = got == 0 || got == -ECONNRESET ? COFFER_CLOSED : COFFER_IO;
    return got == 0 ? "the server hung up" : strerror((int)-got);
}
