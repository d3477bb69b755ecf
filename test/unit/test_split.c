/*
 * test_split.c - who trains and who tests, over the life of a model.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/hash.h"
#include "data/split.h"
#include "unit.h"
#include "world.h"

/* Swap rows about; identities move with them. */
static void
shuffle(World *w)
{
	for (int64_t i = w->n - 1; i > 0; i--)
	{
		int64_t j = (int64_t) pgml_rng_below(&w->rng, (uint64_t) i + 1);
		uint64_t id = w->id[i], group = w->group[i];
		int64_t number = w->number[i];
		int32_t label = w->label[i];
		double time = w->time[i];

		w->number[i] = w->number[j];
		w->number[j] = number;
		w->id[i] = w->id[j];
		w->group[i] = w->group[j];
		w->label[i] = w->label[j];
		w->time[i] = w->time[j];
		w->id[j] = id;
		w->group[j] = group;
		w->label[j] = label;
		w->time[j] = time;
	}
}

static PgmlSplitInput
input_of(const World *w)
{
	PgmlSplitInput in = { w->n, w->id, w->label, w->group, w->time, false };

	return in;
}

static PgmlSplit
new_split(PgmlSplitMethod method, uint64_t salt, double test_size, int n_classes)
{
	PgmlSplit split = { .method = method, .salt = salt, .test_size = test_size };

	split.n_classes = n_classes;
	return split;
}

static void
split_world(Lent *l, PgmlSplit *split, World *w)
{
	PgmlSplitInput in = input_of(w);

	assert_int_equal(pgml_split(&l->env, l->arena, split, &in, w->role), PGML_OK);
}

static int64_t
count_role(const World *w, PgmlRole role)
{
	int64_t count = 0;

	for (int64_t i = 0; i < w->n; i++)
		count += w->role[i] == role;
	return count;
}

/*
 * Version 1: the wanted share of each class within a row, nobody reserved, both sides non-empty; of classes of fewer than 30
 * rows no more than that.
 */
static void
test_stratified_shares(void **state)
{
	static const double sizes[] = { 0.05, 0.2, 0.5, 0.99 };

	(void) state;
	for (uint64_t seed = 0; seed < 20; seed++)
		for (int s = 0; s < 4; s++)
		{
			World *w = new_world(seed, 20 + (int64_t) seed * 70, 6);
			PgmlSplit split = new_split(PGML_SPLIT_STRATIFIED, seed * 77, sizes[s], 6);
			Lent l;

			lend(&l);
			split_world(&l, &split, w);
			assert_int_equal(count_role(w, PGML_ROLE_RESERVED), 0);
			for (int c = 0; c < 6; c++)
			{
				int64_t rows = 0, test = 0;

				for (int64_t i = 0; i < w->n; i++)
				{
					rows += w->label[i] == c;
					test += w->label[i] == c && w->role[i] == PGML_ROLE_TEST;
				}
				if (rows < 2)
					assert_int_equal(test, 0);
				else
					assert_in_range(test, rows >= 30, rows - 1);
				assert_true((double) test - sizes[s] * (double) rows <= 1);
				if (rows >= 30)
					assert_true(fabs((double) test - sizes[s] * (double) rows) <= 1);
			}
			assert_true(count_role(w, PGML_ROLE_TEST) > 0);
			give_back(&l);
			free(w);
		}
}

/* Trained again on the same rows, a version tests the same ones and leaves out hardly any: thresholds are close together. */
static void
test_same_rows_again(void **state)
{
	(void) state;
	for (uint64_t seed = 0; seed < 20; seed++)
	{
		World *w = new_world(seed, 1500, 2);
		PgmlSplit split = new_split(PGML_SPLIT_STRATIFIED, seed, 0.2, 2);
		int64_t tested;
		Lent l;

		lend(&l);
		split_world(&l, &split, w);
		tested = count_role(w, PGML_ROLE_TEST);
		split.fixed = true;
		split_world(&l, &split, w);
		assert_int_equal(count_role(w, PGML_ROLE_TEST), tested);
		assert_true(count_role(w, PGML_ROLE_RESERVED) <= 3);
		give_back(&l);
		free(w);
	}
}

