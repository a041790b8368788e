/* CRC-32C (Castagnoli polynomial, reflected 0x82F63B78; RFC 3720 appendix B.4) for record checksums.
 *
 * Same convention as zlib's crc32: the state handed in and out is the finished value, 0 to begin with, so that
 * crc(crc(0, a), b) == crc(0, a || b). x86-64 processors with SSE 4.2 use their instruction, found at run time so
 * that one wheel fits all; everything else takes the slicing-by-8 tables. Each module that includes this file has
 * its own tables and calls ocspeed_crc32c_init once, when it is imported.
 */
#ifndef OCSPEED_CRC32C_H
#define OCSPEED_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define OCSPEED_CRC32C_SSE42 1
#else
#define OCSPEED_CRC32C_SSE42 0
#endif

static uint32_t ocspeed_crc32c_table[8][256];
static int ocspeed_crc32c_in_hardware = 0;

static void ocspeed_crc32c_init(void) {
    for (uint32_t octet = 0; octet < 256; octet++) {
        uint32_t crc = octet;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0u);
        ocspeed_crc32c_table[0][octet] = crc;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int octet = 0; octet < 256; octet++) {
            uint32_t before = ocspeed_crc32c_table[slice - 1][octet];
            ocspeed_crc32c_table[slice][octet] = before >> 8 ^ ocspeed_crc32c_table[0][before & 0xFF];
        }
#if OCSPEED_CRC32C_SSE42
    ocspeed_crc32c_in_hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

/* Octets are combined by shifts, so the result does not depend on the byte order of the host. */
static inline uint32_t ocspeed_crc32c_software(uint32_t state, const uint8_t *data, size_t size) {
    const uint32_t (*table)[256] = (const uint32_t (*)[256])ocspeed_crc32c_table;
    state = ~state;
    for (; size >= 8; data += 8, size -= 8) {
        state ^= data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        state = table[7][state & 0xFF] ^ table[6][state >> 8 & 0xFF] ^ table[5][state >> 16 & 0xFF] ^
                table[4][state >> 24] ^ table[3][data[4]] ^ table[2][data[5]] ^ table[1][data[6]] ^
                table[0][data[7]];
    }
    for (; size > 0; data++, size--)
        state = state >> 8 ^ table[0][(state ^ *data) & 0xFF];
    return ~state;
}

#if OCSPEED_CRC32C_SSE42
__attribute__((target("sse4.2")))
static inline uint32_t ocspeed_crc32c_hardware(uint32_t state, const uint8_t *data, size_t size) {
    uint64_t wide = ~state;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8); /* the data has no alignment */
        wide = __builtin_ia32_crc32di(wide, word);
    }
    state = (uint32_t)wide;
    for (; size > 0; data++, size--)
        state = __builtin_ia32_crc32qi(state, *data);
    return ~state;
}
#endif

static inline uint32_t ocspeed_crc32c(uint32_t state, const uint8_t *data, size_t size) {
#if OCSPEED_CRC32C_SSE42
    if (ocspeed_crc32c_in_hardware)
        return ocspeed_crc32c_hardware(state, data, size);
#endif
    return ocspeed_crc32c_software(state, data, size);
}

#endif
