/* Preloaded: each name has two addresses, at the first of which nobody answers; but nobody.test has none. */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

int getaddrinfo(const char *restrict name, const char *restrict port, const struct addrinfo *restrict hints, struct addrinfo **restrict found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (strcmp(name, "nobody.test") == 0) {
        return EAI_NONAME;
    }
    int error = real("127.0.0.2", port, hints, found);
    return error != 0 ? error : real("127.0.0.1", port, hints, &(*found)->ai_next);
}
