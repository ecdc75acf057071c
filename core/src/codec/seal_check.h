/* The known-answer test: what libcrypto computes is compared with C2SP's vectors before the first value is sealed or opened. Well under 1 ms,
 * once. */
#ifndef COFFER_CODEC_SEAL_CHECK_H
#define COFFER_CODEC_SEAL_CHECK_H

#include <coffer/status.h>

typedef struct coffer__known_answer {
    uint8_t key_byte; /* the key is 32 times this */
    const char *aad;
    uint8_t message_key[32];
    uint8_t sealed[28];
} coffer__known_answer;

/* Both of C2SP's. */
enum { COFFER__KNOWN_ANSWER_COUNT = 2 };
extern const coffer__known_answer coffer__known_answers[COFFER__KNOWN_ANSWER_COUNT];

/* Tries them: OK, SEAL_UNFIT on a mismatch, NO_MEMORY where it could not be told. */
coffer_status coffer__seal_check(const coffer__known_answer *answers, size_t count);

/* The same once for the process: OK or SEAL_UNFIT is kept. Any thread. */
coffer_status coffer__seal_fit(void);

/* For tests: what seal_fit compares with from now on (NULL: C2SP's), and forgets what it knew. */
void coffer__seal_expect(const coffer__known_answer *answers);

#endif
