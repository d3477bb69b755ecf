/*
 * column_shap.c - Shapley values by predicting mixed rows; column_shap.h says of what.
 */
#include "model/column_shap.h"

#include <string.h>

#include "core/rng.h"
#include "model/scorer.h"

#define ALIGNMENT 64

/* Sets of columns that are predicted where orders are drawn, about, and the least pairs of orders. */
#define SETS        512
#define LEAST_PAIRS 4

/* The orders are drawn from this. */
#define ORDER_SEED 2014

/* Features of an input column. */
typedef struct Column
{
	int32_t first;
	int32_t n;
} Column;

struct PgmlColumnShap
{
	PgmlImage alone; /* the member as a model of its own */
	const PgmlScorer *scorer;
	int outputs;
	int64_t rows_at_once;
	double *base; /* per output */
	int32_t n_columns;
	Column column[];
};

/* Scratch memory. */
typedef struct Work
{
	const PgmlEnv *env;
	const PgmlColumnShap *shap;
	const float *row; /* that is explained: feature f is row[f * stride] */
	int64_t stride;
	int output;
	float *mixed;   /* the background rows with some columns of the row, feature by feature */
	double *out;    /* their predictions */
	double *single; /* prediction of one row */
	double *value;  /* of each set of columns, by its bits */
	double *sum;    /* per column: changes in all orders */
	int32_t *order;
	void *scratch; /* of the scorer */
} Work;

