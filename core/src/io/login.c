/* coffer_login: what a driver on an event loop may know of whom to log in as. */
#include "secure.h"

#include "base/alloc.h"
#include "base/error.h"

struct coffer_login {
    coffer__login as;
};

coffer_status coffer_login_new(coffer_login **login, coffer_client *client, coffer_error *error) {
    char why[COFFER__WHY_CAP] = "";
    coffer__secure *secure = coffer__secure_of(client);
    coffer_login *made = (coffer_login *)coffer__alloc_zero(sizeof *made);
    coffer_status status =
        made == NULL ? COFFER_NO_MEMORY : coffer__credentials_get(secure == NULL ? NULL : &secure->credentials, client, &made->as, why);
    *login = status == COFFER_OK ? made : NULL;
    if (status != COFFER_OK) {
        coffer__release(made);
    }
    return status >= COFFER_OK ? status : coffer__error_set(error, status, "%s", why[0] != '\0' ? why : coffer_status_text(status));
}

coffer_slice coffer_login_username(const coffer_login *login) {
    return coffer__buf_slice(&login->as.username);
}

coffer_slice coffer_login_password(const coffer_login *login) {
    return coffer__buf_slice(&login->as.password);
}

void coffer_login_free(coffer_login *login) {
    if (login != NULL) {
        coffer__login_wipe(&login->as);
        coffer__release(login);
    }
}
