/*
 * Tests of the statistics of categories of learner `oblivious_boosting`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define DATA_LEARNER pgml_learner_oblivious_boosting
#include "gbm_data.h"
#include "learner/oblivious_ctr_internal.h"
#include "learner/oblivious_payload.h"
#include "unit.h"

/* Statistics of a dataset. */
typedef struct Parts
{
	Data *d;
	PgmlArena *arena;
	PgmlGbmTarget target;
	PgmlOblConfig config;
	PgmlOblCtr *ctr;
} Parts;

static Parts *
parts_new(Data *d, int max_combined)
{
	Parts *p = calloc(1, sizeof(*p));

	p->d = d;
	p->arena = pgml_arena_create(&d->budget);
	p->config = (PgmlOblConfig){ .max_combined = max_combined, .one_hot_max_size = 1 };
	assert_int_equal(
		pgml_gbm_target_create(&d->env, p->arena, &d->set, d->rows, d->set.n, &p->target), PGML_OK);
	assert_int_equal(
		pgml_obl_ctr_create(&d->env, p->arena, &p->config, &d->set, &p->target, 1 << 24, &p->ctr),
		PGML_OK);
	return p;
}

static void
parts_free(Parts *p)
{
	pgml_arena_destroy(p->arena);
	data_free(p->d);
	free(p);
}

static int
value(const Parts *p, int32_t projection, int32_t place, int32_t order, int64_t row)
{
	PgmlOblColumn column = pgml_obl_ctr_column(p->ctr, projection, place, order);

	return pgml_obl_bin(&column, row);
}

/*
 * Two levels, classes 1 0 1 1 | 0 0 1 0 0 0: half of ten rows.  The rows of a level in the order o: with c rows before it, h of them
 * of class 1, a row's statistics are h, h + 1/2 and h + 1 over c + 1, in sixteenths.
 */
static void
statistics_by_hand(void **state)
{
	static const double y[] = { 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1 };
	Data *d = data_new(12, 1, PGML_TASK_BINARY, 2);
	Parts *p;

	(void) state;
	make_categorical(d, 0, 3);
	for (int i = 0; i < 12; i++)
	{
		d->col[0][i] = i < 4 ? 0 : i < 10 ? 1 : 2;
		d->y[i] = y[i];
	}
	d->set.valid_rows = d->rows + 10;
	d->set.n_valid = 2;
	d->set.n = 10;
	/* Of the ten, five are of class 1: the scale is even. */
	p = parts_new(d, 1);
	assert_int_equal(pgml_obl_ctr_width(p->ctr), 4);
	assert_int_equal(pgml_obl_ctr_orders(p->ctr), 2);
	for (int o = 0; o < 2; o++)
	{
		const int32_t *order = pgml_obl_ctr_order(p->ctr, o);
		int count[2] = { 0, 0 }, hits[2] = { 0, 0 };

		for (int j = 0; j < 10; j++)
		{
			int row = order[j], level = row >= 4;

			for (int k = 0; k < 3; k++)
			{
				double share = (hits[level] + k / 2.0) / (count[level] + 1);

				assert_int_equal(value(p, 0, k, o, row), share >= 1 ? 15 : (int) (share * 16));
			}
			/* Level 0 has 4 rows, level 1 has 6: sqrt(4/7) and sqrt(6/7). */
			assert_int_equal(value(p, 0, 3, o, row), level ? 14 : 12);
			count[level]++;
			hits[level] += y[row] == 1;
		}
	}
	/* Validation rows are of a level that was not seen: no rows, no hits. */
	assert_int_equal(value(p, 0, 0, -1, 0), 0);
	assert_int_equal(value(p, 0, 1, -1, 0), 8);
	assert_int_equal(value(p, 0, 2, -1, 0), 15);
	assert_int_equal(value(p, 0, 3, -1, 0), 0);
	parts_free(p);
}

