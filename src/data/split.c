#include "data/split.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/sort.h"

/* Items between two looks at the stop flag. */
#define POLL_ROWS 0x10000

/* Bits of a digit by which a key is found; they make up 64. */
#define DIGIT_BITS 8

/* Classes of fewer rows cannot raise the limit above which later versions train. */
#define MIN_CAP_ROWS 30

/* Variants of the salt that are tried at most, and rows sorted for them. */
#define MAX_VARIANTS 40
#define VARIANT_ROWS 1000000

/* What one split works with; everything in scratch memory but the split itself. */
typedef struct Work
{
	const PgmlEnv *env;
	PgmlArena *arena; /* of the result */
	PgmlSplit *split;
	const PgmlSplitInput *in;
	uint8_t *role;
	PgmlArena *scratch;
	uint64_t *keys;   /* n, of a split by hash */
	PgmlKeyed *items; /* n, and n more to sort with, where rows have to be sorted */
	PgmlKeyed *tmp;
} Work;

/* Where a key stands among others. */
typedef struct Place
{
	uint64_t key;
	int64_t below; /* keys smaller than it */
	int64_t equal;
} Place;

static bool
is_stopped(const PgmlEnv *env, int64_t i)
{
	return i % POLL_ROWS == 0 && pgml_stopped(env);
}

/* Room to sort all rows. */
static PgmlStatus
make_room(Work *w)
{
	w->items = pgml_array(w->scratch, (size_t) w->in->n + 1, sizeof(PgmlKeyed));
	w->tmp = pgml_array(w->scratch, (size_t) w->in->n + 1, sizeof(PgmlKeyed));
	return w->items && w->tmp ? PGML_OK : pgml_fail_nomem(w->env, "the split");
}

/* Where a row, or its group, stands in this model's order. */
static uint64_t
salted_hash(const Work *w, int64_t row)
{
	const PgmlSplit *split = w->split;
	uint64_t identity =
		split->method == PGML_SPLIT_GROUP ? w->in->group[row] : w->in->row_hash[row];

	return pgml_hash_combine(identity, split->variant == 0 ?
										   split->salt :
										   pgml_hash_combine(split->salt, split->variant));
}

/*
 * The test rows that test_size asks for: at least one, and at least one left to train, of two or
 * more.
 */
static int64_t
wanted_rows(double test_size, int64_t n)
{
	int64_t wanted = (int64_t) floor(test_size * (double) n + 0.5);

	if (test_size <= 0 || n < 2)
		return 0;
	if (wanted < 1)
		return 1;
	return wanted < n ? wanted : n - 1;
}

/* Key number k, from 0, of n keys in order: how many are below it, and how many equal. Digit by digit from the top. */
static PgmlStatus
find_key(const PgmlEnv *env, const uint64_t *keys, int64_t n, int64_t k, Place *place)
{
	*place = (Place){ .equal = n };
	for (int shift = 64 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS)
	{
		int64_t count[1 << DIGIT_BITS] = { 0 };
		uint64_t above = shift + DIGIT_BITS < 64 ? ~UINT64_C(0) << (shift + DIGIT_BITS) : 0;
		uint64_t digit = 0;

		for (int64_t i = 0; i < n; i++)
		{
			if (is_stopped(env, i))
				return pgml_fail_cancelled(env);
			if ((keys[i] & above) == place->key)
				count[keys[i] >> shift & ((1 << DIGIT_BITS) - 1)]++;
		}
		while (place->below + count[digit] <= k)
			place->below += count[digit++];
		place->key |= digit << shift;
		place->equal = count[digit];
	}
	return PGML_OK;
}

/*
 * The threshold that makes `wanted` of n rows test, as nearly as can be when rows of equal hash stay together: of
 * a block that crosses the limit all rows test, or, with `nearest`, none when that comes nearer to what is wanted (a group
 * may hold most of the rows).  One distinct hash at least stays to train, so 0 (no test rows) when there is only one.
 * It lies just above the last test row: the lower the highest threshold, the more rows later versions may train on.
 */
