/*
 * folds.c - how settings are validated: cross-validation where it is affordable, else one part held out.
 */
#include "search/training.h"

#include <string.h>

#include "core/sort.h"

/* Rounds a boosting fit takes until it stops early, at the rate we like; for planning. */
#define TYPICAL_ROUNDS 250.0

/* Rows between two looks at the stop flag. */
#define POLL_ROWS 0x10000

#define MAX_CV_CELLS 5000000.0 /* rows x features x outputs that 5 folds are always taken for */

/*
 * How many folds the budget affords: so many fits of boosting, on all folds, are as much work as the first few learners of the portfolio.  More
 * folds make better models of few rows; with more rows other learners are a better use of the time.
 */
static const struct
{
	int folds;
	int64_t most_rows;
	double fits;
} plans[] = {
	{ 8, 5000, 10 },
	{ 5, INT64_MAX, 6 },
	{ 3, INT64_MAX, 2 },
};

/* Rows from which on one part validates well enough, unless there is an hour. */
#define MANY_ROWS 200000
#define LONG_TIME 3600

static int
affordable_folds(const Training *t, const char **why)
{
	double cells = (double) t->n_train * t->x.nfeatures * t->outputs;
	double fit = t->seconds_per_round * TYPICAL_ROUNDS;
	double seconds = 0.8 * training_seconds_left(t) * pgml_pool_threads(t->env->pool);

	*why = "the newest ones, as rows to predict will be newer still";
	if (t->time)
		return 1;
	*why = "by the size of the table";
	if (t->options->time_budget <= 0 || t->seconds_per_round <= 0)
		return cells <= MAX_CV_CELLS ? 5 : 1;
	*why = "so many validate well enough";
	if (t->n_train > MANY_ROWS && t->options->time_budget < LONG_TIME)
		return 1;
	*why = "there is time for that";
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		if (t->n_train <= plans[i].most_rows && plans[i].folds * plans[i].fits * fit <= seconds)
			return plans[i].folds;
	*why = "there is no time for several folds";
	return 1;
}

/* Share of the training rows that validates when there is one part only. */
static double
holdout_share(int64_t n)
{
	double share = 2500.0 / (n > 0 ? n : 1);

	return share > 0.2 ? 0.2 : share < 0.1 ? 0.1 : share;
}

/* The same when rows of one identity do not lie next to each other. */
static PgmlStatus
find_scattered_copies(Training *t, bool *found)
{
	PgmlArena *scratch = pgml_arena_create(t->env->budget);
	PgmlKeyed *items = scratch ? pgml_array(scratch, t->n_train, sizeof(PgmlKeyed)) : NULL;
	PgmlKeyed *tmp = scratch ? pgml_array(scratch, t->n_train, sizeof(PgmlKeyed)) : NULL;
	PgmlStatus status;

	for (int64_t i = 0; items && tmp && i < t->n_train; i++)
		items[i] = (PgmlKeyed){ t->table->row_hash[t->train[i]], i };
	status = items && tmp ? pgml_sort_keyed(t->env, items, tmp, t->n_train) :
							pgml_fail_nomem(t->env, "the folds");
	for (int64_t i = 1; status == PGML_OK && i < t->n_train && !*found; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(t->env))
			status = pgml_fail_cancelled(t->env);
		*found = items[i].key == items[i - 1].key;
	}
	pgml_arena_destroy(scratch);
	return status;
}

/* True when some training rows are of one identity: exact copies, or rows of one entity of id_columns. */
static PgmlStatus
find_copies(Training *t, bool *found)
{
	const uint64_t *hash = t->table->row_hash;

	*found = false;
	if (!t->table->together)
		return find_scattered_copies(t, found);
	for (int64_t i = 1; i < t->n_train && !*found; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(t->env))
			return pgml_fail_cancelled(t->env);
		*found = hash[t->train[i]] == hash[t->train[i - 1]];
	}
	return PGML_OK;
}

/* How the training rows are dealt: all inputs of pgml_folds, and what came out. */
typedef struct Dealing
{
	int parts;
	const int32_t *label;
	const uint64_t *group;
	const double *time;
	int64_t size[PGML_MAX_FOLDS];
	int filled; /* parts that got any row */
	int last;   /* of these */
} Dealing;

