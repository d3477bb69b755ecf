/*
 * hash.h - the one 64-bit hash and the one checksum, both stable for ever (they are stored).
 *
 * pgml_hash64 is XXH64 (Y. Collet); pgml_crc32c the Castagnoli CRC (RFC 3720, initial value ~0,
 * final complement), the one PostgreSQL's WAL uses.
 */
#ifndef PGML_CORE_HASH_H
#define PGML_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern uint64_t pgml_hash64(const void *data, size_t len, uint64_t seed);

/* Multipliers of XXH64. */
#define PGML_HASH_PRIME1 UINT64_C(0x9E3779B185EBCA87)
#define PGML_HASH_PRIME2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PGML_HASH_PRIME3 UINT64_C(0x165667B19E3779F9)
#define PGML_HASH_PRIME4 UINT64_C(0x85EBCA77C2B2AE63)
#define PGML_HASH_PRIME5 UINT64_C(0x27D4EB2F165667C5)

static inline uint64_t
pgml_rotate64(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

/* Mix two hashes (order matters); used to salt row hashes. Eight bytes as XXH64 takes the last ones in, then its end. */
static inline uint64_t
pgml_hash_combine(uint64_t a, uint64_t b)
{
	uint64_t h = a ^ (pgml_rotate64(b * PGML_HASH_PRIME2, 31) * PGML_HASH_PRIME1);

	h = pgml_rotate64(h, 27) * PGML_HASH_PRIME1 + PGML_HASH_PRIME4;
	h ^= h >> 33;
	h *= PGML_HASH_PRIME2;
	h ^= h >> 29;
	h *= PGML_HASH_PRIME3;
	return h ^ h >> 32;
}

/* What pgml_hash64() gives for the eight bytes of a number. */
static inline uint64_t
pgml_hash_double(double number, uint64_t seed)
{
	uint64_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return pgml_hash_combine(seed + PGML_HASH_PRIME5 + sizeof(bits), bits);
}

/* CRC of data appended to a running value; start with 0. */
extern uint32_t pgml_crc32c(uint32_t crc, const void *data, size_t len);

/* The same without special instructions: what pgml_crc32c falls back to, and tests compare with. */
extern uint32_t pgml_crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
