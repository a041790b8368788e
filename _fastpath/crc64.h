/* CRC-64 as Redis and Valkey close a DUMP with it: Jones' polynomial, reflected 0x95AC9329AC4BC9B5, from 0, not inverted.
 *
 * Slicing by 8; ocspeed_crc64_init is called once, when the module that includes this is imported.
 */
#ifndef OCSPEED_CRC64_H
#define OCSPEED_CRC64_H

#include <stddef.h>
#include <stdint.h>

static uint64_t ocspeed_crc64_table[8][256];

static void ocspeed_crc64_init(void) {
    for (int octet = 0; octet < 256; octet++) {
        uint64_t crc = (uint64_t)octet;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0x95AC9329AC4BC9B5) : 0);
        ocspeed_crc64_table[0][octet] = crc;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int octet = 0; octet < 256; octet++) {
            uint64_t before = ocspeed_crc64_table[slice - 1][octet];
            ocspeed_crc64_table[slice][octet] = before >> 8 ^ ocspeed_crc64_table[0][before & 0xFF];
        }
}

/* Octets are combined by shifts, so the result does not depend on the byte order of the host. */
static inline uint64_t ocspeed_crc64(const uint8_t *data, size_t size) {
    const uint64_t (*table)[256] = (const uint64_t (*)[256])ocspeed_crc64_table;
    uint64_t crc = 0;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word = 0;
        for (int octet = 0; octet < 8; octet++)
            word |= (uint64_t)data[octet] << 8 * octet;
        crc ^= word;
        crc = table[7][crc & 0xFF] ^ table[6][crc >> 8 & 0xFF] ^ table[5][crc >> 16 & 0xFF] ^
              table[4][crc >> 24 & 0xFF] ^ table[3][crc >> 32 & 0xFF] ^ table[2][crc >> 40 & 0xFF] ^
              table[1][crc >> 48 & 0xFF] ^ table[0][crc >> 56];
    }
    for (; size > 0; data++, size--)
        crc = crc >> 8 ^ table[0][(crc ^ *data) & 0xFF];
    return crc;
}

#endif