static PgmlStatus
cut(const PgmlEnv *env, const uint64_t *keys, int64_t n, int64_t wanted, bool nearest,
	uint64_t *threshold)
{
	Place place; /* of the last row wanted: its block goes from `below` up to `upto` */
	int64_t upto;

	*threshold = 0;
	if (wanted < 1)
		return PGML_OK;
	PGML_TRY(find_key(env, keys, n, wanted - 1, &place));
	upto = place.below + place.equal;
	if (upto < n && !(nearest && place.below > 0 && wanted - place.below < upto - wanted))
	{
		*threshold = place.key + 1;
		return PGML_OK;
	}
	for (int64_t i = 0; i < n; i++)
	{
		if (is_stopped(env, i))
			return pgml_fail_cancelled(env);
		if (keys[i] < place.key && keys[i] >= *threshold)
			*threshold = keys[i] + 1;
	}
	return PGML_OK;
}

/* The salted hashes of all rows, class after class when there are labels: those of class c end at class_rows[c]. */
static PgmlStatus
deal_hashes(Work *w, int64_t *class_rows)
{
	const int32_t *label = w->split->method == PGML_SPLIT_STRATIFIED ? w->in->label : NULL;
	int64_t n = w->in->n;
	int64_t at = 0;

	for (int64_t i = 0; i < n; i++)
		class_rows[label ? label[i] : 0]++;
	for (int c = 0; c < w->split->n_classes; c++)
	{
		int64_t rows = class_rows[c];

		class_rows[c] = at;
		at += rows;
	}
	for (int64_t i = 0; i < n; i++)
	{
		if (is_stopped(w->env, i))
			return pgml_fail_cancelled(w->env);
		w->keys[class_rows[label ? label[i] : 0]++] = salted_hash(w, i);
	}
	return PGML_OK;
}

/*
 * Later versions train above the highest threshold only, and the few rows of a tiny class may all lie far up: its threshold
 * would keep everybody's rows out of training.  So no class goes above the highest one among the classes of MIN_CAP_ROWS
 * or more, or above the wanted share when there is none; but some row tests.
 */
static void
cap_thresholds(PgmlSplit *split, const int64_t *upto)
{
	uint64_t cap = 0;
	uint64_t lowest = 0; /* of those above 0 */

	for (int c = 0; c < split->n_classes; c++)
	{
		uint64_t own = split->threshold[c];

		if (upto[c] - (c == 0 ? 0 : upto[c - 1]) >= MIN_CAP_ROWS && own > cap)
			cap = own;
		if (own > 0 && (lowest == 0 || own < lowest))
			lowest = own;
	}
	if (cap == 0)
		cap = (uint64_t) ldexp(split->test_size,
							   64); /* less than 1 as a double is at most 2^64 - 2^11 */
	if (cap < lowest)
		cap = lowest;
	for (int c = 0; c < split->n_classes; c++)
		if (split->threshold[c] > cap)
			split->threshold[c] = cap;
}

static uint64_t
highest_threshold(const PgmlSplit *split)
{
	uint64_t highest = 0;

	for (int c = 0; c < split->n_classes; c++)
		if (split->threshold[c] > highest)
			highest = split->threshold[c];
	return highest;
}

/* One threshold per class (or group order) in the order of the present variant. */
static PgmlStatus
set_thresholds(Work *w, int64_t *upto)
{
	PgmlSplit *split = w->split;
	bool grouped = split->method == PGML_SPLIT_GROUP;

	memset(upto, 0, (size_t) split->n_classes * sizeof(int64_t));
	PGML_TRY(deal_hashes(w, upto));
	for (int c = 0; c < split->n_classes; c++)
	{
		int64_t from = c == 0 ? 0 : upto[c - 1];
		int64_t rows = upto[c] - from;

		PGML_TRY(cut(w->env, w->keys + from, rows, wanted_rows(split->test_size, rows), grouped,
					 &split->threshold[c]));
	}
	if (split->method == PGML_SPLIT_STRATIFIED && split->n_classes > 1)
		cap_thresholds(split, upto);
	return PGML_OK;
}

