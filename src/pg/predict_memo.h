/*
 * predict_memo.h - short texts that a column has shown lately, and the feature made of each; for predict_block.c.
 *
 * Categories are few and come again and again: finding the bytes is much cheaper than trimming, folding and looking up the level.
 */
#ifndef PGML_PG_PREDICT_MEMO_H
#define PGML_PG_PREDICT_MEMO_H

#include "postgres.h"

#define PREDICT_MEMO_TEXT 27 /* longer texts are not kept */

typedef struct PredictMemo PredictMemo;

extern PredictMemo *predict_memo_create(MemoryContext context);

/* The feature of a text, or NULL when it is not there. */
extern const float *predict_memo_find(const PredictMemo *memo, const char *text, Size len);

/* Keep a feature, in the place of another. */
extern void predict_memo_keep(PredictMemo *memo, const char *text, Size len, float feature);

#endif