/* All rows count for others: 3 of 4 in level 0, so 3/5, 3.5/5, 4/5; the first row in an order has only the prior. */
static void
all_rows_count_for_others(void **state)
{
	static const double y[] = { 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 1 };
	Data *d = data_new(12, 1, PGML_TASK_BINARY, 2);
	Parts *p;

	(void) state;
	make_categorical(d, 0, 3);
	for (int i = 0; i < 12; i++)
	{
		d->col[0][i] = i < 4 ? 0 : 1;
		d->y[i] = y[i];
	}
	d->col[0][10] = 0;
	d->set.valid_rows = d->rows + 10;
	d->set.n_valid = 1;
	d->set.n = 10;
	p = parts_new(d, 1);
	assert_int_equal(value(p, 0, 0, -1, 0), 9);  /* 9.6 */
	assert_int_equal(value(p, 0, 1, -1, 0), 11); /* 11.2 */
	assert_int_equal(value(p, 0, 2, -1, 0), 12); /* 12.8 */
	for (int o = 0; o < 2; o++)
		assert_int_equal(value(p, 0, 1, o, pgml_obl_ctr_order(p->ctr, o)[0]), 8);
	parts_free(p);
}

/*
 * A large bucket has one statistic, that of all its rows, and one with a row less has as many as it has rows.  Weights: rows are counted as if
 * all weighed as much as the heaviest.
 */
static void
large_buckets_have_one_statistic(void **state)
{
	double w[40];

	(void) state;
	for (int heavy = 0; heavy < 2; heavy++)
	{
		Data *d = data_new(40, 1, PGML_TASK_BINARY, 2);
		int large = PGML_OBL_LARGE_BUCKET, bins[2] = { 0, 0 };
		Parts *p;

		make_categorical(d, 0, 3);
		for (int i = 0; i < 40; i++)
		{
			d->col[0][i] = i < large ? 0 : i < 2 * large - 1 ? 1 : 2;
			d->y[i] = i % 2;
			w[i] = heavy && i == 0 ? 1.5 : 1;
		}
		d->set.w = w;
		d->set.valid_rows = d->rows;
		d->set.n_valid = 40;
		p = parts_new(d, 1);
		for (int o = 0; o < 2; o++)
			for (int i = 0; i < 2 * large - 1; i++)
				bins[d->col[0][i] == 1] |= 1 << value(p, 0, 1, o, i);
		assert_int_equal(__builtin_popcount((unsigned) bins[0]) == 1, !heavy);
		assert_true(__builtin_popcount((unsigned) bins[1]) > 1);
		if (!heavy)
			assert_int_equal(bins[0], 1 << value(p, 0, 1, -1, 0));
		d->set.w = NULL;
		parts_free(p);
	}
}

/* A row's own target changes no statistic of its own in a bucket that is not large. */
static void
own_targets_are_not_known(void **state)
{
	(void) state;
	for (int row = 0; row < 20; row++)
	{
		int before[2][4];

		for (int changed = 0; changed < 2; changed++)
		{
			Data *d = data_mixed(200, 6, PGML_TASK_MULTICLASS, 3);
			Parts *p;

			for (int i = 0; i < 200; i++)
				d->col[4][i] = (float) (i % 13);
			d->set.n = 110;
			/* Two rows swap their classes, so that the shares are the same. */
			d->y[100] = changed ? 2 : 0;
			d->y[row] = changed ? 0 : 2;
			p = parts_new(d, 1);
			for (int o = 0; o < 2; o++)
			{
				const int32_t *order = pgml_obl_ctr_order(p->ctr, o);
				int j = 0;

				while (order[j] != row && order[j] != 100)
					j++;
				/* What comes before both knows of neither; the first of them as well. */
				for (int k = 0; k < 4; k++)
				{
					if (changed)
						assert_int_equal(value(p, 0, k, o, order[j]), before[o][k]);
					before[o][k] = value(p, 0, k, o, order[j]);
				}
			}
			parts_free(p);
		}
	}
}

