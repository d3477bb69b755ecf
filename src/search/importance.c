/*
 * importance.c - permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019): how much worse the model's metric gets
 * on the test rows when the values of one column are shuffled among them.
 *
 * All features of a column are shuffled together.  It is measured last and may cost only what is left: of a training without a
 * time budget a bounded amount of work, else a share of the time.  Nothing else depends on it.
 */
#include "search/training.h"

#include <math.h>

#include "core/rng.h"

#define ROUNDS        5 /* shuffles of each column */
#define FEWEST_ROUNDS 3 /* fewer give no interval worth the name */
#define MOST_ROWS     2000
#define FEWEST_ROWS   100

#define SEED_OF_SHUFFLES 0x7368756666

/* Share of the time budget that measuring may take, and of the grace beyond it. */
#define TIME_SHARE  0.05
#define GRACE_SHARE 0.5

/* Seconds of a row's prediction for planning: for itself, for each feature and for each byte of the image. */
#define SECONDS_PER_ROW     3e-7
#define SECONDS_PER_FEATURE 2e-9
#define SECONDS_PER_BYTE    1e-11

/* Seconds of work by that estimate without a time budget: rows are fewer when it would be more, and twice that is not begun. */
#define WORK_SECONDS 2.0

/* Student's t for an interval of 95 %, by degrees of freedom. */
static const double student[] = { [2] = 4.3027, [3] = 3.1824, [4] = 2.7764 };

_Static_assert(sizeof(student) / sizeof(student[0]) == ROUNDS,
			   "a quantile for each number of rounds");

/* What each thread shuffles with. */
typedef struct Bench
{
	int32_t *from; /* the row that each row gets the values of */
	float *x;
	double *p;
	char *scratch;
} Bench;

typedef struct Measure
{
	const Training *t;
	const PgmlScorer *scorer;
	int64_t n;
	const int32_t *rows; /* table rows */
	const double *y;
	const double *w;
	double base; /* the metric of rows that are not shuffled */
	int32_t n_inputs;
	int32_t *input; /* those that are used */
	double *loss;   /* ROUNDS numbers for each of them */
	int round;
	int64_t block; /* rows predicted at once */
	double until;  /* time at which to end; 0: whenever it is done */
	Bench *bench;  /* per thread */
} Measure;

/* Metric of the rows when the features first .. end - 1 are those of other rows. */
static PgmlStatus
score_shuffled(const Measure *m, const Bench *b, int32_t first, int32_t end, double *value)
{
	const Training *t = m->t;
	PgmlError error = { 0 };
	PgmlEnv env = *t->env;
	PgmlPredictions p = {
		t->target.task, t->target.n_classes, m->n, m->y, b->p, m->w, &t->decision
	};

	/* Each thread describes failures for itself. */
	env.error = &error;
	env.pool = NULL;
	for (int64_t start = 0; start < m->n; start += m->block)
	{
		PgmlBlock block = { b->x, m->block, m->n - start };

		if (pgml_stopped(t->env))
			return PGML_ERR_CANCELLED;
		block.n = block.n < m->block ? block.n : m->block;
		for (int32_t f = 0; f < t->x.nfeatures; f++)
			for (int64_t i = 0; i < block.n; i++)
			{
				int64_t row = start + i;

				b->x[f * m->block + i] =
					t->x.col[f][m->rows[f >= first && f < end ? b->from[row] : row]];
			}
		pgml_scorer_predict(m->scorer, &block, b->p + start * t->outputs, b->scratch);
	}
	return pgml_metric_compute(&env, t->result->metric, &p, value);
}

/* Shuffle one input; PGML_ERR_UNAVAILABLE when the time is over. */
static PgmlStatus
measure_input(void *arg, int64_t number, int thread)
{
	const Measure *m = arg;
	const Bench *b = &m->bench[thread];
	PgmlInput input = pgml_recipe_input(&m->t->recipe, m->input[number]);
	double value;
	PgmlRng rng;

	if (m->until > 0 && pgml_now() > m->until)
		return PGML_ERR_UNAVAILABLE;

	pgml_rng_init(&rng, m->t->env->seed + SEED_OF_SHUFFLES,
				  (uint64_t) m->input[number] * ROUNDS + (uint64_t) m->round);
	for (int64_t i = 0; i < m->n; i++)
	{
		int64_t other = (int64_t) pgml_rng_below(&rng, (uint64_t) i + 1);

		b->from[i] = b->from[other];
		b->from[other] = (int32_t) i;
	}
	PGML_TRY(
		score_shuffled(m, b, input.first_feature, input.first_feature + input.n_features, &value));
	m->loss[number * ROUNDS + m->round] =
		m->t->result->metric->higher_is_better ? m->base - value : value - m->base;
	return PGML_OK;
}

/* Means over the rounds with their intervals. */
static void
summarise(const Measure *m, int rounds, PgmlImportance *importance)
{
	for (int32_t k = 0; k < m->n_inputs; k++)
	{
		const double *loss = m->loss + k * ROUNDS;
		PgmlImportance *out = &importance[m->input[k]];
		double mean = 0, squares = 0, half;

		for (int r = 0; r < rounds; r++)
			mean += loss[r] / rounds;
		for (int r = 0; r < rounds; r++)
			squares += (loss[r] - mean) * (loss[r] - mean);
		half = student[rounds - 1] * sqrt(squares / (rounds - 1) / rounds);
		*out = (PgmlImportance){ mean, mean - half, mean + half };
	}
}

