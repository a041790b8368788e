/* hash32: the first four octets, big-endian, of SHA-256 over a serial, which fits one block.
 *
 * It places a certificate on its page, so every lookup needs it.
 */
#ifndef OCSPEED_HASH32_H
#define OCSPEED_HASH32_H

#include "sha256.h"

enum { OCSPEED_HASH32_LONGEST = OCSPEED_SHA256_IN_ONE };

static void ocspeed_hash32_init(void) {
    ocspeed_sha256_init();
}

/* `size` is at most OCSPEED_HASH32_LONGEST. */
static inline uint32_t ocspeed_hash32(const uint8_t *serial, size_t size) {
    uint8_t block[OCSPEED_SHA256_BLOCK] = {0};
    uint32_t state[8];
    memcpy(state, ocspeed_sha256_start, sizeof state);
    memcpy(block, serial, size);
    block[size] = 0x80;
    block[62] = (uint8_t)(size >> 5);
    block[63] = (uint8_t)(size << 3);
    ocspeed_sha256_blocks(state, block, 1);
    return state[0];
}

#endif
