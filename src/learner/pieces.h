/*
 * pieces.h - one block of memory made of pieces: arrays that each begin at a line of the cache.
 *
 * First every piece is placed, which gives the block's size; then they are copied to their places.
 */
#ifndef PGML_LEARNER_PIECES_H
#define PGML_LEARNER_PIECES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PGML_PIECE_ALIGNMENT 64 /* of a line of the cache, and what kernels ask for */

static inline uint64_t
pgml_piece_align(uint64_t size)
{
	return (size + PGML_PIECE_ALIGNMENT - 1) / PGML_PIECE_ALIGNMENT * PGML_PIECE_ALIGNMENT;
}

/* Make room for a piece of n elements behind the others, of *size bytes together; returns where it begins. */
static inline uint64_t
pgml_piece_place(uint64_t *size, size_t n, size_t bytes)
{
	uint64_t at = *size;

	*size += pgml_piece_align(n * bytes);
	return at;
}

/* Copy a piece of n elements, which may be NULL when there are none, to its place. */
static inline void
pgml_piece_fill(char *block, uint64_t at, const void *piece, size_t n, size_t bytes)
{
	if (n > 0)
		memcpy(block + at, piece, n * bytes);
}

#endif