/* Training rows that later versions will have to leave out: those between their class's threshold and the highest. */
static int64_t
count_between(const Work *w, const int64_t *upto)
{
	uint64_t highest = highest_threshold(w->split);
	int64_t between = 0;

	for (int c = 0; c < w->split->n_classes; c++)
		for (int64_t i = c == 0 ? 0 : upto[c - 1]; i < upto[c]; i++)
			between += w->keys[i] >= w->split->threshold[c] && w->keys[i] < highest;
	return between;
}

/*
 * First version: thresholds from the rows that are there.  Those of several classes differ by chance; of a few variants of
 * the salt the one is taken that leaves the fewest rows between them.
 */
static PgmlStatus
fix_thresholds(Work *w)
{
	PgmlSplit *split = w->split;
	bool grouped = split->method == PGML_SPLIT_GROUP;
	bool choose = split->method == PGML_SPLIT_STRATIFIED && split->n_classes > 1;
	int64_t variants = choose ? VARIANT_ROWS / (w->in->n + 1) + 1 : 1;
	int64_t *upto = pgml_zalloc(w->scratch, (size_t) split->n_classes, sizeof(int64_t));
	int64_t fewest = -1;
	uint32_t best = 0;

	split->threshold = pgml_zalloc(w->arena, (size_t) split->n_classes, sizeof(uint64_t));
	w->keys = pgml_array(w->scratch, (size_t) w->in->n + 1, sizeof(uint64_t));
	if (!upto || !split->threshold || !w->keys)
		return pgml_fail_nomem(w->env, "the split");
	variants = variants < MAX_VARIANTS ? variants : MAX_VARIANTS;
	for (split->variant = 0; split->variant < variants && fewest != 0; split->variant++)
	{
		int64_t between;

		PGML_TRY(set_thresholds(w, upto));
		between = count_between(w, upto);
		if (fewest < 0 || between < fewest)
		{
			fewest = between;
			best = split->variant;
		}
	}
	split->variant = best;
	if (variants > 1)
		PGML_TRY(set_thresholds(w, upto));
	if (grouped && split->test_size > 0 && w->in->n > 0 && split->threshold[0] == 0)
	{
		pgml_fail(w->env->error, PGML_ERR_DATA, "group_column has a single group");
		pgml_fail_hint(w->env->error,
					   "Test rows are whole groups, so at least two are needed; name "
					   "another column, or none.");
		return PGML_ERR_DATA;
	}
	return PGML_OK;
}

/*
 * Below the threshold of its class a row tests.  Above, it trains; but once thresholds are fixed
 * it must be above the highest, as it may have been tested under another label.
 */
static PgmlStatus
assign_by_hash(Work *w)
{
	const PgmlSplit *split = w->split;
	const int32_t *label = split->method == PGML_SPLIT_STRATIFIED ? w->in->label : NULL;
	uint64_t highest = highest_threshold(split);

	for (int64_t i = 0; i < w->in->n; i++)
	{
		uint64_t hash = salted_hash(w, i);
		int c = label ? label[i] : 0;
		uint64_t threshold = c < split->n_classes ? split->threshold[c] : highest;

		if (is_stopped(w->env, i))
			return pgml_fail_cancelled(w->env);
		if (hash < threshold)
			w->role[i] = PGML_ROLE_TEST;
		else if (split->fixed && hash < highest)
			w->role[i] = PGML_ROLE_RESERVED;
		else
			w->role[i] = PGML_ROLE_TRAIN;
	}
	return PGML_OK;
}

/* Reserve the training rows among those of one identity when another of them tests. */
static void
reserve_block(Work *w, const PgmlKeyed *items, int64_t n)
{
	bool tested = false;

	for (int64_t i = 0; i < n; i++)
		tested = tested || w->role[items[i].row] == PGML_ROLE_TEST;
	for (int64_t i = 0; i < n && tested; i++)
		if (w->role[items[i].row] == PGML_ROLE_TRAIN)
			w->role[items[i].row] = PGML_ROLE_RESERVED;
}

