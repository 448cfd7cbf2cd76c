/* BLAKE2b-256 with a personalisation, for messages that are in memory whole (RFC 7693).
 *
 * A domain is the state after the parameter block, made once; hashing from there on is one compression for each 128
 * bytes. Words are read and written byte by byte, which compilers turn into plain loads where that is the same.
 */

#ifndef SUPERVM_BLAKE2B_H
#define SUPERVM_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_BYTES 32
#define BLOCK_BYTES 128

typedef struct {
    uint64_t words[8];
} Domain;

static const uint64_t START[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

static const uint8_t ORDER[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

static inline uint64_t load_word(const uint8_t *at) {
    uint64_t word = 0;
    for (int place = 7; place >= 0; place--) word = word << 8 | at[place];
    return word;
}

static inline void store_word(uint8_t *at, uint64_t word) {
    for (int place = 0; place < 8; place++) at[place] = (uint8_t)(word >> 8 * place);
}

static inline uint64_t turn(uint64_t word, int bits) { return word >> bits | word << (64 - bits); }

#define MIX(a, b, c, d, x, y)          \
    do {                               \
        v[a] = v[a] + v[b] + (x);      \
        v[d] = turn(v[d] ^ v[a], 32);  \
        v[c] = v[c] + v[d];            \
        v[b] = turn(v[b] ^ v[c], 24);  \
        v[a] = v[a] + v[b] + (y);      \
        v[d] = turn(v[d] ^ v[a], 16);  \
        v[c] = v[c] + v[d];            \
        v[b] = turn(v[b] ^ v[c], 63);  \
    } while (0)

#define ROUND(r)                                            \
    do {                                                    \
        MIX(0, 4, 8, 12, m[ORDER[r][0]], m[ORDER[r][1]]);   \
        MIX(1, 5, 9, 13, m[ORDER[r][2]], m[ORDER[r][3]]);   \
        MIX(2, 6, 10, 14, m[ORDER[r][4]], m[ORDER[r][5]]);  \
        MIX(3, 7, 11, 15, m[ORDER[r][6]], m[ORDER[r][7]]);  \
        MIX(0, 5, 10, 15, m[ORDER[r][8]], m[ORDER[r][9]]);  \
        MIX(1, 6, 11, 12, m[ORDER[r][10]], m[ORDER[r][11]]); \
        MIX(2, 7, 8, 13, m[ORDER[r][12]], m[ORDER[r][13]]); \
        MIX(3, 4, 9, 14, m[ORDER[r][14]], m[ORDER[r][15]]); \
    } while (0)

/* Take one block in; `count` are the bytes up to its end, `last` is all ones for the last block and 0 for others. */
static void compress(uint64_t h[8], const uint8_t block[BLOCK_BYTES], uint64_t count, uint64_t last) {
    uint64_t m[16], v[16];
    for (int place = 0; place < 16; place++) m[place] = load_word(block + 8 * place);
    for (int place = 0; place < 8; place++) {
        v[place] = h[place];
        v[place + 8] = START[place];
    }
    v[12] ^= count;
    v[14] ^= last;
    ROUND(0);
    ROUND(1);
    ROUND(2);
    ROUND(3);
    ROUND(4);
    ROUND(5);
    ROUND(6);
    ROUND(7);
    ROUND(8);
    ROUND(9);
    ROUND(10);
    ROUND(11);
    for (int place = 0; place < 8; place++) h[place] ^= v[place] ^ v[place + 8];
}

/* Make the domain of a personalisation of at most 16 characters: digests of 32 bytes, no key, no tree. */
static void make_domain(Domain *domain, const char *person) {
    uint8_t block[64] = {HASH_BYTES, 0, 1, 1};
    memcpy(block + 48, person, strlen(person));
    for (int place = 0; place < 8; place++) domain->words[place] = START[place] ^ load_word(block + 8 * place);
}

static void hash_in(const Domain *domain, const uint8_t *data, size_t size, uint8_t digest[HASH_BYTES]) {
    uint64_t h[8];
    uint8_t block[BLOCK_BYTES];
    size_t done = 0;
    memcpy(h, domain->words, sizeof h);
    for (; size - done > BLOCK_BYTES; done += BLOCK_BYTES) compress(h, data + done, done + BLOCK_BYTES, 0);
    if (size - done == BLOCK_BYTES) {
        compress(h, data + done, size, ~(uint64_t)0);
    } else {
        memset(block, 0, sizeof block);
        memcpy(block, data + done, size - done);
        compress(h, block, size, ~(uint64_t)0);
    }
    for (int place = 0; place < 4; place++) store_word(digest + 8 * place, h[place]);
}

#endif
