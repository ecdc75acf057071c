#include "toxics.h"

#include <stdio.h>
#include <string.h>

static uint64_t random_state = 1;

void random_seed(uint64_t seed) {
    random_state = seed;
}

/* splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014 */
uint64_t random_next(void) {
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t end) {
    return end == 0 ? 0 : random_next() % end;
}

static const char *const names[] = {
#define TOXIC_NAME(NAME, name, what) #name,
    TOXIC_MAP(TOXIC_NAME)
#undef TOXIC_NAME
};

const char *toxic_name(toxic_kind kind) {
    return names[kind];
}

static toxic_kind named(const char *name) {
    toxic_kind kind = 0;
    while (kind < TOXIC_COUNT && strcmp(names[kind], name) != 0) {
        kind++;
    }
    return kind;
}

static bool set_number(toxic *one, const char *name, uint64_t value) {
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {{"permille", &one->permille}, {"ms", &one->ms}, {"max_ms", &one->max_ms}, {"bytes", &one->bytes}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(numbers[i].name, name) == 0) {
            *numbers[i].number = value;
            return true;
        }
    }
    return false;
}

bool toxics_set(toxics *all, const char *words) {
    char name[32], number[32];
    int taken = 0;
    unsigned long long value;
    if (sscanf(words, " %31[a-z_]%n", name, &taken) != 1 || named(name) == TOXIC_COUNT) {
        return false;
    }
    toxic made = {.on = true};
    words += taken;
    while (sscanf(words, " %31[a-z_]=%llu%n", number, &value, &taken) == 2) {
        if (!set_number(&made, number, value)) {
            return false;
        }
        words += taken;
    }
    all->at[named(name)] = made;
    return words[strspn(words, " \n")] == '\0';
}

bool toxics_clear(toxics *all, const char *name) {
    if (name == NULL) {
        memset(all->at, 0, sizeof all->at);
        return true;
    }
    toxic_kind kind = named(name);
    if (kind == TOXIC_COUNT) {
        return false;
    }
    all->at[kind] = (toxic){0};
    return true;
}

bool toxics_strike(toxics *all, toxic_kind kind) {
    const toxic *one = &all->at[kind];
    bool strikes = one->on && (one->permille == 0 || random_below(1000) < one->permille);
    all->injected[kind] += strikes;
    return strikes;
}

uint64_t toxic_delay_us(const toxic *one) {
    uint64_t more_ms = one->max_ms > one->ms ? one->max_ms - one->ms : 0;
    return one->ms * 1000 + random_below(more_ms * 1000 + 1);
}
