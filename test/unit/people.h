/*
 * people.h - a table of people whose target follows from their columns, and trainings on it.
 *
 * Row i is the same however many rows there are, so that a table can grow.
 */
#ifndef PGML_UNIT_PEOPLE_H
#define PGML_UNIT_PEOPLE_H

#include <stdio.h>

#include "core/hash.h"
#include "core/par.h"
#include "core/rng.h"
#include "make_table.h"
#include "model/image.h"
#include "search/automl.h"

/* Columns of the table, in order. */
enum
{
	COL_ID,
	COL_AGE,
	COL_CITY,
	COL_JOINED,
	COL_SHOP,
	COL_WEIGHT,
	COL_NOISE,
	COL_Y
};

typedef struct People
{
	Fixture f;
	PgmlTask task;
} People;

/* What makes the target: about 80 % of it can be known from age and city. */
static inline double
people_score(double age, int city, PgmlRng *rng)
{
	return age / 20 + (city == 1 ? 1.5 : 0) - (city == 3 ? 1 : 0) + 0.4 * pgml_rng_normal(rng);
}

static inline void
people_row(People *p, int64_t i)
{
	static const char *const cities[] = { "Oslo", "Rome", "Bonn", "Lima", NULL };
	static const char *const levels[] = { "low", "middle", "high" };
	PgmlColumn *c = p->f.cols;
	uint64_t identity = (uint64_t) i;
	char shop[20];
	PgmlRng rng;
	double z;
	int city;

	pgml_rng_init(&rng, identity, 5);
	p->f.table.row_hash[i] = pgml_hash64(&identity, sizeof(identity), 1);
	c[COL_ID].num[i] = (double) i + 1000;
	c[COL_AGE].num[i] = (double) (18 + pgml_rng_below(&rng, 60));
	city = (int) pgml_rng_below(&rng, 5);
	set_text(&c[COL_CITY], i, cities[city]);
	c[COL_JOINED].num[i] = 86400.0 * (double) (12000 + pgml_rng_below(&rng, 2000));
	snprintf(shop, sizeof(shop), "shop %d", (int) pgml_rng_below(&rng, 30));
	set_text(&c[COL_SHOP], i, shop);
	c[COL_WEIGHT].num[i] = (double) (1 + pgml_rng_below(&rng, 3));
	c[COL_NOISE].num[i] = pgml_rng_normal(&rng);
	z = people_score(c[COL_AGE].num[i], city, &rng);
	if (p->task == PGML_TASK_REGRESSION)
		c[COL_Y].num[i] = z;
	else if (p->task == PGML_TASK_BINARY)
		set_text(&c[COL_Y], i, z > 3.2 ? "yes" : "no");
	else
		set_text(&c[COL_Y], i, levels[(z > 2.2) + (z > 3.2)]);
}

static inline People *
people_new(int64_t n, PgmlTask task)
{
	People *p = calloc(1, sizeof(*p));
	Fixture *f = &p->f;

	fixture_init(f, n);
	p->task = task;
	f->table.row_hash = pgml_zalloc(f->arena, (size_t) n + 1, sizeof(uint64_t));
	add_numbers(f, "id", PGML_KIND_NUMBER)->is_key = true;
	f->cols[COL_ID].is_integer = true;
	add_numbers(f, "age", PGML_KIND_NUMBER);
	add_text(f, "city");
	add_numbers(f, "joined", PGML_KIND_DATE);
	add_text(f, "shop");
	add_numbers(f, "weight", PGML_KIND_NUMBER);
	add_numbers(f, "noise", PGML_KIND_NUMBER);
	if (task == PGML_TASK_REGRESSION)
		add_numbers(f, "y", PGML_KIND_NUMBER);
	else
		add_text(f, "y");
	for (int64_t i = 0; i < n; i++)
		people_row(p, i);
	return p;
}

static inline void
people_free(People *p)
{
	fixture_done(&p->f);
	free(p);
}

/* Settings that make boosting fast. */
static const PgmlHyperparam quick[] = { { "n_estimators", 15, NULL }, { "num_leaves", 6, NULL } };

/* One training and all that it is lent. */
typedef struct Run
{
	PgmlBudget budget;
	PgmlError error;
	_Atomic int stop;
	PgmlEnv env;
	PgmlArena *arena;
	PgmlSplit split;
	PgmlTrainOptions options;
	PgmlTrainResult result;
	PgmlStatus status;
} Run;

/* A linear and a boosting trial on two folds, a fifth of the rows for testing. */
static inline void
run_init(Run *r)
{
	memset(r, 0, sizeof(*r));
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	pgml_budget_init(&r->budget, 0);
	r->env = (PgmlEnv){ .budget = &r->budget, .error = &r->error, .stop = &r->stop, .seed = 42 };
	r->arena = pgml_arena_create(&r->budget);
	r->split = (PgmlSplit){ .salt = 4711, .test_size = 0.2 };
	r->options = (PgmlTrainOptions){ .target = "y",
									 .test_size = 0.2,
									 .max_trials = 2,
									 .folds = 2,
									 .hyperparams = quick,
									 .n_hyperparams = 2,
									 .split = &r->split };
}

