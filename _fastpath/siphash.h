/* SipHash-2-4 (Aumasson and Bernstein, 2012): a 64-bit hash under a key of 16 octets.
 *
 * Whoever does not know the key cannot choose octets that meet another's hash. What many inputs begin with is
 * hashed once, as whole words: a state is a value that can be copied.
 */
#ifndef OCSPEED_SIPHASH_H
#define OCSPEED_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t v0, v1, v2, v3;
    uint64_t size; /* octets so far, a multiple of 8 */
} ocspeed_siphash;

/* Eight octets as a number, the least significant first: compilers make one load of it. */
static inline uint64_t ocspeed_siphash_word(const uint8_t *data) {
    return (uint64_t)data[0] | (uint64_t)data[1] << 8 | (uint64_t)data[2] << 16 | (uint64_t)data[3] << 24 |
           (uint64_t)data[4] << 32 | (uint64_t)data[5] << 40 | (uint64_t)data[6] << 48 | (uint64_t)data[7] << 56;
}

/* The same of fewer than eight. */
static inline uint64_t ocspeed_siphash_rest(const uint8_t *data, size_t size) {
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)data[i] << 8 * i;
    return word;
}

static inline uint64_t ocspeed_siphash_rotate(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

static inline void ocspeed_siphash_round(ocspeed_siphash *s) {
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = ocspeed_siphash_rotate(s->v1, 13) ^ s->v0;
    s->v3 = ocspeed_siphash_rotate(s->v3, 16) ^ s->v2;
    s->v0 = ocspeed_siphash_rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = ocspeed_siphash_rotate(s->v1, 17) ^ s->v2;
    s->v3 = ocspeed_siphash_rotate(s->v3, 21) ^ s->v0;
    s->v2 = ocspeed_siphash_rotate(s->v2, 32);
}

static inline void ocspeed_siphash_absorb(ocspeed_siphash *s, uint64_t word) {
    s->v3 ^= word;
    ocspeed_siphash_round(s);
    ocspeed_siphash_round(s);
    s->v0 ^= word;
}

static inline ocspeed_siphash ocspeed_siphash_start(const uint8_t key[16]) {
    uint64_t k0 = ocspeed_siphash_word(key), k1 = ocspeed_siphash_word(key + 8);
    ocspeed_siphash s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                         k1 ^ 0x7465646279746573u, 0};
    return s;
}

/* Takes whole words only: `size` is a multiple of 8. */
static inline void ocspeed_siphash_words(ocspeed_siphash *s, const uint8_t *data, size_t size) {
    s->size += size;
    for (; size >= 8; data += 8, size -= 8)
        ocspeed_siphash_absorb(s, ocspeed_siphash_word(data));
}

/* The hash of all that was taken and these last octets, any number of them. */
static inline uint64_t ocspeed_siphash_finish(ocspeed_siphash s, const uint8_t *data, size_t size) {
    size_t whole = size & ~(size_t)7;
    ocspeed_siphash_words(&s, data, whole);
    ocspeed_siphash_absorb(&s, ocspeed_siphash_rest(data + whole, size - whole) | (s.size + size - whole) << 56);
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        ocspeed_siphash_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