static void
test_random_share(void **state)
{
	World *w = new_world(1, 5000, 2);
	PgmlSplit split = new_split(PGML_SPLIT_RANDOM, 99, 0.2, 0);
	Lent l;

	(void) state;
	lend(&l);
	split_world(&l, &split, w);
	assert_int_equal(count_role(w, PGML_ROLE_TEST), 1000);
	assert_int_equal(split.n_classes, 1);
	for (int64_t i = 0; i < w->n; i++)
		assert_int_equal(w->role[i] == PGML_ROLE_TEST,
						 pgml_hash_combine(w->id[i], 99) < split.threshold[0]);
	give_back(&l);
	free(w);
}

/* Nothing is held out when nothing is asked for, or nothing is there to hold out. */
static void
test_no_test_rows(void **state)
{
	static const PgmlSplitMethod methods[] = { PGML_SPLIT_RANDOM, PGML_SPLIT_STRATIFIED,
											   PGML_SPLIT_GROUP, PGML_SPLIT_TIME };

	(void) state;
	for (int m = 0; m < 4; m++)
	{
		World *w = new_world(3, 100, 3);
		PgmlSplit split = new_split(methods[m], 5, 0, 3);
		Lent l;

		lend(&l);
		split_world(&l, &split, w);
		assert_int_equal(count_role(w, PGML_ROLE_TRAIN), 100);
		assert_int_equal(split.n_windows, 0);
		for (int c = 0; split.threshold && c < split.n_classes; c++)
			assert_true(split.threshold[c] == 0);
		split = new_split(methods[m], 5, 0.2, 3);
		w->n = 0;
		split_world(&l, &split, w);
		if (methods[m] == PGML_SPLIT_RANDOM || methods[m] == PGML_SPLIT_STRATIFIED)
		{
			split = new_split(methods[m], 5, 0.2, 3);
			w->n = 1;
			split_world(&l, &split, w);
			assert_int_equal(w->role[0], PGML_ROLE_TRAIN);
		}
		give_back(&l);
		free(w);
	}
}

/* Where a row goes does not depend on where it stands. */
static void
test_any_row_order(void **state)
{
	(void) state;
	for (int method = PGML_SPLIT_RANDOM; method <= PGML_SPLIT_TIME; method++)
	{
		World *w = new_world(17, 900, 4);
		World *other = malloc(sizeof(World));
		PgmlSplit split = new_split((PgmlSplitMethod) method, 5, 0.3, 4);
		PgmlSplit again = split;
		Lent l;

		assert_non_null(other);
		lend(&l);
		*other = *w;
		shuffle(other);
		split_world(&l, &split, w);
		split_world(&l, &again, other);
		for (int64_t i = 0; i < w->n; i++)
			for (int64_t j = 0; j < other->n; j++)
				if (w->id[i] == other->id[j])
					assert_int_equal(w->role[i], other->role[j]);
		if (method != PGML_SPLIT_TIME)
			assert_memory_equal(split.threshold, again.threshold,
								(size_t) split.n_classes * sizeof(uint64_t));
		give_back(&l);
		free(other);
		free(w);
	}
}

/* Live one step: rows are added, labels are corrected, a class may be new. */
static void
age(World *w)
{
	grow(w, w->n / 4);
	for (int64_t i = 0; i < w->n; i++)
		if (pgml_rng_below(&w->rng, 10) == 0)
			w->label[i] = (int32_t) pgml_rng_below(&w->rng, (uint64_t) w->n_classes + 1);
	shuffle(w);
}

