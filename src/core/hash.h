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

extern uint64_t pgml_hash64(const void *data, size_t len, uint64_t seed);

/* Mix two hashes (order matters); used to salt row hashes. */
extern uint64_t pgml_hash_combine(uint64_t a, uint64_t b);

/* CRC of data appended to a running value; start with 0. */
extern uint32_t pgml_crc32c(uint32_t crc, const void *data, size_t len);

/* The same without special instructions: what pgml_crc32c falls back to, and tests compare with. */
extern uint32_t pgml_crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
