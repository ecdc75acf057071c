#include "secure.h"

#include "policy/options_internal.h"

coffer_status coffer__secure_init(coffer__secure *secure, coffer_client *client, coffer_error *error) {
    const coffer_options *options = coffer_client_options(client);
    coffer__credentials_init(&secure->credentials);
    coffer_status status = coffer__options_use_tls(options) ? coffer__tls_context_new(&secure->tls, options, error) : COFFER_OK;
    if (status == COFFER_OK) {
        coffer_client_set_driver(client, secure);
    }
    return status;
}

void coffer__secure_clear(coffer__secure *secure) {
    coffer__tls_context_free(secure->tls);
    secure->tls = NULL;
    coffer__credentials_clear(&secure->credentials);
}

void coffer__secure_after_fork(coffer__secure *secure) {
    coffer__tls_context_after_fork(secure->tls);
    coffer__credentials_after_fork(&secure->credentials);
}