static size_t
align_up(size_t size)
{
	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Give out part of the scratch memory; with base NULL only count. */
static void *
take(uint8_t *base, size_t *used, size_t size)
{
	void *part = base ? base + *used : NULL;

	*used += align_up(size);
	return part;
}

/* Lay the scratch memory out; its size. */
static size_t
lay_out(const PgmlColumnShap *shap, Work *w, void *scratch)
{
	const PgmlBackground *rows = &shap->alone.background;
	size_t columns = (size_t) shap->n_columns;
	size_t outputs = (size_t) shap->outputs;
	size_t sets = columns <= PGML_SHAP_EXACT ? (size_t) 1 << columns : 0;
	size_t used = 0;

	w->mixed = take(scratch, &used, (size_t) rows->n * (size_t) rows->nfeatures * sizeof(float));
	w->out = take(scratch, &used, (size_t) rows->n * outputs * sizeof(double));
	w->single = take(scratch, &used, outputs * sizeof(double));
	w->value = take(scratch, &used, sets * sizeof(double));
	w->sum = take(scratch, &used, columns * sizeof(double));
	w->order = take(scratch, &used, columns * sizeof(int32_t));
	w->scratch = take(scratch, &used, pgml_scorer_scratch(shap->scorer));
	return used;
}

/* ---- values of sets ------------------------------------------------------------------------- */

/* Predict the mixed rows, all outputs, looking at the stop flag as often as the scorer asks for. */
static PgmlStatus
predict_mixed(const Work *w)
{
	const PgmlColumnShap *shap = w->shap;
	int32_t n = shap->alone.background.n;

	for (int64_t from = 0; from < n; from += shap->rows_at_once)
	{
		PgmlBlock rows = { w->mixed + from, n, n - from };

		rows.n = rows.n < shap->rows_at_once ? rows.n : shap->rows_at_once;
		if (pgml_stopped(w->env))
			return pgml_fail_cancelled(w->env);
		pgml_scorer_predict(shap->scorer, &rows, w->out + from * shap->outputs, w->scratch);
	}
	return PGML_OK;
}

/* Mean over the background rows of what was predicted. */
static double
mean_output(const Work *w, int output)
{
	const PgmlBackground *rows = &w->shap->alone.background;
	double mean = 0;

	for (int32_t i = 0; i < rows->n; i++)
		mean += rows->share[i] * w->out[(int64_t) i * w->shap->outputs + output];
	return mean;
}

/* Nothing is known. */
static void
forget_all(const Work *w)
{
	const PgmlBackground *rows = &w->shap->alone.background;

	memcpy(w->mixed, rows->x, (size_t) rows->n * (size_t) rows->nfeatures * sizeof(float));
}

/* Set a column to the row's features, or back to those of the background rows. */
static void
set_column(const Work *w, int32_t c, bool known)
{
	const PgmlBackground *rows = &w->shap->alone.background;
	Column column = w->shap->column[c];

	for (int32_t f = column.first; f < column.first + column.n; f++)
		for (int64_t i = 0; i < rows->n; i++)
			w->mixed[f * (int64_t) rows->n + i] =
				known ? w->row[f * w->stride] : rows->x[f * (int64_t) rows->n + i];
}

/* Prediction of the row itself. */
static double
predict_row(const Work *w)
{
	PgmlBlock row = { w->row, w->stride, 1 };

	pgml_scorer_predict(w->shap->scorer, &row, w->single, w->scratch);
	return w->single[w->output];
}

/* ---- all sets ------------------------------------------------------------------------------- */

/* Predict all sets, from each to the next with one column more or less (Gray code). */
static PgmlStatus
find_values(const Work *w)
{
	int32_t p = w->shap->n_columns;
	uint32_t all = (1u << p) - 1;
	uint32_t set = 0;

	forget_all(w);
	for (uint32_t i = 1; i <= all; i++)
	{
		uint32_t next = i ^ (i >> 1);
		int32_t c = __builtin_ctz(next ^ set);

		set = next;
		set_column(w, c, (set >> c & 1) != 0);
		if (set == all)
			continue;
		PGML_TRY(predict_mixed(w));
		w->value[set] = mean_output(w, w->output);
	}
	w->value[0] = w->shap->base[w->output];
	w->value[all] = predict_row(w);
	return PGML_OK;
}

/* Share of the orders of p columns in which those of a set of this size come first and a given other one next. */
static double
order_share(int size, int p)
{
	double share = 1.0 / p;

	/* size! (p - 1 - size)! / (p - 1)! */
	for (int i = 1; i <= size; i++)
		share *= (double) i / (p - 1 - size + i);
	return share;
}

static PgmlStatus
explain_by_sets(const Work *w)
{
	int32_t p = w->shap->n_columns;

	PGML_TRY(find_values(w));
	for (int32_t c = 0; c < p; c++)
	{
		uint32_t own = 1u << c;

		w->sum[c] = 0;
		for (uint32_t set = 0; set < 1u << p; set++)
			if (!(set & own))
				w->sum[c] +=
					order_share(__builtin_popcount(set), p) * (w->value[set | own] - w->value[set]);
	}
	return PGML_OK;
}

/* ---- orders --------------------------------------------------------------------------------- */

/* Pairs of orders that are looked at for this number of columns. */
static int32_t
pairs_for(int32_t n_columns)
{
	int32_t pairs = SETS / (2 * n_columns);

	return pairs > LEAST_PAIRS ? pairs : LEAST_PAIRS;
}

/* Let the columns become known in the order, or from its end on, and add how the value changes. */
static PgmlStatus
follow_order(const Work *w, bool reverse, double predicted)
{
	int32_t p = w->shap->n_columns;
	double before = w->shap->base[w->output];

	forget_all(w);
	for (int32_t i = 0; i < p; i++)
	{
		int32_t c = w->order[reverse ? p - 1 - i : i];
		double now = predicted;

		set_column(w, c, true);
		if (i < p - 1)
		{
			PGML_TRY(predict_mixed(w));
			now = mean_output(w, w->output);
		}
		w->sum[c] += now - before;
		before = now;
	}
	return PGML_OK;
}

static PgmlStatus
explain_by_orders(const Work *w)
{
	int32_t p = w->shap->n_columns;
	int32_t pairs = pairs_for(p);
	double predicted = predict_row(w);
	PgmlRng rng;

	pgml_rng_init(&rng, ORDER_SEED, 0);
	for (int32_t c = 0; c < p; c++)
	{
		w->order[c] = c;
		w->sum[c] = 0;
	}
	for (int32_t k = 0; k < pairs; k++)
	{
		for (int32_t i = p - 1; i > 0; i--)
		{
			int32_t j = (int32_t) pgml_rng_below(&rng, (uint64_t) i + 1);
			int32_t c = w->order[i];

			w->order[i] = w->order[j];
			w->order[j] = c;
		}
		PGML_TRY(follow_order(w, false, predicted));
		PGML_TRY(follow_order(w, true, predicted));
	}
	for (int32_t c = 0; c < p; c++)
		w->sum[c] /= 2 * pairs;
	return PGML_OK;
}

/* ---- interface ------------------------------------------------------------------------------ */

/* The columns that have features. */
static void
list_columns(const PgmlRecipe *recipe, PgmlColumnShap *shap)
{
	for (int32_t i = 0; i < recipe->n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(recipe, i);

		if (input.used && input.n_features > 0)
			shap->column[shap->n_columns++] = (Column){ input.first_feature, input.n_features };
	}
}

/* The mean predictions for the background rows. */
static PgmlStatus
find_base(const PgmlEnv *env, PgmlArena *arena, PgmlColumnShap *shap)
{
	Work w = { .env = env, .shap = shap };
	void *scratch = pgml_alloc(arena, lay_out(shap, &w, NULL));

	shap->base = pgml_array(arena, (size_t) shap->outputs, sizeof(double));
	if (scratch == NULL || shap->base == NULL)
		return pgml_fail_nomem(env, "an explanation");
	lay_out(shap, &w, scratch);
	forget_all(&w);
	PGML_TRY(predict_mixed(&w));
	for (int k = 0; k < shap->outputs; k++)
		shap->base[k] = mean_output(&w, k);
	return PGML_OK;
}

PgmlStatus
pgml_column_shap_create(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image, int member,
						const PgmlColumnShap **out)
{
	const PgmlMember *own = &image->members[member];
	PgmlColumnShap *shap;

	if (image->background.n == 0)
		return pgml_fail_unexplained(env->error, own->learner->name);
	shap = pgml_zalloc(arena, 1, sizeof(*shap) + (size_t) image->recipe.n_inputs * sizeof(Column));
	if (shap == NULL)
		return pgml_fail_nomem(env, "an explanation");
	shap->alone = *image;
	shap->alone.n_members = 1;
	shap->alone.stacked = false;
	shap->alone.members[0] = *own;
	shap->outputs = pgml_image_outputs(image);
	list_columns(&image->recipe, shap);
	PGML_TRY(pgml_scorer_create(env, arena, &shap->alone, &shap->scorer));
	shap->rows_at_once = pgml_scorer_rows_at_once(shap->scorer);
	PGML_TRY(find_base(env, arena, shap));
	*out = shap;
	return PGML_OK;
}

double
pgml_column_shap_base(const PgmlColumnShap *shap, int output)
{
	return shap->base[output];
}

double
pgml_column_shap_work(const PgmlColumnShap *shap)
{
	int32_t p = shap->n_columns;
	double sets = p <= PGML_SHAP_EXACT ? 1u << p : 2.0 * pairs_for(p) * p;

	/* As if a prediction took in each number of the payload once. */
	return sets * shap->alone.background.n *
		   ((double) shap->alone.members[0].payload_len / sizeof(float) +
			10.0 * shap->alone.shape.nfeatures);
}

size_t
pgml_column_shap_scratch(const PgmlColumnShap *shap)
{
	Work w;

	return lay_out(shap, &w, NULL);
}

PgmlStatus
pgml_column_shap_block(const PgmlEnv *env, const PgmlColumnShap *shap, const PgmlBlock *block,
					   int output, double factor, double *phi, int64_t stride, void *scratch)
{
	Work w = { .env = env, .shap = shap, .stride = block->stride, .output = output };

	if (shap->n_columns == 0)
		return PGML_OK;
	lay_out(shap, &w, scratch);
	for (int64_t i = 0; i < block->n; i++)
	{
		w.row = block->x + i;
		PGML_TRY(shap->n_columns <= PGML_SHAP_EXACT ? explain_by_sets(&w) : explain_by_orders(&w));
		for (int32_t c = 0; c < shap->n_columns; c++)
			phi[shap->column[c].first * stride + i] += factor * w.sum[c];
	}
	return PGML_OK;
}
