/* Names, and resolvers that do not answer. */
#include "helpers.h"
#include "support/fake_server.h"

#include "io/clock.h"
#include "io/resolve.h"

#include <netinet/in.h>
#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool muted;
static unsigned inside;

static void set_muted(bool value) {
    pthread_mutex_lock(&mutex);
    muted = value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void await_inside(unsigned count) {
    pthread_mutex_lock(&mutex);
    while (inside != count) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

/* Does not answer while it is muted; then every name is 127.0.0.1, but "nowhere". */
static int resolver(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    pthread_mutex_lock(&mutex);
    inside++;
    pthread_cond_broadcast(&changed);
    while (muted) {
        pthread_cond_wait(&changed, &mutex);
    }
    inside--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return strcmp(host, "nowhere") == 0 ? EAI_NONAME : getaddrinfo("127.0.0.1", port, hints, found);
}

static coffer_cache *open_host(const char *host, uint16_t port) {
    char url[128];
    coffer_cache *cache = NULL;
    snprintf(url, sizeof url, "redis://%s:%u/0?timeout=200ms&breaker=no&on_outage=error", host, (unsigned)port);
    assert_int_equal(coffer_open_url(&cache, url, NULL), COFFER_OK);
    return cache;
}

static bool always_nil(int fd, const char *command, void *data) {
    (void)data;
    return fake_greets(fd, command) || fake_says(fd, "$-1\r\n");
}

static void test_a_mute_resolver_never_exceeds_the_deadline(void **state) {
    (void)state;
    fake_server *server = fake_server_start(always_nil, NULL);
    coffer_cache *cache = open_host("some.name", fake_server_port(server));
    coffer_error error;
    set_muted(true);
    coffer__resolve_replace(resolver);
    for (unsigned i = 0; i < COFFER__RESOLVERS_MAX + 2; i++) { /* the last ones do not even get a thread */
        assert_get_ends(cache, COFFER_TIMEOUT, 200, 200);
    }
    await_inside(COFFER__RESOLVERS_MAX);
    assert_int_equal(coffer_set(cache, COFFER_SLICE("k"), COFFER_SLICE("v"), NULL, &error), COFFER_TIMEOUT);
    assert_non_null(strstr(error.text, "looking up the name of some.name"));
    set_muted(false);
    await_inside(0);
    assert_get_ends(cache, COFFER_MISS, 0, 200); /* the stuck ones have ended */
    assert_int_equal(stats_of(cache).connections_made, 1);
    coffer_close(cache);
    fake_server_stop(server);
    coffer__resolve_replace(NULL);
}

static void test_an_unknown_name_says_so(void **state) {
    (void)state;
    coffer_error error;
    coffer_cache *cache = open_host("nowhere", 6379);
    coffer__resolve_replace(resolver);
    assert_int_equal(coffer_get(cache, COFFER_SLICE("k"), NULL, NULL, &error), COFFER_DNS);
    assert_non_null(strstr(error.text, "nowhere"));
    coffer_close(cache);
    coffer__resolve_replace(NULL);
}

/* The first address refuses: the second is tried. */
static int two_addresses(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    (void)host;
    int error = getaddrinfo("127.0.0.2", port, hints, found);
    return error != 0 ? error : getaddrinfo("127.0.0.1", port, hints, &(*found)->ai_next);
}

static void test_each_address_is_tried(void **state) {
    (void)state;
    fake_server *server = fake_server_start(always_nil, NULL);
    coffer_cache *cache = open_host("two", fake_server_port(server));
    coffer__resolve_replace(two_addresses);
    assert_get_ends(cache, COFFER_MISS, 0, 200);
    coffer_close(cache);
    fake_server_stop(server);
    coffer__resolve_replace(NULL);
}

static void test_numeric_addresses_ask_nobody(void **state) {
    (void)state;
    coffer__addresses addresses;
    assert_true(coffer__resolve_numeric(COFFER_SLICE("127.0.0.1"), 6379, &addresses));
    assert_int_equal(addresses.at[0].storage.ss_family, AF_INET);
    assert_true(coffer__resolve_numeric(COFFER_SLICE("::1"), 6379, &addresses));
    assert_int_equal(((const struct sockaddr_in6 *)&addresses.at[0].storage)->sin6_port, htons(6379));
    assert_false(coffer__resolve_numeric(COFFER_SLICE("localhost"), 6379, &addresses));
    assert_false(coffer__resolve_numeric(COFFER_SLICE("127.1"), 6379, &addresses));
    assert_false(coffer__resolve_numeric(COFFER_SLICE(""), 6379, &addresses));
}

static void test_names_are_resolved_for_real(void **state) {
    (void)state;
    coffer__resolution *resolution;
    coffer__addresses addresses;
    assert_int_equal(coffer__resolve_begin(&resolution, COFFER_SLICE("localhost"), 6379), COFFER_OK);
    coffer_status status = coffer__resolve_wait(resolution, coffer__clock_add_ms(coffer__clock_us(), 5000), &addresses);
    assert_int_equal(status, COFFER_OK);
    assert_true(addresses.count > 0);
    coffer__resolve_release(resolution);
    char longer[300];
    memset(longer, 'a', sizeof longer);
    assert_int_equal(coffer__resolve_begin(&resolution, coffer_slice_of(longer, sizeof longer), 1), COFFER_ARG);
    assert_int_equal(coffer__resolve_begin(&resolution, COFFER_SLICE("a\0b"), 1), COFFER_ARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mute_resolver_never_exceeds_the_deadline),
        cmocka_unit_test(test_an_unknown_name_says_so),
        cmocka_unit_test(test_each_address_is_tried),
        cmocka_unit_test(test_numeric_addresses_ask_nobody),
        cmocka_unit_test(test_names_are_resolved_for_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
