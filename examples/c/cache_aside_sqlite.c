/* Cache-aside in front of SQLite: reads go through get_or_load, writes go to the database and then drop the key.
 *
 *     cache_aside_sqlite [URL]        mem:// unless a server is named: redis://localhost
 *     cc cache_aside_sqlite.c $(pkg-config --cflags --libs coffer sqlite3)
 *
 *     read   cache --hit--> value
 *              miss --> SELECT --> store the row, or that there is none --> value
 *     write  UPDATE, then delete the key: the next read asks the database
 */
#include <coffer/coffer.h>

#include <sqlite3.h>
#include <stdio.h>

enum { PRODUCTS = 20, READS = 1000 };

typedef struct shop {
    coffer_cache *cache;
    sqlite3 *db;
    sqlite3_stmt *select, *update;
    unsigned queries;
} shop;

/* ---- the database ---- */

static bool open_database(shop *s) {
    static const char *const make = "CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL);"
                                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
                                    "INSERT INTO product SELECT i, 'product ' || i, 100 * i FROM n;";
    return sqlite3_open(":memory:", &s->db) == SQLITE_OK && sqlite3_exec(s->db, make, NULL, NULL, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(s->db, "SELECT name || ' at ' || cents FROM product WHERE id = ?", -1, &s->select, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(s->db, "UPDATE product SET cents = ? WHERE id = ?", -1, &s->update, NULL) == SQLITE_OK;
}

static void close_database(shop *s) {
    sqlite3_finalize(s->select);
    sqlite3_finalize(s->update);
    sqlite3_close(s->db);
}

/* ---- the cache in front of it ---- */

/* The loader: runs on a miss only. The row goes to coffer_loaded, which copies it; no row is an answer too, and is remembered (negative_ttl).
 * Another status than OK would say that the database failed: nothing is stored then. */
static coffer_status load_product(coffer_load *load, coffer_slice key, void *user_data) {
    shop *s = (shop *)user_data;
    coffer_status status = COFFER_INTERNAL;
    s->queries++;
    sqlite3_bind_text(s->select, 1, key.data, (int)key.len, SQLITE_TRANSIENT);
    int step = sqlite3_step(s->select);
    if (step == SQLITE_ROW) {
        const void *row = sqlite3_column_blob(s->select, 0);
        status = coffer_loaded(load, coffer_slice_of(row, (size_t)sqlite3_column_bytes(s->select, 0)), NULL);
    } else if (step == SQLITE_DONE) {
        status = coffer_loaded_absent(load);
    }
    sqlite3_reset(s->select);
    return status;
}

static coffer_slice key_of(unsigned id, char text[16]) {
    return coffer_slice_of(text, (size_t)snprintf(text, 16, "%u", id));
}

/* A product's row, to be cleared by the caller; MISS where the database has none. */
static coffer_status read_product(shop *s, unsigned id, coffer_value *row) {
    char text[16];
    coffer_error error;
    coffer_status status = coffer_get_or_load(s->cache, key_of(id, text), load_product, s, NULL, row, &error);
    if (status < 0) {
        fprintf(stderr, "product %u: %s\n", id, error.text);
    }
    return status;
}

/* The database first: were the key dropped first, a reader could store the old row again in between. */
static bool change_price(shop *s, unsigned id, int cents) {
    char text[16];
    sqlite3_bind_int(s->update, 1, cents);
    sqlite3_bind_int(s->update, 2, (int)id);
    bool done = sqlite3_step(s->update) == SQLITE_DONE;
    sqlite3_reset(s->update);
    return done && coffer_delete(s->cache, key_of(id, text), NULL) >= 0;
}

/* ---- the program ---- */

static bool show(shop *s, unsigned id) {
    coffer_value row;
    coffer_status status = read_product(s, id, &row);
    if (status < 0) {
        return false;
    }
    if (status == COFFER_MISS) {
        printf("product %u: there is none (%s)\n", id, coffer_source_name(row.source));
    } else {
        printf("product %u: %.*s (%s)\n", id, (int)row.data.len, row.data.data, coffer_source_name(row.source));
    }
    coffer_value_clear(&row);
    return true;
}

static bool read_often(shop *s) {
    for (unsigned i = 0; i < READS; i++) {
        coffer_value row;
        if (read_product(s, 1 + i * 7 % PRODUCTS, &row) < 0) {
            return false;
        }
        coffer_value_clear(&row);
    }
    printf("%d reads, %u queries\n", READS, s->queries);
    return s->queries < READS;
}

static bool run(shop *s) {
    bool good = read_often(s) && show(s, 5) && change_price(s, 5, 1) && show(s, 5) && show(s, 999) && show(s, 999);
    printf("in all %u queries\n", s->queries);
    return good;
}

int main(int argc, char **argv) {
    shop s = {0};
    coffer_error error;
    coffer_options *options = coffer_options_new();
    bool good = options != NULL && coffer_options_set_url(options, coffer_slice_text(argc > 1 ? argv[1] : "mem://"), &error) == COFFER_OK &&
                coffer_options_set(options, "namespace", COFFER_SLICE("products"), &error) == COFFER_OK &&
                coffer_options_set(options, "ttl", COFFER_SLICE("10m"), &error) == COFFER_OK && coffer_open(&s.cache, options, &error) == COFFER_OK;
    if (!good) {
        fprintf(stderr, "open: %s\n", options == NULL ? "no memory" : error.text);
    }
    coffer_options_free(options);
    good = good && open_database(&s) && run(&s);
    close_database(&s);
    coffer_close(s.cache);
    return good ? 0 : 1;
}