/* What any version tested, no later version trains on; nor is any tested on what an earlier one trained on. */
static void
live(PgmlSplitMethod method, uint64_t seed)
{
	World *w = new_world(seed, 600, 3);
	PgmlSplit split = new_split(method, seed, 0.2, 3);
	bool *tested = calloc(MAX_ROWS, sizeof(bool));
	bool *trained = calloc(MAX_ROWS, sizeof(bool));
	Lent l;

	lend(&l);
	assert_non_null(tested);
	assert_non_null(trained);
	for (int version = 1; version <= 8; version++)
	{
		split_world(&l, &split, w);
		assert_true(count_role(w, PGML_ROLE_TEST) > 0);
		assert_true(count_role(w, PGML_ROLE_TRAIN) > 0);
		for (int64_t i = 0; i < w->n; i++)
		{
			int64_t number = w->number[i];

			if (w->role[i] == PGML_ROLE_TRAIN)
				assert_false(tested[number]);
			/* A corrected label may bring a row of the first version below its new class's threshold. */
			if (w->role[i] == PGML_ROLE_TEST && method != PGML_SPLIT_STRATIFIED)
				assert_false(trained[number]);
			if (w->role[i] == PGML_ROLE_TEST)
				tested[number] = true;
			if (w->role[i] == PGML_ROLE_TRAIN)
				trained[number] = true;
		}
		split.fixed = true;
		age(w);
	}
	if (method == PGML_SPLIT_TIME)
		assert_int_equal(split.n_windows, 8);
	give_back(&l);
	free(tested);
	free(trained);
	free(w);
}

static void
test_never_trained_once_tested(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 3; seed++)
	{
		live(PGML_SPLIT_RANDOM, seed);
		live(PGML_SPLIT_STRATIFIED, seed);
		live(PGML_SPLIT_GROUP, seed);
		live(PGML_SPLIT_TIME, seed);
	}
}

/* Later versions: between the class's threshold and the highest a row does neither. */
static void
test_fixed_thresholds(void **state)
{
	uint64_t threshold[2] = { UINT64_C(1) << 61, UINT64_C(1) << 63 };
	World *w = new_world(4, 3000, 3);
	PgmlSplit split = new_split(PGML_SPLIT_STRATIFIED, 8, 0.2, 2);
	Lent l;

	(void) state;
	lend(&l);
	split.fixed = true;
	split.threshold = threshold;
	split_world(&l, &split, w);
	for (int64_t i = 0; i < w->n; i++)
	{
		uint64_t hash = pgml_hash_combine(w->id[i], 8);
		uint64_t own = threshold[w->label[i] == 0 ? 0 : 1]; /* class 2 is new */

		assert_int_equal(w->role[i], hash < own          ? PGML_ROLE_TEST :
									 hash < threshold[1] ? PGML_ROLE_RESERVED :
														   PGML_ROLE_TRAIN);
	}
	assert_true(count_role(w, PGML_ROLE_RESERVED) > 0);
	assert_ptr_equal(split.threshold, threshold);
	assert_int_equal(split.n_classes, 2);
	give_back(&l);
	free(w);
}

/* Classes of three rows may lie anywhere: they must not raise the limit for everybody's training. */
static void
test_tiny_classes(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 10; seed++)
	{
		World *w = new_world(seed, 5000, 2);
		PgmlSplit split = new_split(PGML_SPLIT_STRATIFIED, seed, 0.2, 34);
		Lent l;

		lend(&l);
		for (int i = 0; i < 96; i++)
			w->label[i * 50] = 2 + i / 3;
		split_world(&l, &split, w);
		assert_in_range(count_role(w, PGML_ROLE_TEST), 960, 1010);
		split.fixed = true;
		split_world(&l, &split, w);
		assert_in_range(count_role(w, PGML_ROLE_TRAIN), 3700, 4050);
		give_back(&l);
		free(w);
	}
}

/* Copies of a row are never on both sides, whatever their labels say. */
static void
test_duplicates(void **state)
{
	(void) state;
	for (int method = PGML_SPLIT_RANDOM; method <= PGML_SPLIT_STRATIFIED; method++)
	{
		World *w = new_world(5, 1200, 3);
		PgmlSplit split = new_split((PgmlSplitMethod) method, 2, 0.3, 3);
		Lent l;

		lend(&l);
		for (int64_t i = 0; i < w->n; i++)
			w->id[i] = w->id[i % 300];
		split_world(&l, &split, w);
		for (int64_t i = 0; i < w->n; i++)
			for (int64_t j = i % 300; j < i; j += 300)
				assert_false(w->role[i] + w->role[j] == PGML_ROLE_TEST &&
							 (w->role[i] == PGML_ROLE_TEST || w->role[j] == PGML_ROLE_TEST));
		assert_true(count_role(w, PGML_ROLE_TEST) > 300);
		/* All rows the same: they train. */
		for (int64_t i = 0; i < w->n; i++)
			w->id[i] = 7;
		split = new_split((PgmlSplitMethod) method, 2, 0.3, 3);
		split_world(&l, &split, w);
		assert_int_equal(count_role(w, PGML_ROLE_TRAIN), w->n);
		give_back(&l);
		free(w);
	}
}

