/* SHA-256 (FIPS 180-4) of what is short and comes in great numbers: serials, and responses before they are signed.
 *
 * A digest object of hashlib costs several times what it does. x86-64 processors with the SHA extensions use them,
 * found at run time so that one wheel fits all; ocspeed_sha256_init is called once, when the module that includes
 * this is imported.
 */
#ifndef OCSPEED_SHA256_H
#define OCSPEED_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define OCSPEED_SHA_NI 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define OCSPEED_SHA_NI 0
#endif

enum {
    OCSPEED_SHA256_SIZE = 32,
    OCSPEED_SHA256_BLOCK = 64,
    OCSPEED_SHA256_IN_ONE = 55, /* octets that one block holds beside the bit that ends them and the 64 of their length */
};

static const uint32_t ocspeed_sha256_start[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint32_t ocspeed_sha256_round[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static int ocspeed_sha256_in_hardware = 0;

static void ocspeed_sha256_init(void) {
#if OCSPEED_SHA_NI
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    ocspeed_sha256_in_hardware = __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3") &&
                                 __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx >> 29 & 1);
#endif
}

static inline uint32_t ocspeed_rotate(uint32_t value, int bits) {
    return value >> bits | value << (32 - bits);
}

static inline void ocspeed_sha256_block_software(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64], s[8];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
               block[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        uint32_t low = ocspeed_rotate(w[t - 15], 7) ^ ocspeed_rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t high = ocspeed_rotate(w[t - 2], 17) ^ ocspeed_rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + low + w[t - 7] + high;
    }
    memcpy(s, state, sizeof s);
    for (int t = 0; t < 64; t++) {
        uint32_t high = ocspeed_rotate(s[4], 6) ^ ocspeed_rotate(s[4], 11) ^ ocspeed_rotate(s[4], 25);
        uint32_t low = ocspeed_rotate(s[0], 2) ^ ocspeed_rotate(s[0], 13) ^ ocspeed_rotate(s[0], 22);
        uint32_t first = s[7] + high + ((s[4] & s[5]) ^ (~s[4] & s[6])) + ocspeed_sha256_round[t] + w[t];
        uint32_t second = low + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += first;
        s[0] = first + second;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

#if OCSPEED_SHA_NI
__attribute__((target("sha,sse4.1,ssse3")))
static inline void ocspeed_sha256_hardware(uint32_t state[8], const uint8_t *data, size_t blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    /* The instructions want the state as (A, B, E, F) and (C, D, G, H), the first in the highest place. */
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state + 1), 0x1B);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
    for (; blocks > 0; blocks--, data += OCSPEED_SHA256_BLOCK) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)data + i), swap);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i round = _mm_load_si128((const __m128i *)ocspeed_sha256_round + i);
            __m128i sum = _mm_add_epi32(w[i & 3], round);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
            if (i < 12) {
                __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
    __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)state + 1, _mm_alignr_epi8(dchg, feba, 8));
}
#endif

static inline void ocspeed_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t blocks) {
#if OCSPEED_SHA_NI
    if (ocspeed_sha256_in_hardware) {
        ocspeed_sha256_hardware(state, data, blocks);
        return;
    }
#endif
    for (; blocks > 0; blocks--, data += OCSPEED_SHA256_BLOCK)
        ocspeed_sha256_block_software(state, data);
}

/* What is left after the whole blocks of `size` octets, with the bit that ends them and their length in bits: one
 * block or two, whose number is returned. */
static inline size_t ocspeed_sha256_end(uint8_t last[2 * OCSPEED_SHA256_BLOCK], const uint8_t *data, size_t size) {
    size_t left = size % OCSPEED_SHA256_BLOCK, blocks = left > OCSPEED_SHA256_IN_ONE ? 2 : 1;
    uint8_t *end = last + blocks * OCSPEED_SHA256_BLOCK;
    memcpy(last, data + size - left, left);
    memset(last + left, 0, (size_t)(end - last) - left);
    last[left] = 0x80;
    for (int octet = 1; octet <= 8; octet++)
        end[-octet] = (uint8_t)((uint64_t)size << 3 >> 8 * (octet - 1));
    return blocks;
}

static inline void ocspeed_sha256(const uint8_t *data, size_t size, uint8_t digest[OCSPEED_SHA256_SIZE]) {
    uint8_t last[2 * OCSPEED_SHA256_BLOCK];
    uint32_t state[8];
    memcpy(state, ocspeed_sha256_start, sizeof state);
    ocspeed_sha256_blocks(state, data, size / OCSPEED_SHA256_BLOCK);
    ocspeed_sha256_blocks(state, last, ocspeed_sha256_end(last, data, size));
    for (int i = 0; i < OCSPEED_SHA256_SIZE; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

#endif
