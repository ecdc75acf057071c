#include "credentials.h"

#include "clock.h"
#include "policy/options_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct coffer_credentials {
    coffer__login *login;
    coffer_status status; /* of what was set */
};

void coffer__login_wipe(coffer__login *login) {
    coffer__buf_wipe(&login->username);
    coffer__buf_wipe(&login->password);
}

/* Room for all of it at once, so that no part of a password stays behind where a buffer grew. */
static coffer_status fill(coffer__login *login, coffer_slice username, coffer_slice password) {
    if (username.len > 512 || password.len > COFFER__PASSWORD_BYTES) {
        return COFFER_CREDENTIALS;
    }
    coffer__login_wipe(login);
    return coffer__buf_append_slice(&login->username, username) && coffer__buf_append_slice(&login->password, password) ? COFFER_OK
                                                                                                                        : COFFER_NO_MEMORY;
}

void coffer__credentials_init(coffer__credentials *credentials) {
    pthread_mutex_init(&credentials->mutex, NULL);
    atomic_init(&credentials->asks, false);
    atomic_init(&credentials->wanted, false);
}

void coffer__credentials_clear(coffer__credentials *credentials) {
    coffer__login_wipe(&credentials->given);
    pthread_mutex_destroy(&credentials->mutex);
}

void coffer__credentials_after_fork(coffer__credentials *credentials) {
    pthread_mutex_init(&credentials->mutex, NULL);
    credentials->given_at_us = 0;
    atomic_store(&credentials->wanted, false);
}

/* ---- a file ------------------------------------------------------------------------------------------------------- */

static const char *refuse_file(int fd) {
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        return strerror(errno);
    }
    if (!S_ISREG(about.st_mode)) {
        return "it is no regular file";
    }
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return "others than its owner may write to it";
    }
    return about.st_size > COFFER__PASSWORD_BYTES ? "it has more than 64KiB" : NULL;
}

/* NULL: the whole file is in `out`. */
static const char *read_file(int fd, coffer__buf *out, bool *out_of_memory) {
    *out_of_memory = !coffer__buf_reserve(out, COFFER__PASSWORD_BYTES + 1);
    while (!*out_of_memory && out->len <= COFFER__PASSWORD_BYTES) {
        ssize_t got = read(fd, out->data + out->len, COFFER__PASSWORD_BYTES + 1 - out->len);
        if (got < 0 && errno != EINTR) {
            return strerror(errno);
        }
        if (got == 0) {
            break;
        }
        out->len += got > 0 ? (size_t)got : 0;
    }
    return out->len > COFFER__PASSWORD_BYTES ? "it has more than 64KiB" : NULL;
}

/* A line's end behind the password, as editors and `echo` leave it, is not a part of it. */
static const char *trim(coffer__buf *password) {
    password->len -= password->len > 0 && password->data[password->len - 1] == '\n';
    password->len -= password->len > 0 && password->data[password->len - 1] == '\r';
    for (size_t i = 0; i < password->len; i++) {
        uint8_t byte = (uint8_t)password->data[i];
        if (byte < 0x20 || byte == 0x7F) {
            return "it holds control characters, or more than one line";
        }
    }
    return password->len == 0 ? "it is empty" : NULL;
}

static coffer_status from_file(const coffer_options *options, coffer__login *login, char why[COFFER__WHY_CAP]) {
    bool out_of_memory = !coffer__buf_append_slice(&login->username, coffer_slice_text(options->username));
    int fd = open(options->password_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *refused = refuse_file(fd);
    if (refused == NULL && !out_of_memory) {
        refused = read_file(fd, &login->password, &out_of_memory);
        refused = refused == NULL && !out_of_memory ? trim(&login->password) : refused;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (refused != NULL) {
        snprintf(why, COFFER__WHY_CAP, "the option 'password_file': %.150s: %s", options->password_file, refused);
    }
    return out_of_memory ? COFFER_NO_MEMORY : refused != NULL ? COFFER_CREDENTIALS : COFFER_OK;
}

/* ---- a function --------------------------------------------------------------------------------------------------- */

coffer_status coffer_credentials_set(coffer_credentials *credentials, coffer_slice username, coffer_slice password) {
    credentials->status = fill(credentials->login, username, password);
    return credentials->status;
}

static coffer_status from_function(coffer__credentials *credentials, coffer__login *login, char why[COFFER__WHY_CAP]) {
    coffer_credentials asked = {.login = login, .status = COFFER_CREDENTIALS};
    coffer_status said = credentials->function(credentials->user_data, &asked);
    if (asked.status == COFFER_NO_MEMORY) {
        return COFFER_NO_MEMORY;
    }
    if (said != COFFER_OK || asked.status != COFFER_OK) {
        snprintf(why, COFFER__WHY_CAP, "the function that gives them %s", said != COFFER_OK ? "failed" : "gave none that can be used");
        return COFFER_CREDENTIALS;
    }
    return COFFER_OK;
}

/* ---- a binding's function ----------------------------------------------------------------------------------------- */

coffer_status coffer__credentials_give(coffer__credentials *credentials, coffer_slice username, coffer_slice password) {
    pthread_mutex_lock(&credentials->mutex);
    coffer_status status = fill(&credentials->given, username, password);
    credentials->given_at_us = status == COFFER_OK ? coffer__clock_us() : 0;
    credentials->refused = false;
    if (status == COFFER_OK) {
        atomic_store(&credentials->wanted, false);
    }
    pthread_mutex_unlock(&credentials->mutex);
    return status;
}

void coffer__credentials_refuse(coffer__credentials *credentials) {
    pthread_mutex_lock(&credentials->mutex);
    coffer__login_wipe(&credentials->given);
    credentials->refused = true;
    credentials->given_at_us = coffer__clock_us();
    atomic_store(&credentials->wanted, false);
    pthread_mutex_unlock(&credentials->mutex);
}

static coffer_status from_binding(coffer__credentials *credentials, coffer__login *login, char why[COFFER__WHY_CAP]) {
    coffer_status status = COFFER_AGAIN;
    pthread_mutex_lock(&credentials->mutex);
    uint64_t until_us = coffer__clock_add_ms(credentials->given_at_us, COFFER__GIVEN_MS);
    if (credentials->given_at_us != 0 && coffer__clock_us() < until_us) {
        *login = credentials->given;
        credentials->given = (coffer__login)COFFER__LOGIN_INIT;
        credentials->given_at_us = 0;
        status = credentials->refused ? COFFER_CREDENTIALS : COFFER_OK;
        snprintf(why, COFFER__WHY_CAP, "the function that gives them failed");
    } else {
        atomic_store(&credentials->wanted, true);
    }
    pthread_mutex_unlock(&credentials->mutex);
    return status;
}

coffer_status coffer__credentials_get(coffer__credentials *credentials, coffer_client *client, coffer__login *login, char why[COFFER__WHY_CAP]) {
    const coffer_options *options = coffer_client_options(client);
    coffer_status status;
    if (credentials != NULL && credentials->function != NULL) {
        status = from_function(credentials, login, why);
    } else if (credentials != NULL && atomic_load(&credentials->asks)) {
        status = from_binding(credentials, login, why);
    } else if (options->password_file[0] != '\0') {
        status = from_file(options, login, why);
    } else {
        status = fill(login, coffer_slice_text(options->username), coffer_slice_text(options->password));
    }
    if (status != COFFER_OK) {
        coffer__login_wipe(login);
    }
    return status;
}