/* Combinations: buckets of pairs, in memory for few at a time. */
static void
combinations_are_made_when_wanted(void **state)
{
	Data *d = data_mixed(300, 6, PGML_TASK_BINARY, 2);
	Parts *p = parts_new(d, 3);
	int32_t found[8];
	int32_t n = 0;
	float rows[13][4] = { { 0 } }, hits[13][4] = { { 0 } }, all[13][4] = { { 0 } };

	(void) state;
	assert_int_equal(pgml_obl_ctr_single(p->ctr), 2);
	assert_int_equal(
		pgml_obl_ctr_combine(&d->env, p->ctr, pgml_obl_ctr_projection(p->ctr, 0), found, &n, 8),
		PGML_OK);
	assert_int_equal(n, 1);
	assert_int_equal(
		pgml_obl_ctr_combine(&d->env, p->ctr, pgml_obl_ctr_projection(p->ctr, 1), found, &n, 8),
		PGML_OK);
	assert_int_equal(n, 1);
	assert_int_equal(found[0], 2);
	assert_int_equal(
		pgml_obl_ctr_combine(&d->env, p->ctr, pgml_obl_ctr_projection(p->ctr, 2), found, &n, 8),
		PGML_OK);
	assert_int_equal(n, 1);
	assert_int_equal(pgml_obl_ctr_provide(&d->env, p->ctr, NULL, 0, found, &n), PGML_OK);
	assert_int_equal(pgml_obl_ctr_buckets(p->ctr, 2), 13 * 3);
	for (int i = 0; i < 300; i++)
		all[isnan(d->col[4][i]) ? 0 : (int) d->col[4][i] + 1][(int) d->col[5][i]]++;
	for (int j = 0; j < 300; j++)
	{
		int row = pgml_obl_ctr_order(p->ctr, 1)[j];
		int a = isnan(d->col[4][row]) ? 0 : (int) d->col[4][row] + 1, b = (int) d->col[5][row];
		float share = hits[a][b] / (rows[a][b] + 1);

		/* The scale's middle is the share of class 1, so only ends are plain. */
		if (all[a][b] >= PGML_OBL_LARGE_BUCKET)
			continue;
		if (share == 0)
			assert_int_equal(value(p, 2, 0, 1, row), 0);
		else
			assert_true(value(p, 2, 0, 1, row) >= (share > 0.9f ? 10 : 0));
		rows[a][b]++;
		hits[a][b] += (float) d->y[row];
	}
	parts_free(p);
}

/*
 * Of many rows, several statistics share a byte: it stands for what the rows before have told.  With odd weights there may be more values than
 * bytes, and the nearest one stands for some.
 */
static void
codes_stand_for_statistics(void **state)
{
	(void) state;
	for (int weighted = 0; weighted < 2; weighted++)
	{
		Data *d = data_new(20000, 1, PGML_TASK_BINARY, 2);
		double *w = calloc(20000, sizeof(double));
		double rows[2500] = { 0 }, hits[2500] = { 0 }, all = 0, ones = 0;
		PgmlRng rng;
		Parts *p;

		pgml_rng_init(&rng, 3, 3);
		make_categorical(d, 0, 2500);
		for (int i = 0; i < 20000; i++)
		{
			d->col[0][i] = (float) (i % 2500);
			d->y[i] = pgml_rng_below(&rng, 10) < 3;
			w[i] = weighted ? 0.01 + (double) pgml_rng_below(&rng, 1000) / 100 : 1;
			all += w[i];
			ones += w[i] * d->y[i];
		}
		d->set.w = weighted ? w : NULL;
		p = parts_new(d, 1);
		assert_int_equal(pgml_obl_ctr_parts(p->ctr), 2);
		assert_in_range(pgml_obl_ctr_codes(p->ctr, 0, 0)->n, 20, 256);
		for (int j = 0; j < 20000; j++)
		{
			int row = pgml_obl_ctr_order(p->ctr, 0)[j], level = (int) d->col[0][row];

			for (int k = 0; k < 3; k++)
			{
				double prior = k == 0 ? 0 : k == 1 ? ones / all : 1;
				double share = (hits[level] + prior) / (rows[level] + 1);
				double a = share * (1 - ones / all), b = (1 - share) * ones / all;
				double bin = a / (a + b) * 16;

				/* Sums of weights are rounded. */
				assert_in_range(value(p, 0, k, 0, row) + 2 - (int) fmin(bin, 15), weighted ? 0 : 1,
								weighted ? 4 : 3);
			}
			rows[level] += w[row] * 20000 / all;
			hits[level] += w[row] * 20000 / all * d->y[row];
		}
		free(w);
		d->set.w = NULL;
		parts_free(p);
	}
}