/* The same for rows from..upto-1. */
static void
reserve_together(Work *w, int64_t from, int64_t upto)
{
	bool tested = memchr(w->role + from, PGML_ROLE_TEST, (size_t) (upto - from)) != NULL;

	for (int64_t i = from; i < upto && tested; i++)
		if (w->role[i] == PGML_ROLE_TRAIN)
			w->role[i] = PGML_ROLE_RESERVED;
}

/*
 * First version: rows of one identity under several labels may lie on both sides of their
 * thresholds; those that would train although a twin tests are reserved.
 */
static PgmlStatus
reserve_twins(Work *w)
{
	const uint64_t *hash = w->in->row_hash;
	int64_t n = w->in->n;
	int64_t next;

	for (int64_t i = 0; w->in->together && i < n; i = next)
	{
		for (next = i + 1; next < n && hash[next] == hash[i]; next++)
			;
		if (next > i + 1)
			reserve_together(w, i, next);
		if (i / POLL_ROWS != next / POLL_ROWS && pgml_stopped(w->env))
			return pgml_fail_cancelled(w->env);
	}
	if (w->in->together)
		return PGML_OK;
	PGML_TRY(make_room(w));
	for (int64_t i = 0; i < n; i++)
		w->items[i] = (PgmlKeyed){ hash[i], i };
	PGML_TRY(pgml_sort_keyed(w->env, w->items, w->tmp, n));
	for (int64_t i = 0; i < n; i = next)
	{
		for (next = i + 1; next < n && w->items[next].key == w->items[i].key; next++)
			;
		reserve_block(w, w->items + i, next - i);
		if (i / POLL_ROWS != next / POLL_ROWS && pgml_stopped(w->env))
			return pgml_fail_cancelled(w->env);
	}
	return PGML_OK;
}

/* Random, stratified and group splits. */
static PgmlStatus
split_by_hash(Work *w)
{
	if (!w->split->fixed)
		PGML_TRY(fix_thresholds(w));
	PGML_TRY(assign_by_hash(w));
	if (!w->split->fixed && w->split->method == PGML_SPLIT_STRATIFIED && w->split->n_classes > 1)
		PGML_TRY(reserve_twins(w));
	return PGML_OK;
}

/*
 * The window of the newest rows, whole moments only; some older moment must be left to train on.  It begins no earlier than
 * any earlier window: a version learned from what is older than its own window, also when the rows of today end sooner than
 * those of then.  So it may be empty: from > upto.
 */
static PgmlStatus
newest_window(Work *w, PgmlWindow *window)
{
	int64_t n = w->in->n;
	int64_t first; /* the oldest test row */

	PGML_TRY(make_room(w));
	for (int64_t i = 0; i < n; i++)
	{
		w->items[i].key = pgml_key_of_double(w->in->time[i]);
		w->items[i].row = i;
	}
	PGML_TRY(pgml_sort_keyed(w->env, w->items, w->tmp, n));
	first = n - wanted_rows(w->split->test_size, n);
	while (first > 0 && first < n && w->items[first].key == w->items[0].key)
		first++;
	if (first == n)
	{
		pgml_fail(w->env->error, PGML_ERR_DATA, "time_column has the same time in all rows");
		pgml_fail_hint(w->env->error,
					   "Test rows are the newest, so at least two different times are "
					   "needed; name another column, or none.");
		return PGML_ERR_DATA;
	}
	window->from = w->in->time[w->items[first].row];
	window->upto = w->in->time[w->items[n - 1].row];
	for (int k = 0; k < w->split->n_windows; k++)
		if (window->from < w->split->windows[k].from)
			window->from = w->split->windows[k].from;
	return PGML_OK;
}

static bool
in_window(const PgmlWindow *window, double time)
{
	return time >= window->from && time <= window->upto;
}

