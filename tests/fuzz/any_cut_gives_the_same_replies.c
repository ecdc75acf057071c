/* Guard and reader give the same replies, and refuse for the same reason, whether the bytes come whole, one by one, or in pieces of any size. */
#include "reading.h"

static void read_in_pieces(reading *r, const coffer__guard_limits *limits, coffer_slice in, uint64_t seed) {
    reading_begin(r, limits);
    while (in.len > 0) {
        seed ^= seed << 13; /* xorshift64; 0 stays 0: bytes one by one */
        seed ^= seed >> 7;
        seed ^= seed << 17;
        size_t piece = 1 + (size_t)(seed % 61);
        piece = piece < in.len ? piece : in.len;
        reading_feed(r, coffer_slice_of(in.data, piece));
        in = coffer_slice_of(in.data + piece, in.len - piece);
    }
}

static void must_be_same(const reading *a, const reading *b) {
    MUST(a->status == b->status);
    MUST(a->reply_count == b->reply_count);
    MUST(coffer_slice_equal(coffer_slice_of(a->text.data, a->text.len), coffer_slice_of(b->text.data, b->text.len)));
    MUST(strcmp(coffer__guard_message(a->guard), coffer__guard_message(b->guard)) == 0);
    MUST(coffer__guard_between_replies(a->guard) == coffer__guard_between_replies(b->guard));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const coffer__guard_limits usual = COFFER__GUARD_LIMITS_INIT;
    static const coffer__guard_limits small = {.line_bytes = 64, .bulk_bytes = 100, .reply_bytes = 300, .element_count = 9, .depth = 3};
    choices from = {data, size};
    unsigned seed = next_pair(&from);
    const coffer__guard_limits *limits = (seed & 1) != 0 ? &small : &usual;
    coffer_slice in = next_slice(&from, from.left);
    reading whole, bytes, pieces;
    reading_begin(&whole, limits);
    reading_feed(&whole, in);
    read_in_pieces(&bytes, limits, in, 0);
    read_in_pieces(&pieces, limits, in, seed);
    must_be_same(&whole, &bytes);
    must_be_same(&whole, &pieces);
    reading_end(&whole);
    reading_end(&bytes);
    reading_end(&pieces);
    return 0;
}
