/*
 * oblivious_block.h - score blocks of rows: the prepared form of a model, and the kernels that follow it.
 *
 * As in gbm_block.h, what the model asks about becomes bytes: a number's rank among the model's thresholds of its feature, a
 * statistic less 128, 0 or -1 for a level.  An oblivious tree is a comparison of bytes for each level, whose
 * outcome is a bit of the leaf's number: 64 rows at a time with AVX-512.  Depth-wise trees are passed through as those of
 * gradient boosting.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_BLOCK_H
#define PGML_LEARNER_OBLIVIOUS_BLOCK_H

#include "learner/gbm_block.h"
#include "learner/oblivious_payload.h"

/* The kernels of one kind of processor; all kinds give the same. */
typedef struct PgmlOblKernel
{
	const PgmlGbmKernel *gbm; /* its name, where it runs, rank() and find() */

	/*
	 * Leaf of each row by n <= 8 tests: bit d is whether the row's byte of the line is greater than the rank of test d.  rows
	 * is a multiple of PGML_GBM_LANES, at most PGML_BLOCK_ROWS; lines and leaf are aligned to 64 bytes.
	 */
	void (*bits)(const PgmlGbmTest *test, uint32_t n, const int8_t *lines, int64_t rows,
				 uint8_t *leaf);
} PgmlOblKernel;

/* All kernels, the best first; the last runs everywhere. */
extern const PgmlOblKernel *pgml_obl_kernels(int *n);

/* The learner's prepare(), with given kernels; and the other three. */
extern PgmlStatus pgml_obl_prepare_for(const PgmlEnv *env, PgmlArena *arena,
									   const PgmlOblKernel *kernel, const uint8_t *payload,
									   const PgmlShape *shape, const void **prepared);
extern PgmlStatus pgml_obl_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
								   const PgmlShape *shape, const void **prepared);
extern size_t pgml_obl_prepared_size(const void *prepared);
extern size_t pgml_obl_scratch(const void *prepared);
extern void pgml_obl_predict_block(const void *prepared, const uint8_t *payload,
								   const PgmlShape *shape, const PgmlBlock *block, double *out,
								   void *scratch);

#endif