/* Threads search combinations at the same time, each alone: the model is the same. */
static void
threads_search_combinations(void **state)
{
	(void) state;
	for (int t = 0; t < 4; t++)
	{
		static const int levels[] = { 5, 9, 20, 40 };
		Data *d =
			data_new(20000, 4, t % 2 ? PGML_TASK_MULTICLASS : PGML_TASK_BINARY, t % 2 ? 3 : 2);
		PgmlRng rng;
		PgmlBuf one;

		pgml_rng_init(&rng, 4, 4);
		for (int f = 0; f < 4; f++)
			make_categorical(d, f, levels[f]);
		for (int i = 0; i < 20000; i++)
		{
			int sum = (int) pgml_rng_below(&rng, 3);

			for (int f = 0; f < 4; f++)
			{
				d->col[f][i] = (float) pgml_rng_below(&rng, (uint64_t) levels[f]);
				sum += (int) d->col[f][i] % 3;
			}
			d->y[i] = sum % (t % 2 ? 3 : 2);
		}
		set(d, "n_estimators", 4);
		assert_int_equal(pgml_params_set_text(learner, &d->params, "grow_policy",
											  t < 2 ? "symmetric" : "depthwise", &d->error),
						 PGML_OK);
		fit(d, NULL);
		one = d->fit.payload;
		pgml_buf_init(&d->fit.payload, &d->budget);
		d->env.pool = pgml_pool_create(3);
		fit(d, NULL);
		assert_true(((const PgmlOblHeader *) one.data)->n_tables > 4);
		assert_int_equal(d->fit.payload.len, one.len);
		assert_memory_equal(d->fit.payload.data, one.data, one.len);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		pgml_buf_free(&one);
		data_free(d);
	}
}

/* A feature that has only levels is part of combinations once a tree asks for one. */
static void
levels_are_combined(void **state)
{
	Data *d = data_new(4000, 2, PGML_TASK_BINARY, 2);
	bool found = false;
	PgmlRng rng;
	PgmlOblView v;

	(void) state;
	pgml_rng_init(&rng, 7, 7);
	make_categorical(d, 0, 2);
	make_categorical(d, 1, 30);
	for (int i = 0; i < 4000; i++)
	{
		int a = (int) pgml_rng_below(&rng, 2), b = (int) pgml_rng_below(&rng, 30);

		d->col[0][i] = (float) a;
		d->col[1][i] = (float) b;
		d->y[i] = (a + b) % 2;
	}
	set(d, "n_estimators", 20);
	fit(d, NULL);
	v = pgml_obl_view(d->fit.payload.data);
	for (uint32_t t = 0; t < v.header->n_tables; t++)
		found |= v.table[t].n_features == 2;
	assert_true(found);
	data_free(d);
}

/* XOR of two categorical features is nothing for each alone: the combination has it. */
static void
combinations_find_what_single_features_miss(void **state)
{
	double share[2] = { 0, 0 };

	(void) state;
	for (int combined = 1; combined <= 2; combined++)
	{
		Data *d = data_new(4000, 2, PGML_TASK_BINARY, 2);
		PgmlRng rng;
		int right = 0;

		pgml_rng_init(&rng, 5, 5);
		make_categorical(d, 0, 30);
		make_categorical(d, 1, 30);
		for (int i = 0; i < 4000; i++)
		{
			int a = (int) pgml_rng_below(&rng, 30), b = (int) pgml_rng_below(&rng, 30);

			d->col[0][i] = (float) a;
			d->col[1][i] = (float) b;
			d->y[i] = (a + b) % 2;
		}
		d->set.n = 3500;
		set(d, "n_estimators", 60);
		set(d, "learning_rate", 0.2);
		set(d, "max_ctr_complexity", combined);
		fit(d, NULL);
		for (int i = 3500; i < 4000; i++)
			right += (predict_row(d, i) > 0.5) == (d->y[i] > 0);
		share[combined - 1] = right / 500.0;
		data_free(d);
	}
	assert_true(share[1] > 0.85);
	assert_true(share[1] > share[0] + 0.1);
}

