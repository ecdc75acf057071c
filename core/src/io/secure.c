#include "secure.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "link.h"
#include "policy/options_internal.h"

static void after_fork(coffer__attachment *attachment) {
    coffer__secure *secure = (coffer__secure *)attachment;
    coffer__tls_context_after_fork(secure->tls);
    coffer__credentials_after_fork(&secure->credentials);
}

static void release(coffer__attachment *attachment) {
    coffer__secure *secure = (coffer__secure *)attachment;
    coffer__tls_context_free(secure->tls);
    coffer__credentials_clear(&secure->credentials);
    coffer__release(secure);
}

static coffer_status make(coffer__secure **secure, const coffer_options *options, coffer_error *error) {
    coffer__secure *made = (coffer__secure *)coffer__alloc_zero(sizeof *made);
    if (made == NULL) {
        return coffer__error_set(error, COFFER_NO_MEMORY, "the cache cannot be opened: %s", coffer_status_text(COFFER_NO_MEMORY));
    }
    coffer_status status = coffer__options_use_tls(options) ? coffer__tls_context_new(&made->tls, options, error) : COFFER_OK;
    if (status != COFFER_OK) {
        coffer__release(made);
        return status;
    }
    made->attachment = (coffer__attachment){.after_fork = after_fork, .release = release};
    coffer__credentials_init(&made->credentials);
    *secure = made;
    return COFFER_OK;
}

coffer_status coffer__secure_need(coffer_client *client, coffer__secure **secure, coffer_error *error) {
    coffer__secure *made = NULL;
    *secure = coffer__secure_of(client);
    if (*secure != NULL) {
        return COFFER_OK;
    }
    coffer_status status = make(&made, coffer_client_options(client), error);
    if (status == COFFER_OK) {
        *secure = (coffer__secure *)coffer__client_attach(client, &made->attachment);
        if (*secure != made) {
            release(&made->attachment);
        }
    }
    return status;
}

coffer_status coffer__secure_tls(coffer_client *client, const coffer_endpoint *endpoint, coffer__tls_context **context, coffer_error *error) {
    char name[COFFER__NAME_CAP];
    coffer__secure *secure;
    coffer_error why = {.text = ""};
    coffer_status status = coffer__secure_need(client, &secure, &why);
    coffer_endpoint_name(endpoint, name, sizeof name);
    if (status == COFFER_NO_MEMORY) {
        return coffer__error_set(error, status, "%s: %s", name, coffer_status_text(status));
    }
    if (status != COFFER_OK || secure->tls == NULL) {
        return coffer__error_set(error, COFFER_TLS, "%s: %s", name,
                                 status != COFFER_OK ? why.text : "the client's options ask for no TLS: write rediss://");
    }
    if (coffer__tls_context_must_warn(secure->tls)) {
        coffer__log(COFFER_LOG_TLS_UNVERIFIED, COFFER_OK, "%s", name);
    }
    *context = secure->tls;
    return COFFER_OK;
}
