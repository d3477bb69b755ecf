/*
 * interval.c - bootstrap intervals of metrics.
 *
 * A resample is a weight per row: how often the row (or its whole group) was drawn, times its own
 * weight.  Each round draws from its own random stream, so rounds run on any number of threads
 * with the same result.  A metric of several parts is worked on part by part, every part seeing
 * the same resamples; the round's value is the mean of the parts that are defined in it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/par.h"
#include "core/rng.h"
#include "stats/method.h"

/* Rounds between two looks at the deadline; also the number that is always done. */
#define BATCH 50

/* More units than this are drawn independently, Poisson(1) times each: cheaper, and as good. */
#define POISSON_ABOVE 100000

typedef struct Scratch
{
	double *weight; /* per row */
	uint8_t *count; /* per unit */
	double *work;   /* of evaluate() */
} Scratch;

/* Counts are kept for several metrics while they take no more than this. */
#define KEPT_COUNTS ((int64_t) 64 << 20)

struct PgmlResamples
{
	const int32_t *group;
	int64_t n;
	int64_t units; /* groups or rows */
	uint64_t seed;
	int rounds;
	uint8_t *count; /* rounds x units; NULL: drawn anew whenever wanted */
};

typedef struct Bootstrap
{
	const PgmlEnv *env;
	const PgmlPredictions *p;
	const PgmlResamples *resamples;
	const PgmlPrepared *part;
	const int32_t *order; /* rows in the order that units stand for; NULL: as they are */
	Scratch *scratch;     /* per thread */
	int first;            /* round of block 0 */
	int rounds;           /* to do; falls when time runs out */
	double *sum;          /* per round: of the parts that are defined, and their number */
	int *seen;
} Bootstrap;

/*
 * Draw as many units as there are, with replacement. A count above 255 will not be met in this
 * world.
 */
static PgmlStatus
draw_units(const PgmlEnv *env, PgmlRng *rng, int64_t units, uint8_t *count)
{
	memset(count, 0, (size_t) units);
	for (int64_t i = 0; i < units; i++)
	{
		uint8_t *c = &count[pgml_rng_below(rng, (uint64_t) units)];

		if (pgml_poll(env, i))
			return PGML_ERR_CANCELLED;
		*c = (uint8_t) (*c + (*c < 255));
	}
	return PGML_OK;
}

/* Poisson(1) numbers from 16 random bits each: the distribution function in units of 1/65536. */
static PgmlStatus
draw_poisson(const PgmlEnv *env, PgmlRng *rng, int64_t units, uint8_t *count)
{
	static const uint16_t upto[] = { 24109, 48219, 60273, 64292, 65296, 65497, 65531, 65535 };
	uint64_t bits = 0;

	for (int64_t i = 0; i < units; i++, bits >>= 16)
	{
		uint8_t c = 0;

		if (pgml_poll(env, i))
			return PGML_ERR_CANCELLED;
		if ((i & 3) == 0)
			bits = pgml_rng_next(rng);
		for (int k = 0; k < 8; k++)
			c = (uint8_t) (c + ((bits & 0xffff) >= upto[k]));
		count[i] = c;
	}
	return PGML_OK;
}

/* The counts of a round. */
static PgmlStatus
draw(const PgmlEnv *env, const PgmlResamples *r, int round, uint8_t *count)
{
	PgmlRng rng;

	pgml_rng_init(&rng, r->seed, (uint64_t) round);
	return r->units > POISSON_ABOVE ? draw_poisson(env, &rng, r->units, count) :
									  draw_units(env, &rng, r->units, count);
}

/* One round: draw, weigh the rows, evaluate. */
static PgmlStatus
run_round(void *arg, int64_t block, int thread)
{
	const Bootstrap *b = arg;
	const PgmlResamples *r = b->resamples;
	const Scratch *s = &b->scratch[thread];
	int round = b->first + (int) block;
	const uint8_t *count = s->count;
	double value;

	if (r->count)
		count = r->count + round * r->units;
	else
		PGML_TRY(draw(b->env, r, round, s->count));
	for (int64_t i = 0; i < b->p->n; i++)
	{
		if (pgml_poll(b->env, i))
			return PGML_ERR_CANCELLED;
		s->weight[i] =
			count[r->group ? r->group[i] : i] * pgml_weight(b->p->w, b->order ? b->order[i] : i);
	}
	PGML_TRY(b->part->method->evaluate(b->env, b->part, s->weight, s->work, &value));
	if (isfinite(value))
	{
		b->sum[round] += value;
		b->seen[round]++;
	}
	return PGML_OK;
}