/* Rows that are shuffled: so many that the work is bounded; 0 when even few would be too many. */
static int64_t
count_rows(const Training *t, int32_t n_inputs, double seconds)
{
	double per_row = SECONDS_PER_ROW + SECONDS_PER_FEATURE * t->x.nfeatures +
					 SECONDS_PER_BYTE * (double) t->result->image.len;
	double rows = fmin(WORK_SECONDS, seconds) / (per_row * ROUNDS * (n_inputs + 1));

	if (rows < FEWEST_ROWS / 2)
		return 0;
	rows = fmin(fmax(rows, FEWEST_ROWS), MOST_ROWS);
	return t->n_test < rows ? t->n_test : (int64_t) rows;
}

/* The rows, evenly spread over the test rows, with targets and weights. */
static PgmlStatus
choose_rows(Measure *m, PgmlArena *arena)
{
	const Training *t = m->t;
	int32_t *rows = pgml_array(arena, (size_t) m->n, sizeof(int32_t));
	double *y = pgml_array(arena, (size_t) m->n, sizeof(double));
	double *w = pgml_array(arena, (size_t) m->n, sizeof(double));

	if (!rows || !y || !w)
		return pgml_fail_nomem(t->env, "the importance of columns");
	for (int64_t i = 0; i < m->n; i++)
	{
		rows[i] = t->test[i * t->n_test / m->n];
		y[i] = t->target.y[rows[i]];
		w[i] = t->weight ? t->weight[rows[i]] : 1;
	}
	m->rows = rows;
	m->y = y;
	m->w = t->weight ? w : NULL;
	return PGML_OK;
}

/* Everything that the rounds need. */
static PgmlStatus
prepare(Measure *m, PgmlArena *arena)
{
	const Training *t = m->t;
	const PgmlBuf *bytes = &t->result->image;
	size_t threads = (size_t) pgml_pool_threads(t->env->pool);
	PgmlImage *image = pgml_array(arena, 1, sizeof(PgmlImage));

	m->loss = pgml_array(arena, (size_t) m->n_inputs * ROUNDS, sizeof(double));
	m->bench = pgml_array(arena, threads, sizeof(Bench));
	if (!image || !m->loss || !m->bench)
		return pgml_fail_nomem(t->env, "the importance of columns");
	PGML_TRY(choose_rows(m, arena));
	PGML_TRY(pgml_image_attach(bytes->data, bytes->len, arena, image, t->env->error));
	PGML_TRY(pgml_scorer_create(t->env, arena, image, &m->scorer));
	/* Threads share the columns, not the rows. */
	m->block = training_image_rows(t, m->scorer, m->n * pgml_pool_threads(t->env->pool));
	for (size_t i = 0; i < threads; i++)
	{
		Bench *b = &m->bench[i];

		b->from = pgml_array(arena, (size_t) m->n, sizeof(int32_t));
		b->x = pgml_array(arena, (size_t) m->block * t->x.nfeatures, sizeof(float));
		b->p = pgml_array(arena, (size_t) (m->n * t->outputs), sizeof(double));
		b->scratch = pgml_alloc(arena, pgml_scorer_scratch(m->scorer));
		if (!b->from || !b->x || !b->p || !b->scratch)
			return pgml_fail_nomem(t->env, "the importance of columns");
	}
	return PGML_OK;
}

/* All rounds, as far as time allows. */
static PgmlStatus
measure(Measure *m, PgmlArena *arena)
{
	const Training *t = m->t;
	PgmlImportance *importance;

	PGML_TRY(prepare(m, arena));
	PGML_TRY(score_shuffled(m, &m->bench[0], 0, 0, &m->base));
	if (isnan(m->base))
		return PGML_OK;
	for (m->round = 0; m->round < ROUNDS; m->round++)
	{
		PgmlStatus status = pgml_par_for(t->env, m->n_inputs, measure_input, m);

		if (status == PGML_ERR_UNAVAILABLE)
			break;
		PGML_TRY(status);
	}
	if (m->round < FEWEST_ROUNDS)
		return PGML_OK;
	importance = pgml_array(t->arena, (size_t) t->recipe.n_inputs, sizeof(PgmlImportance));
	if (!importance)
		return pgml_fail_nomem(t->env, "the importance of columns");
	for (int32_t i = 0; i < t->recipe.n_inputs; i++)
		importance[i] = (PgmlImportance){ NAN, NAN, NAN };
	summarise(m, m->round, importance);
	t->result->importance = importance;
	return PGML_OK;
}

PgmlStatus
training_measure_importance(Training *t)
{
	bool limited = t->options->time_budget > 0;
	Measure m = { .t = t };
	double seconds = fmin(TIME_SHARE * t->options->time_budget,
						  training_seconds_left(t) + GRACE_SHARE * training_grace(t));
	PgmlArena *arena;
	PgmlStatus status;

	if (limited && seconds <= 0)
		return PGML_OK;
	arena = pgml_arena_create(t->env->budget);
	if (!arena)
		return PGML_OK;
	m.input = pgml_array(arena, (size_t) t->recipe.n_inputs + 1, sizeof(int32_t));
	for (int32_t i = 0; m.input && i < t->recipe.n_inputs; i++)
		if (pgml_recipe_input(&t->recipe, i).used)
			m.input[m.n_inputs++] = i;
	m.until = limited ? pgml_now() + seconds : 0;
	m.n = count_rows(t, m.n_inputs, limited ? seconds : WORK_SECONDS);
	status = PGML_OK;
	if (m.input && m.n > 1)
	{
		pgml_progress(t->env, 0.96, "importance of columns");
		status = measure(&m, arena);
	}
	pgml_arena_destroy(arena);
	/* Without memory or a metric the model is what it is. */
	if (status == PGML_ERR_CANCELLED || pgml_stopped(t->env))
		return pgml_fail_cancelled(t->env);
	return PGML_OK;
}
