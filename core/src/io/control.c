/* health.h on caches: the clock is here. */
#include "family.h"

#include "base/error.h"
#include "clock.h"
#include <coffer/health.h>

coffer_status coffer_health_read(coffer_cache *cache, coffer_health *health, coffer_error *error) {
    coffer_status status = coffer_namespace_health(coffer__cache_enter(cache), coffer__clock_ms(), health);
    return status == COFFER_OK ? status : coffer__error_set(error, status, "%s", coffer_status_text(status));
}

coffer_status coffer_turn(coffer_cache *cache, coffer_scope scope, bool is_on) {
    return coffer_namespace_turn(coffer__cache_enter(cache), scope, is_on);
}

coffer_status coffer_turn_operation(coffer_cache *cache, coffer_operation operation, bool is_on) {
    return coffer_namespace_turn_operation(coffer__cache_enter(cache), operation, is_on);
}

coffer_status coffer_turn_share(coffer_cache *cache, uint32_t percent) {
    return coffer_namespace_turn_share(coffer__cache_enter(cache), percent);
}