/* Time: append the new window unless it is empty; older ones stay out of training. NaN lies in no window. */
static PgmlStatus
split_by_time(Work *w)
{
	PgmlSplit *split = w->split;
	int earlier = split->n_windows;
	bool holds_out = split->test_size > 0 && w->in->n > 0;
	PgmlWindow *windows = pgml_array(w->arena, (size_t) earlier + 1, sizeof(PgmlWindow));

	if (!windows)
		return pgml_fail_nomem(w->env, "the split");
	if (earlier > 0)
		memcpy(windows, split->windows, (size_t) earlier * sizeof(PgmlWindow));
	if (holds_out)
	{
		PGML_TRY(newest_window(w, &windows[earlier]));
		holds_out = windows[earlier].from <= windows[earlier].upto;
	}
	for (int64_t i = 0; i < w->in->n; i++)
	{
		double time = w->in->time[i];

		if (is_stopped(w->env, i))
			return pgml_fail_cancelled(w->env);
		w->role[i] = PGML_ROLE_TRAIN;
		for (int k = 0; k < earlier; k++)
			if (in_window(&windows[k], time))
				w->role[i] = PGML_ROLE_RESERVED;
		if (holds_out && in_window(&windows[earlier], time))
			w->role[i] = PGML_ROLE_TEST;
	}
	split->windows = windows;
	split->n_windows = earlier + holds_out;
	return PGML_OK;
}

/* The rules and inputs fit together, and labels can be used as indexes. */
static PgmlStatus
check_split(const PgmlEnv *env, const PgmlSplit *split, const PgmlSplitInput *in)
{
	bool by_hash = split->method != PGML_SPLIT_TIME;
	bool stratified = split->method == PGML_SPLIT_STRATIFIED;

	if (!(split->test_size >= 0 && split->test_size < 1))
		return pgml_fail(env->error, PGML_ERR_BADARG,
						 "test_size must be at least 0 and less than 1");
	if (split->method < PGML_SPLIT_RANDOM || split->method > PGML_SPLIT_TIME)
		return pgml_fail(env->error, PGML_ERR_BADARG, "unknown way to split: %d",
						 (int) split->method);
	if ((stratified && !in->label) || (split->method == PGML_SPLIT_GROUP ? !in->group :
									   by_hash                           ? !in->row_hash :
																		   !in->time))
		return pgml_fail(env->error, PGML_ERR_INTERNAL, "a split lacks its input");
	if (by_hash && (split->n_classes < 1 || (!stratified && split->n_classes != 1) ||
					(split->fixed && !split->threshold)))
		return pgml_fail(env->error, PGML_ERR_INTERNAL, "a split lacks its thresholds");
	for (int64_t i = 0; stratified && i < in->n; i++)
		if (in->label[i] < 0 || (!split->fixed && in->label[i] >= split->n_classes))
			return pgml_fail(env->error, PGML_ERR_INTERNAL, "class %d of %d in a split",
							 in->label[i], split->n_classes);
	return PGML_OK;
}

/* A later version may find nothing but rows that earlier ones were tested on. */
static PgmlStatus
check_training_rows(const Work *w)
{
	if (w->in->n == 0 || memchr(w->role, PGML_ROLE_TRAIN, (size_t) w->in->n))
		return PGML_OK;
	pgml_fail(w->env->error, PGML_ERR_DATA, "no rows are left to train on");
	pgml_fail_detail(w->env->error, "All rows are test rows of this version or of earlier ones.");
	pgml_fail_hint(w->env->error, "Add newer rows, or train under a new model name.");
	return PGML_ERR_DATA;
}

PgmlStatus
pgml_split(const PgmlEnv *env, PgmlArena *arena, PgmlSplit *split, const PgmlSplitInput *in,
		   uint8_t *role)
{
	Work w = { .env = env, .arena = arena, .split = split, .in = in, .role = role };
	PgmlStatus status;

	if (!split->fixed && (split->method == PGML_SPLIT_RANDOM || split->method == PGML_SPLIT_GROUP))
		split->n_classes = 1;
	PGML_TRY(check_split(env, split, in));
	w.scratch = pgml_arena_create(env->budget);
	if (!w.scratch)
		return pgml_fail_nomem(env, "the split");
	status = split->method == PGML_SPLIT_TIME ? split_by_time(&w) : split_by_hash(&w);
	pgml_arena_destroy(w.scratch);
	return status == PGML_OK ? check_training_rows(&w) : status;
}