/* A table's bucket says what the validation rows are told: whole fits agree, for levels seen, not seen and missing. */
static void
tables_agree_with_training(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		PgmlTask task = t == 0 ? PGML_TASK_REGRESSION :
						t == 1 ? PGML_TASK_BINARY :
								 PGML_TASK_MULTICLASS;
		Data *d = data_mixed(3000, 6, task, t + 1);
		int outputs = t == 2 ? 3 : 1;

		make_categorical(d, 0, 500);
		for (int i = 0; i < 3000; i++)
			d->col[0][i] = i % 11 == 0 ? NAN : (float) (i * 13 % 500);
		d->set.n = 2000;
		d->set.valid_rows = d->rows + 2000;
		d->set.n_valid = 1000;
		d->set.valid_out = calloc(1000 * 3, sizeof(double));
		set(d, "n_estimators", 40);
		fit(d, NULL);
		assert_true(d->fit.predicted);
		assert_true(((const PgmlOblHeader *) d->fit.payload.data)->n_tables > 1);
		for (int i = 0; i < 1000; i++)
		{
			float x[MAX_FEATURES];
			double out[3];

			get_row(d, 2000 + i, x);
			learner->predict(d->fit.payload.data, &d->shape, x, 1, out);
			assert_memory_equal(out, d->set.valid_out + i * outputs,
								(size_t) outputs * sizeof(double));
		}
		free(d->set.valid_out);
		data_free(d);
	}
}

/* A tree's combinations keep their memory when there is none for another one, and all that are asked for have been made. */
static void
combinations_of_a_tree_are_kept_without_memory(void **state)
{
	Data *d = data_new(20000, 10, PGML_TASK_BINARY, 2);
	int32_t found[16], wanted[16];
	int32_t n = 0, eight = 8;
	Parts *p;

	(void) state;
	for (int f = 0; f < 10; f++)
		make_categorical(d, f, 4);
	for (int64_t i = 0; i < 20000; i++)
	{
		for (int f = 0; f < 10; f++)
			d->col[f][i] = (float) ((i >> f) % 4);
		d->y[i] = i % 2;
	}
	p = parts_new(d, 2);
	assert_int_equal(
		pgml_obl_ctr_combine(&d->env, p->ctr, pgml_obl_ctr_projection(p->ctr, 0), found, &n, 16),
		PGML_OK);
	assert_int_equal(n, 9);
	assert_int_equal(pgml_obl_ctr_provide(&d->env, p->ctr, NULL, 0, found, &eight), PGML_OK);
	assert_int_equal(eight, 8);
	assert_true(pgml_obl_ctr_room(p->ctr) > 8);
	wanted[0] = found[8];
	memcpy(wanted + 1, found + 1, 7 * sizeof(int32_t));
	d->budget.limit = atomic_load(&d->budget.used);
	assert_int_equal(pgml_obl_ctr_provide(&d->env, p->ctr, found, 1, wanted, &eight), PGML_OK);
	assert_int_equal(pgml_obl_ctr_room(p->ctr), 8);
	assert_true(p->ctr->known[found[0]].slot >= 0);
	for (int i = 0; i < eight; i++)
		assert_true(p->ctr->known[wanted[i]].slot >= 0);
	d->budget.limit = 0;
	parts_free(p);
}

