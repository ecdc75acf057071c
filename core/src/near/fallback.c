#include "near.h"

#include "base/error.h"
#include "base/log.h"

coffer_status coffer__near_open(coffer__near **near, const coffer__near_site *site, bool *is_shared, coffer_error *error) {
    coffer_error told = {.status = COFFER_OK, .text = ""};
    coffer_status status = coffer__near_check(site, &told);
    if (status != COFFER_OK) {
        *near = NULL;
        *is_shared = false;
        return coffer__error_set(error, status, "%s", told.text);
    }
    status = coffer__near_attach(near, site, &told);
    *is_shared = status == COFFER_OK;
    if (status == COFFER_OK) {
        return COFFER_OK;
    }
    if (site->fallback_private && coffer__near_new(near, site->memory_bytes) == COFFER_OK) {
        coffer__log(COFFER_LOG_NEAR_PRIVATE, status, "%s", told.text);
        return COFFER_OK;
    }
    return coffer__error_set(error, status, "%s", told.text);
}