/* The rounds of one part in batches; when time runs out, this and later parts do fewer rounds. */
static PgmlStatus
run_rounds(Bootstrap *b)
{
	for (b->first = 0; b->first < b->rounds; b->first += BATCH)
	{
		int batch = b->rounds - b->first < BATCH ? b->rounds - b->first : BATCH;
		PgmlStatus status;

		if (pgml_stopped(b->env))
			return pgml_fail_cancelled(b->env);
		if (b->first > 0 && pgml_out_of_time(b->env))
			b->rounds = b->first;
		else
		{
			status = pgml_par_for(b->env, batch, run_round, b);
			if (status != PGML_OK)
				return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(b->env) : status;
		}
	}
	return PGML_OK;
}

/* Memory for rounds and threads. */
static PgmlStatus
allocate(Bootstrap *b, PgmlArena *arena)
{
	int threads = pgml_pool_threads(b->env->pool);
	bool ok;

	b->sum = pgml_zalloc(arena, (size_t) b->rounds, sizeof(double));
	b->seen = pgml_zalloc(arena, (size_t) b->rounds, sizeof(int));
	b->scratch = pgml_array(arena, (size_t) threads, sizeof(Scratch));
	ok = b->sum && b->seen && b->scratch;
	for (int i = 0; i < threads && ok; i++)
	{
		b->scratch[i].weight = pgml_array(arena, (size_t) b->p->n, sizeof(double));
		b->scratch[i].count =
			pgml_array(arena, b->resamples->count ? 1 : (size_t) b->resamples->units, 1);
		b->scratch[i].work = pgml_array(arena, pgml_metric_scratch(b->p), sizeof(double));
		ok = b->scratch[i].weight && b->scratch[i].count && b->scratch[i].work;
	}
	return ok ? PGML_OK : pgml_fail_nomem(b->env, "the bootstrap");
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Quantile q of n > 0 sorted numbers, interpolated between neighbours. */
static double
quantile(const double *sorted, int n, double q)
{
	double at = q * (n - 1);
	int below = (int) at;
	int above = below + 1 < n ? below + 1 : below;

	return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/* Quantiles of the rounds that have a value; NaN when none has. */
static void
summarise(Bootstrap *b, double level, double *low, double *high)
{
	int n = 0;

	for (int i = 0; i < b->rounds; i++)
		if (b->seen[i] > 0)
			b->sum[n++] = b->sum[i] / b->seen[i];
	if (n == 0)
		return;
	qsort(b->sum, (size_t) n, sizeof(double), compare_doubles);
	*low = quantile(b->sum, n, 0.5 * (1.0 - level));
	*high = quantile(b->sum, n, 0.5 * (1.0 + level));
}

/* All parts, then the quantiles; arena holds what lasts, part_arena one part. */
static PgmlStatus
bootstrap(Bootstrap *b, const PgmlMetric *metric, PgmlArena *arena, PgmlArena *part_arena)
{
	int parts = pgml_metric_parts(metric, b->p);

	PGML_TRY(allocate(b, arena));
	for (int part = 0; part < parts; part++)
	{
		PgmlPrepared prepared;

		PGML_TRY(pgml_metric_prepare(b->env, part_arena, metric, b->p, part, &prepared));
		b->part = &prepared;
		/*
		 * Rows are drawn alike, so a metric that walks along sorted rows may number them by place:
		 * weights are then read one after the other.  Several parts sort differently and must see
		 * the same rows; groups belong to rows.
		 */
		if (parts == 1 && !b->resamples->group)
		{
			b->order = prepared.order;
			prepared.order = NULL;
		}
		PGML_TRY(run_rounds(b));
		pgml_arena_reset(part_arena);
	}
	return PGML_OK;
}

/* Refuse groups that would read out of bounds. */
static PgmlStatus
check_groups(const PgmlEnv *env, int64_t n, const int32_t *group, int32_t n_groups)
{
	for (int64_t i = 0; group && i < n; i++)
		if (group[i] < 0 || group[i] >= n_groups)
			return pgml_fail(env->error, PGML_ERR_BADARG, "group number %d is not below %d",
							 group[i], n_groups);
	return PGML_OK;
}

/* Draw one round of resamples that are kept. */
typedef struct Keeping
{
	const PgmlEnv *env;
	const PgmlResamples *resamples;
} Keeping;

static PgmlStatus
keep_round(void *arg, int64_t round, int thread)
{
	const Keeping *k = arg;

	(void) thread;
	return draw(k->env, k->resamples, (int) round,
				k->resamples->count + round * k->resamples->units);
}

PgmlStatus
pgml_resamples_create(const PgmlEnv *env, PgmlArena *arena, int64_t n, const int32_t *group,
					  int32_t n_groups, int rounds, uint64_t seed, PgmlResamples **out)
{
	PgmlResamples *r = pgml_zalloc(arena, 1, sizeof(*r));
	Keeping keeping = { env, r };

	if (!r)
		return pgml_fail_nomem(env, "the bootstrap");
	PGML_TRY(check_groups(env, n, group, n_groups));
	*r = (PgmlResamples){
		.group = group, .n = n, .units = group ? n_groups : n, .seed = seed, .rounds = rounds
	};
	*out = r;
	if (rounds * r->units > KEPT_COUNTS || 2 * rounds * r->units > pgml_budget_left(env->budget))
		return PGML_OK;
	r->count = pgml_array(arena, (size_t) (rounds * r->units), 1);
	if (!r->count)
		return PGML_OK;
	if (pgml_par_for(env, rounds, keep_round, &keeping) != PGML_OK)
		return pgml_fail_cancelled(env);
	return PGML_OK;
}

int
pgml_metric_steps(const PgmlMetric *metric, const PgmlPredictions *p)
{
	return pgml_metric_parts(metric, p);
}

PgmlStatus
pgml_resampled_interval(const PgmlEnv *env, const PgmlMetric *metric, const PgmlPredictions *p,
						const PgmlResamples *resamples, int rounds, double level, double *low,
						double *high)
{
	Bootstrap b = { .env = env, .p = p, .resamples = resamples, .rounds = rounds };
	PgmlArena *arena;
	PgmlArena *part_arena;
	PgmlStatus status;
	bool defined;

	*low = *high = NAN;
	if (!(level > 0 && level < 1) || rounds < 1 || rounds > resamples->rounds ||
		p->n != resamples->n)
		return pgml_fail(env->error, PGML_ERR_BADARG, "interval of level %g from %d rounds", level,
						 rounds);
	PGML_TRY(pgml_metric_check(env, metric, p, &defined));
	if (p->n < 2 && defined)
	{
		PGML_TRY(pgml_metric_compute(env, metric, p, low));
		*high = *low;
	}
	if (p->n < 2 || !defined)
		return PGML_OK;
	arena = pgml_arena_create(env->budget);
	part_arena = pgml_arena_create(env->budget);
	if (arena && part_arena)
		status = bootstrap(&b, metric, arena, part_arena);
	else
		status = pgml_fail_nomem(env, "the bootstrap");
	if (status == PGML_OK)
		summarise(&b, level, low, high);
	pgml_arena_destroy(part_arena);
	pgml_arena_destroy(arena);
	return status;
}

PgmlStatus
pgml_metric_interval(const PgmlEnv *env, const PgmlMetric *metric, const PgmlPredictions *p,
					 const int32_t *group, int32_t n_groups, double level, int rounds,
					 uint64_t seed, double *low, double *high)
{
	PgmlResamples r = {
		.group = group, .n = p->n, .units = group ? n_groups : p->n, .seed = seed, .rounds = rounds
	};

	*low = *high = NAN;
	PGML_TRY(check_groups(env, p->n, group, n_groups));
	return pgml_resampled_interval(env, metric, p, &r, rounds, level, low, high);
}