/* Rows of one identity that are known to lie together are found without sorting: the places are the same. */
static void
test_together(void **state)
{
	World *w = new_world(5, 1200, 3);
	PgmlSplit first = new_split(PGML_SPLIT_STRATIFIED, 2, 0.3, 3);
	PgmlSplit second = first;
	uint8_t *role = malloc((size_t) w->n);
	PgmlSplitInput in;
	Lent l;

	(void) state;
	lend(&l);
	for (int64_t i = 0; i < w->n; i++)
		w->id[i] = pgml_hash64(&(uint64_t){ (uint64_t) i / 40 }, sizeof(uint64_t), 0);
	split_world(&l, &first, w);
	in = input_of(w);
	in.together = true;
	assert_int_equal(pgml_split(&l.env, l.arena, &second, &in, role), PGML_OK);
	assert_memory_equal(role, w->role, w->n);
	assert_true(count_role(w, PGML_ROLE_RESERVED) > 0);
	give_back(&l);
	free(role);
	free(w);
}

/* The rule is stored with models: these places must never change. */
static void
test_stable_for_ever(void **state)
{
	static const char expected[] = "...x...xx.....xxx......x.x...x........x.";
	char places[41] = { 0 };
	World *w = new_world(6, 40, 1);
	PgmlSplit split = new_split(PGML_SPLIT_RANDOM, UINT64_C(0x0123456789abcdef), 0.25, 1);
	Lent l;

	(void) state;
	lend(&l);
	split_world(&l, &split, w);
	for (int i = 0; i < 40; i++)
		places[i] = w->role[i] == PGML_ROLE_TEST ? 'x' : '.';
	assert_string_equal(places, expected);
	assert_true(split.threshold[0] == UINT64_C(0x35b59defe49c9a1b));
	give_back(&l);
	free(w);
}

/* Whole groups, about the wanted share of rows; one group cannot be split. */
static void
test_groups(void **state)
{
	World *w = new_world(7, 4000, 2);
	PgmlSplit split = new_split(PGML_SPLIT_GROUP, 3, 0.2, 0);
	PgmlSplitInput in = input_of(w);
	Lent l;

	(void) state;
	lend(&l);
	split_world(&l, &split, w);
	for (int64_t i = 0; i < w->n; i++)
		for (int64_t j = 0; j < i; j += 7)
			if (w->group[i] == w->group[j])
				assert_int_equal(w->role[i], w->role[j]);
	assert_in_range(count_role(w, PGML_ROLE_TEST), 700, 900);

	/* Two groups: one on each side, whatever the share. */
	for (int64_t i = 0; i < w->n; i++)
		w->group[i] = i % 10 == 0;
	split = new_split(PGML_SPLIT_GROUP, 3, 0.99, 0);
	split_world(&l, &split, w);
	assert_true(count_role(w, PGML_ROLE_TEST) == 400 || count_role(w, PGML_ROLE_TEST) == 3600);

	memset(w->group, 0, sizeof(w->group));
	split = new_split(PGML_SPLIT_GROUP, 3, 0.2, 0);
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, w->role), PGML_ERR_DATA);
	assert_string_equal(l.error.message, "group_column has a single group");
	assert_true(strlen(l.error.hint) > 0);
	give_back(&l);
	free(w);
}

/* One group of 80 % of the rows tests only when its hash is the lowest of all. */
static void
test_large_group(void **state)
{
	int large = 0;

	(void) state;
	for (uint64_t salt = 0; salt < 60; salt++)
	{
		World *w = new_world(7, 1000, 2);
		PgmlSplit split = new_split(PGML_SPLIT_GROUP, salt, 0.2, 0);
		Lent l;

		lend(&l);
		for (int64_t i = 0; i < w->n; i++)
			w->group[i] = pgml_hash64(&(uint64_t){ i < 800 ? 0 : (uint64_t) i / 10 }, 8, 0);
		split_world(&l, &split, w);
		if (w->role[0] == PGML_ROLE_TEST)
		{
			large++;
			assert_int_equal(count_role(w, PGML_ROLE_TEST), 800);
		}
		else
			assert_in_range(count_role(w, PGML_ROLE_TEST), 10, 200);
		give_back(&l);
		free(w);
	}
	assert_in_range(large, 0, 10);
}