static PgmlStatus
deal(Training *t, Dealing *d)
{
	PGML_TRY(pgml_folds(t->env, d->parts, t->train, t->n_train, d->label, d->group, d->time,
						t->env->seed, t->fold));
	memset(d->size, 0, sizeof(d->size));
	for (int64_t i = 0; i < t->n_train; i++)
		d->size[t->fold[i]]++;
	d->filled = d->last = 0;
	for (int f = 0; f < d->parts; f++)
		if (d->size[f] > 0)
		{
			d->filled++;
			d->last = f;
		}
	return PGML_OK;
}

/* What must not be torn apart may be all there is: then rows are dealt one by one after all. */
static PgmlStatus
deal_in_parts(Training *t, Dealing *d)
{
	PGML_TRY(deal(t, d));
	if (d->filled >= 2 || t->n_train < 2)
		return PGML_OK;
	training_notice(t, false, "all training rows are of one %s, so validation is by rows of it",
					d->time  ? "time" :
					t->group ? "group" :
							   "identity");
	d->time = NULL;
	d->group = NULL;
	return deal(t, d);
}

/* The part that validates alone: the newest in time, else the one nearest to the size wanted (groups may be large). */
static int
validation_part(const Training *t, const Dealing *d)
{
	int64_t wanted = t->n_train / d->parts;
	int64_t least = INT64_MAX;
	int best = 0;

	if (d->time)
		return d->last;
	for (int f = 0; f < d->parts; f++)
	{
		int64_t off = d->size[f] > wanted ? d->size[f] - wanted : wanted - d->size[f];

		if (d->size[f] > 0 && off < least)
		{
			best = f;
			least = off;
		}
	}
	return best;
}

/* Number of folds, as asked for or as affordable. */
static PgmlStatus
count_folds(Training *t, int *k)
{
	*k = t->repeats != NULL ? t->repeats->folds : t->options->folds;
	t->folds_why = "as asked for";
	if (t->repeats == NULL)
		PGML_TRY(training_probe_speed(t));
	if (*k == 0)
		*k = affordable_folds(t, &t->folds_why);
	if (*k < 1 || *k > PGML_MAX_FOLDS)
		return pgml_fail(t->env->error, PGML_ERR_BADARG, "folds must be between 1 and %d",
						 PGML_MAX_FOLDS);
	if (*k > 1 && t->time)
	{
		training_notice(
			t, false,
			"with time_column one part validates, the newest training rows, not %d folds: "
			"they would learn from what comes later",
			*k);
		*k = 1;
	}
	if (*k > t->n_train)
		*k = (int) t->n_train;
	return PGML_OK;
}

PgmlStatus
training_choose_folds(Training *t)
{
	Dealing d = { .group = t->group, .time = t->time };
	bool copies = false;
	int k, part;

	PGML_TRY(count_folds(t, &k));
	t->result->execution.folds = k;
	d.parts = k > 1 ? k : (int) (1 / holdout_share(t->n_train) + 0.5);
	if (d.parts > t->n_train)
		d.parts = (int) t->n_train;
	if (!t->group && !t->time)
		PGML_TRY(find_copies(t, &copies));
	if (copies)
		d.group = t->table->row_hash;

	t->fold = pgml_array(t->arena, t->n_train, 1);
	if (t->target.task != PGML_TASK_REGRESSION)
	{
		int32_t *label = pgml_array(t->arena, t->table->nrows, sizeof(int32_t));

		for (int64_t i = 0; label && i < t->n_train; i++)
			label[t->train[i]] = (int32_t) t->target.y[t->train[i]];
		d.label = label;
	}
	if (!t->fold || (t->target.task != PGML_TASK_REGRESSION && !d.label))
		return pgml_fail_nomem(t->env, "the folds");
	PGML_TRY(deal_in_parts(t, &d));
	/* There may be fewer groups than folds; the first ones are filled then. */
	t->folds = k < d.filled ? k : d.filled;
	part = validation_part(t, &d);
	for (int64_t i = 0; k == 1 && i < t->n_train; i++)
		t->fold[i] = t->fold[i] == part ? 0 : 1;
	return PGML_OK;
}
