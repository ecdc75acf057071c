/* An answer of an API as it is cached: 857 bytes of JSON. */
#ifndef COFFER_BENCH_RECORD_H
#define COFFER_BENCH_RECORD_H

static const char bench_record[] =
    "{\"id\":48213907,\"object\":\"order\",\"status\":\"shipped\",\"currency\":\"EUR\",\"total_cents\":18940,\"created_at\":\"2026-03-"
    "14T09:26:53Z\",\"updated_at\":\"2026-03-16T17:05:12Z\",\"customer\":{\"id\":\"cus_9f3b27ac\",\"name\":\"Ada Lovelace\",\"email"
    "\":\"ada.lovelace@example.org\",\"locale\":\"en-GB\",\"verified\":true},\"shipping\":{\"street\":\"12 St James's Square\",\"ci"
    "ty\":\"London\",\"postcode\":\"SW1Y 4JH\",\"country\":\"GB\",\"carrier\":\"parcelforce\",\"tracking\":\"PB4471902836GB\"},\"items\""
    ":[{\"sku\":\"BK-7741-HC\",\"title\":\"Sketch of the Analytical Engine\",\"quantity\":1,\"price_cents\":12500,\"tax_rate\":0."
    "2},{\"sku\":\"PN-0032-BL\",\"title\":\"Fountain pen, blue\",\"quantity\":2,\"price_cents\":2100,\"tax_rate\":0.2},{\"sku\":\"NB"
    "-1185-A5\",\"title\":\"Notebook, dotted, A5\",\"quantity\":2,\"price_cents\":1120,\"tax_rate\":0.2}],\"tags\":[\"gift\",\"prio"
    "rity\"],\"note\":\"Leave the parcel with the neighbour at number 14 if nobody is at home.\"}";
_Static_assert(sizeof bench_record - 1 == 857, "the row of the table says so");

#endif