static void
check_times(const double *time, int64_t n, double test_size, const uint8_t *expected)
{
	uint64_t hash[16] = { 0 };
	uint8_t role[16];
	PgmlSplitInput in = { n, hash, NULL, NULL, time, false };
	PgmlSplit split = new_split(PGML_SPLIT_TIME, 1, test_size, 0);
	Lent l;

	lend(&l);
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_OK);
	assert_memory_equal(role, expected, (size_t) n);
	assert_int_equal(split.n_windows, 1);
	give_back(&l);
}

/* Whole moments test; the oldest moment always trains; no time is older than any. */
static void
test_times(void **state)
{
	static const double plain[] = { 5, 1, 4, 2, 3 };
	static const double tied[] = { 1, 3, 2, 3, 3 };
	static const double mostly_oldest[] = { 1, 1, 1, 1, 2 };
	static const double holes[] = { NAN, 7, NAN };
	static const double endless[] = { 1, INFINITY, -INFINITY, NAN };

	(void) state;
	check_times(plain, 5, 0.4, (const uint8_t[]){ 1, 0, 1, 0, 0 });
	check_times(plain, 5, 0.01, (const uint8_t[]){ 1, 0, 0, 0, 0 });
	check_times(plain, 5, 0.99, (const uint8_t[]){ 1, 0, 1, 1, 1 });
	check_times(tied, 5, 0.2, (const uint8_t[]){ 0, 1, 0, 1, 1 });
	check_times(mostly_oldest, 5, 0.6, (const uint8_t[]){ 0, 0, 0, 0, 1 });
	check_times(holes, 3, 0.9, (const uint8_t[]){ 0, 1, 0 });
	check_times(endless, 4, 0.25, (const uint8_t[]){ 0, 1, 0, 0 });
}

/* What an earlier version tested stays out, unless this one tests it too. */
static void
test_windows(void **state)
{
	static const double time[] = { 1, 2, 3, 4, 5, 6, 7, 8, NAN };
	static const uint8_t expected[] = { 0, 2, 2, 0, 2, 0, 1, 1, 0 };
	PgmlWindow earlier[] = { { 2, 3 }, { 5, 5 }, { 6.5, 6.5 } };
	PgmlSplitInput in = { 9, NULL, NULL, NULL, time, false };
	PgmlSplit split = new_split(PGML_SPLIT_TIME, 1, 0.2, 0);
	uint8_t role[9];
	Lent l;

	(void) state;
	lend(&l);
	split.windows = earlier;
	split.n_windows = 3;
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_OK);
	assert_memory_equal(role, expected, sizeof(expected));
	assert_int_equal(split.n_windows, 4);
	assert_memory_equal(split.windows, earlier, sizeof(earlier));
	assert_true(split.windows[3].from == 7 && split.windows[3].upto == 8);
	give_back(&l);
}

/*
 * Rows that end sooner than those of an earlier version: the window does not reach back into what that one learned from, and
 * is not there at all when nothing is left of it.
 */
static void
test_windows_of_fewer_rows(void **state)
{
	static double time[1000];
	PgmlSplitInput in = { 1000, NULL, NULL, NULL, time, false };
	PgmlSplit split = new_split(PGML_SPLIT_TIME, 1, 0.2, 0);
	static uint8_t role[1000];
	Lent l;

	(void) state;
	lend(&l);
	for (int i = 0; i < 1000; i++)
		time[i] = i;
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_OK);
	assert_true(split.windows[0].from == 800 && split.windows[0].upto == 999);
	in.n = 850;
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_OK);
	assert_int_equal(split.n_windows, 2);
	assert_true(split.windows[1].from == 800 && split.windows[1].upto == 849);
	for (int i = 0; i < 850; i++)
		assert_int_equal(role[i], i < 800 ? PGML_ROLE_TRAIN : PGML_ROLE_TEST);
	in.n = 700;
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_OK);
	assert_int_equal(split.n_windows, 2);
	for (int i = 0; i < 700; i++)
		assert_int_equal(role[i], PGML_ROLE_TRAIN);
	give_back(&l);
}