/* Without looking at the outcome. */
static inline PgmlStatus
run_try(Run *r, const People *p)
{
	r->status = pgml_automl(&r->env, &p->f.table, &r->options, r->arena, &r->result);
	return r->status;
}

static inline void
run_train(Run *r, const People *p)
{
	if (run_try(r, p) != PGML_OK)
		fail_msg("training failed: %s", r->error.message);
	assert_true(r->result.image.len > 0);
}

/* Give everything back; whatever the outcome, nothing may be left. */
static inline void
run_done(Run *r)
{
	if (r->status != PGML_OK)
		assert_true(r->result.image.data == NULL);
	pgml_buf_free(&r->result.image);
	pgml_arena_destroy(r->arena);
	assert_int_equal(atomic_load(&r->budget.used), 0);
}

/* The next version of a model: the split's rules are those of the first. */
static inline void
run_init_next(Run *r, const Run *first)
{
	run_init(r);
	r->split = first->split;
	r->split.fixed = true;
}

static inline void
assert_same_image(const Run *a, const Run *b)
{
	assert_int_equal(a->result.image.len, b->result.image.len);
	assert_memory_equal(a->result.image.data, b->result.image.data, a->result.image.len);
}

static inline bool
same_image(const Run *a, const Run *b)
{
	return a->result.image.len == b->result.image.len &&
		   memcmp(a->result.image.data, b->result.image.data, a->result.image.len) == 0;
}

/*
 * The same but for the scores of intervals, which are those of the test rows: description, recipe, members, and what is known
 * of the size of errors.
 */
static inline void
assert_same_model(Run *a, Run *b)
{
	PgmlImage x, y;
	size_t start, end;

	assert_int_equal(
		pgml_image_open(a->result.image.data, a->result.image.len, a->arena, &x, &a->error),
		PGML_OK);
	assert_int_equal(
		pgml_image_open(b->result.image.data, b->result.image.len, b->arena, &y, &b->error),
		PGML_OK);
	assert_true(x.calibration.n > 0 && y.calibration.n > 0);
	assert_int_equal(x.n_members, y.n_members);
	start = 32 + 24 * (size_t) (3 + x.stacked + x.n_members);
	end = (size_t) ((const uint8_t *) x.calibration.at - x.bytes) - 24;
	assert_memory_equal(x.bytes + start, y.bytes + start, end - start);
	assert_int_equal(x.calibration.n_points, y.calibration.n_points);
	assert_memory_equal(x.calibration.at, y.calibration.at,
						2 * (size_t) x.calibration.n_points * sizeof(double));
}

static inline bool
has_notice(const Run *r, const char *part, bool warning)
{
	for (int i = 0; i < r->result.n_notices; i++)
		if (strstr(r->result.notices[i], part) && r->result.notice_is_warning[i] == warning)
			return true;
	return false;
}

/* The view of the image that a run made, in the run's arena. */
static inline PgmlImage
run_image(Run *r)
{
	PgmlImage image;

	assert_int_equal(
		pgml_image_open(r->result.image.data, r->result.image.len, r->arena, &image, &r->error),
		PGML_OK);
	return image;
}

/* Is the column a feature of the model? */
static inline bool
uses_column(Run *r, int col)
{
	PgmlImage image = run_image(r);

	return pgml_recipe_input(&image.recipe, col).used;
}

/* Was the row held out by the first version's rules? */
static inline bool
was_tested(const Run *first, const People *p, int64_t row)
{
	const PgmlTable *table = &p->f.table;
	const PgmlSplit *split = &first->split;
	uint64_t salt =
		split->variant > 0 ? pgml_hash_combine(split->salt, split->variant) : split->salt;
	uint64_t hash = pgml_hash_combine(table->row_hash[row], salt);
	PgmlValue y = pgml_table_value(table, COL_Y, row);

	if (split->method == PGML_SPLIT_TIME)
		return p->f.cols[COL_JOINED].num[row] >= split->windows[0].from &&
			   p->f.cols[COL_JOINED].num[row] <= split->windows[0].upto;
	if (split->method == PGML_SPLIT_GROUP)
	{
		PgmlValue shop = pgml_table_value(table, COL_SHOP, row);

		hash = pgml_hash_combine(pgml_hash64(shop.str, shop.len, PGML_KIND_TEXT), split->salt);
		return hash < split->threshold[0];
	}
	if (split->method == PGML_SPLIT_RANDOM)
		return hash < split->threshold[0];
	for (int k = 0; k < split->n_classes; k++)
		if (strcmp(split->labels[k], y.str) == 0)
			return hash < split->threshold[k];
	return false;
}

#endif
