/*
 * scorer.h - a model made ready to score many rows.
 *
 * pgml_image_predict() follows the image as it is stored and needs nothing else.  A scorer derives from the same image
 * what blocks of rows need (learner.h: prepare()), once per loaded model; its predictions are the same to the last bit.
 * Making it takes about as long as predicting 100 rows one by one without it; after that even single rows are faster
 * with it, on processors with AVX-512 VBMI.  The features of a block lie column by column: the recipe then works on whole columns
 * of numbers, and trees compare a feature of many rows with one threshold at a time.
 *
 *   size_t size = pgml_scorer_scratch(scorer);        a thread's own, aligned to 64 bytes
 *   x[f * stride + i] = ...                           by pgml_recipe_apply_numbers(), pgml_recipe_apply_at()
 *   pgml_scorer_predict(scorer, &(PgmlBlock){ x, stride, n }, out, scratch);
 *   pgml_scorer_predict(scorer, &(PgmlBlock){ features, 1, 1 }, out, scratch);       one row of features
 */
#ifndef PGML_MODEL_SCORER_H
#define PGML_MODEL_SCORER_H

#include "model/image.h"

typedef struct PgmlScorer PgmlScorer;

/*
 * Make a scorer for an open image, in arena; it refers to the image and lives as long as both.  Takes about 0.1 ms
 * for each 1000 nodes of trees.  Members for whose preparation memory does not suffice are predicted as they are stored.
 * PGML_ERR_NOMEM when there is not even room for that, PGML_ERR_CANCELLED when env->stop is set.
 */
extern PgmlStatus pgml_scorer_create(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image,
									 const PgmlScorer **out);

/*
 * The form in which processes share what a scorer has derived: pgml_scorer_form_size() bytes without pointers, aligned to 64; size 0:
 * nothing has been derived.  Write it once, and attach to it in any process on this machine that has the same image open; it is
 * trusted as the verified image is.  A scorer so made lives as long as the form, the image and the arena.  NULL when there
 * is no memory.
 */
extern size_t pgml_scorer_form_size(const PgmlScorer *scorer);
extern void pgml_scorer_form_write(const PgmlScorer *scorer, uint8_t *form);
extern const PgmlScorer *pgml_scorer_attach(PgmlArena *arena, const PgmlImage *image,
											const uint8_t *form);

/* Rows, a multiple of PGML_BLOCK_ROWS, of which the scorer makes the best use when it is given so many at once. */
extern int64_t pgml_scorer_rows(const PgmlScorer *scorer);

/*
 * Rows, one at least and no more than pgml_scorer_rows(), that pgml_scorer_predict() takes in about 20 ms at most: it does not look at
 * a stop flag, so a caller who must be interruptible passes no more at a time.
 */
extern int64_t pgml_scorer_rows_at_once(const PgmlScorer *scorer);

/* Bytes of scratch memory that one call of pgml_scorer_predict() uses, whatever the number of rows. */
extern size_t pgml_scorer_scratch(const PgmlScorer *scorer);

/*
 * Predict block->n >= 0 rows of image->recipe.n_features features each; out is n x pgml_image_outputs(), row after row, as
 * pgml_image_predict() gives them.  Not interruptible.
 */
extern void pgml_scorer_predict(const PgmlScorer *scorer, const PgmlBlock *block, double *out,
								void *scratch);

#endif