/* Each refusal names what is wrong. */
static void
test_split_refused(void **state)
{
	static const double same[] = { 4, 4, 4 };
	static const double nothing[] = { NAN, NAN, NAN };
	static const uint64_t hash[] = { 1, 2, 3 };
	static const int32_t label[] = { 0, 1, -1 };
	uint64_t all = UINT64_MAX;
	PgmlSplitInput in = { 3, hash, label, NULL, same, false };
	PgmlSplit split = new_split(PGML_SPLIT_TIME, 1, 0.2, 0);
	uint8_t role[3];
	Lent l;

	(void) state;
	lend(&l);
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_ERR_DATA);
	assert_string_equal(l.error.message, "time_column has the same time in all rows");
	assert_true(strlen(l.error.hint) > 0);
	in.time = nothing;
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_ERR_DATA);

	split = new_split(PGML_SPLIT_RANDOM, 1, 1, 0);
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_ERR_BADARG);
	assert_string_equal(l.error.message, "test_size must be at least 0 and less than 1");
	split.test_size = NAN;
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_ERR_BADARG);

	split = new_split(PGML_SPLIT_RANDOM, 1, 0.2, 1);
	split.fixed = true;
	split.threshold = &all;
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_ERR_DATA);
	assert_string_equal(l.error.message, "no rows are left to train on");

	split = new_split(PGML_SPLIT_STRATIFIED, 1, 0.2, 2);
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_ERR_INTERNAL);
	split = new_split(PGML_SPLIT_GROUP, 1, 0.2, 1);
	assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, role), PGML_ERR_INTERNAL);
	give_back(&l);
}

/* A set stop flag ends splitting. */
static void
test_split_cancelled(void **state)
{
	World *w = new_world(2, 500, 3);
	PgmlSplitInput in = input_of(w);
	Lent l;

	(void) state;
	lend(&l);
	l.stop = 1;
	for (int method = PGML_SPLIT_RANDOM; method <= PGML_SPLIT_TIME; method++)
	{
		PgmlSplit split = new_split((PgmlSplitMethod) method, 1, 0.2, 3);

		assert_int_equal(pgml_split(&l.env, l.arena, &split, &in, w->role), PGML_ERR_CANCELLED);
		assert_int_equal(l.error.status, PGML_ERR_CANCELLED);
	}
	give_back(&l);
	free(w);
}

/* A split with the allocation number `at` failing. */
static PgmlStatus
fail_at(World *w, PgmlSplitMethod method, int64_t at)
{
	PgmlSplit split = new_split(method, 1, 0.2, 3);
	PgmlSplitInput in = input_of(w);
	PgmlStatus status;
	Lent l;

	lend(&l);
	l.budget.fail_at = at;
	status = pgml_split(&l.env, l.arena, &split, &in, w->role);
	assert_int_equal(l.error.status, status);
	give_back(&l);
	return status;
}

static void
test_split_out_of_memory(void **state)
{
	World *w = new_world(2, 500, 3);

	(void) state;
	for (int method = PGML_SPLIT_RANDOM; method <= PGML_SPLIT_TIME; method++)
	{
		int64_t at = 1;

		while (fail_at(w, (PgmlSplitMethod) method, at) == PGML_ERR_NOMEM)
			at++;
		assert_in_range(at, 2, 20);
		assert_int_equal(fail_at(w, (PgmlSplitMethod) method, at), PGML_OK);
	}
	free(w);
}

int
test_split(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stratified_shares),
		cmocka_unit_test(test_same_rows_again),
		cmocka_unit_test(test_random_share),
		cmocka_unit_test(test_no_test_rows),
		cmocka_unit_test(test_any_row_order),
		cmocka_unit_test(test_never_trained_once_tested),
		cmocka_unit_test(test_fixed_thresholds),
		cmocka_unit_test(test_tiny_classes),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_stable_for_ever),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_large_group),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_windows_of_fewer_rows),
		cmocka_unit_test(test_split_refused),
		cmocka_unit_test(test_split_cancelled),
		cmocka_unit_test(test_split_out_of_memory),
	};

	return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