/* Stop flag and deadline end the making of statistics, and nothing half made counts as there; without them, it is made as ever. */
static void
statistics_end_in_time(void **state)
{
	(void) state;
	for (int stopped = 0; stopped < 2; stopped++)
	{
		Data *d = data_mixed(3000, 6, PGML_TASK_BINARY, 2);
		Parts *p = parts_new(d, 2);
		PgmlOblCtr *other;
		int32_t found[4];
		int32_t n = 0;

		assert_int_equal(
			pgml_obl_ctr_combine(&d->env, p->ctr, pgml_obl_ctr_projection(p->ctr, 0), found, &n, 4),
			PGML_OK);
		assert_int_equal(n, 1);
		d->stop = stopped;
		d->env.deadline = stopped ? 0 : pgml_now() - 1;
		assert_int_equal(pgml_obl_ctr_provide(&d->env, p->ctr, NULL, 0, found, &n),
						 PGML_ERR_CANCELLED);
		assert_int_equal(p->ctr->known[found[0]].slot, -1);
		assert_int_equal(p->ctr->owner[0], -1);
		assert_int_equal(pgml_obl_ctr_create(&d->env, p->arena, &p->config, &d->set, &p->target,
											 1 << 24, &other),
						 PGML_ERR_CANCELLED);
		d->stop = 0;
		d->env.deadline = 0;
		assert_int_equal(pgml_obl_ctr_provide(&d->env, p->ctr, NULL, 0, found, &n), PGML_OK);
		assert_int_equal(p->ctr->known[found[0]].slot, 0);
		assert_int_equal(pgml_obl_ctr_buckets(p->ctr, found[0]), 13 * 3);
		parts_free(p);
	}
}

/* The tables of a tree that was grown in time are made after the deadline; only the stop flag ends them. */
static void
tables_are_made_past_the_deadline(void **state)
{
	Data *d = data_mixed(300, 6, PGML_TASK_BINARY, 2);
	Parts *p = parts_new(d, 1);
	PgmlOblTableHead head;
	PgmlBuf buf;

	(void) state;
	pgml_buf_init(&buf, &d->budget);
	d->env.deadline = pgml_now() - 1;
	assert_int_equal(pgml_obl_ctr_table(&d->env, p->ctr, 0, &buf, &head), PGML_OK);
	assert_int_equal(head.n_slots, 13);
	d->stop = 1;
	assert_int_equal(pgml_obl_ctr_table(&d->env, p->ctr, 0, &buf, &head), PGML_ERR_CANCELLED);
	d->stop = 0;
	pgml_buf_free(&buf);
	parts_free(p);
}

/* An id tells nothing: the model is not worse than one without it. */
static void
ids_are_not_learned(void **state)
{
	Data *d = data_new(2000, 2, PGML_TASK_BINARY, 2);
	PgmlRng rng;
	double loss = 0;

	(void) state;
	pgml_rng_init(&rng, 6, 6);
	make_categorical(d, 0, 2000);
	for (int i = 0; i < 2000; i++)
	{
		d->col[0][i] = (float) i;
		d->col[1][i] = (float) pgml_rng_normal(&rng);
		d->y[i] = pgml_rng_below(&rng, 2) > 0;
	}
	d->set.n = 1000;
	set(d, "n_estimators", 100);
	fit(d, NULL);
	for (int i = 1000; i < 2000; i++)
		loss -= log(d->y[i] > 0 ? predict_row(d, i) : 1 - predict_row(d, i)) / 1000;
	assert_true(loss < 0.75);
	data_free(d);
}

int
test_oblivious_ctr(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statistics_by_hand),
		cmocka_unit_test(all_rows_count_for_others),
		cmocka_unit_test(large_buckets_have_one_statistic),
		cmocka_unit_test(own_targets_are_not_known),
		cmocka_unit_test(combinations_are_made_when_wanted),
		cmocka_unit_test(codes_stand_for_statistics),
		cmocka_unit_test(threads_search_combinations),
		cmocka_unit_test(levels_are_combined),
		cmocka_unit_test(combinations_of_a_tree_are_kept_without_memory),
		cmocka_unit_test(combinations_find_what_single_features_miss),
		cmocka_unit_test(tables_agree_with_training),
		cmocka_unit_test(statistics_end_in_time),
		cmocka_unit_test(tables_are_made_past_the_deadline),
		cmocka_unit_test(ids_are_not_learned),
	};

	return cmocka_run_group_tests_name("oblivious_boosting: statistics", tests, NULL, NULL);
}
