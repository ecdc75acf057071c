#include "stream.h"

#include <string.h>

const char *coffer__stream_failure(const coffer__stream *stream, ssize_t got, coffer_status *status) {
    const char *words = stream->tls == NULL ? NULL : coffer__tls_failure(stream->tls, status);
    if (words != NULL) {
        return words;
    }
    *status = got == 0 || got == -ECONNRESET ? COFFER_CLOSED : COFFER_IO;
    return got == 0 ? "the server hung up" : strerror((int)-got);
}
