/*
 * oblivious_score.c - follow the stored trees, row by row.
 */
#include "learner/oblivious_payload.h"

#include <string.h>

#include "learner/gbm_payload.h"

/* Statistics of a bucket. */
static const uint8_t *
find_bucket(const PgmlOblView *v, const PgmlOblTableHead *t, uint64_t key)
{
	const uint8_t *bytes = v->slots + t->at;
	const uint64_t *keys = (const uint64_t *) bytes;
	uint64_t at;

	if (!t->hashed)
		return bytes + key * v->header->width;
	bytes += t->n_slots * sizeof(uint64_t);
	at = pgml_obl_slot(key, t->n_slots);
	while (keys[at] != key && keys[at] != PGML_OBL_NO_KEY)
		at = (at + 1) & (t->n_slots - 1);
	return keys[at] == key ? bytes + at * v->header->width : v->unseen;
}

void
pgml_obl_look_up(const PgmlOblView *v, const PgmlShape *shape, const float *x, int64_t stride,
				 uint8_t *lines)
{
	uint32_t width = v->header->width;

	for (uint32_t i = 0; i < v->header->n_tables; i++, lines += width)
	{
		const PgmlOblTableHead *t = &v->table[i];
		uint64_t key = 0;

		for (uint32_t j = 0; j < t->n_features; j++)
		{
			int32_t levels = shape->n_levels[t->feature[j]];

			key = key * ((uint64_t) levels + 1) + pgml_obl_digit(x[t->feature[j] * stride], levels);
		}
		memcpy(lines, find_bucket(v, t, key), width);
	}
}

/* Is the answer of a row true? */
static inline bool
answers(const PgmlOblView *v, const PgmlOblStored *split, const PgmlShape *shape, const float *x,
		const uint8_t *lines)
{
	uint32_t input = split->input & PGML_OBL_INPUT;

	switch (split->input & PGML_OBL_KIND)
	{
		case PGML_OBL_IS_NUMBER:
			return x[input] > split->u.threshold;
		case PGML_OBL_IS_LEVEL:
			return pgml_gbm_level_bin(x[input], shape->n_levels[input], v->header->max_bin) ==
				   split->u.value;
		case PGML_OBL_IS_LINE:
			return lines[input] > split->u.value;
		default:
			return false;
	}
}

/* The leaf of a row in tree t. */
static uint32_t
find_leaf(const PgmlOblView *v, uint32_t t, const PgmlShape *shape, const float *x,
		  const uint8_t *lines)
{
	const PgmlOblStored *split = v->split + v->first[2 * (size_t) t];
	uint32_t n = v->first[2 * (size_t) t + 2] - v->first[2 * (size_t) t];
	uint32_t at = 0;

	if (!v->header->depthwise)
	{
		for (uint32_t d = 0; d < n; d++)
			at |= (uint32_t) answers(v, &split[d], shape, x, lines) << d;
		return at;
	}
	while (at < n)
		at = 2 * at + 1 + answers(v, &split[at], shape, x, lines);
	return at - n;
}

void
pgml_obl_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				 double *out)
{
	PgmlOblView v = pgml_obl_view(payload);
	uint32_t outputs = v.header->n_outputs;
	uint8_t lines[PGML_OBL_MAX_LINES];

	for (int64_t i = 0; i < n; i++, x += shape->nfeatures)
	{
		double *score = out + i * outputs;

		pgml_obl_look_up(&v, shape, x, 1, lines);
		for (uint32_t k = 0; k < outputs; k++)
			score[k] = shape->task == PGML_TASK_REGRESSION ? 0 : v.init[k];
		for (uint32_t t = 0; t < v.header->n_trees; t++)
		{
			const double *value = v.value + v.first[2 * (size_t) t + 1] +
								  (size_t) find_leaf(&v, t, shape, x, lines) * outputs;

			for (uint32_t k = 0; k < outputs; k++)
				score[k] += value[k];
		}
	}
	pgml_gbm_link(shape->task, PGML_GBM_LINK_TASK, (int) outputs, v.init, n, out);
}
