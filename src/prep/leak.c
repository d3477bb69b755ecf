/*
 * leak.c - columns that look as if they know the target.
 *
 * Each feature is cut into bins; on one half of a sample the mean target of every bin is learned, on the other half it is
 * tried as a prediction. For several classes a column counts by the class that it tells worst, so that a column which is
 * merely good at one class is no suspect.
 */
#include "prep/leak.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/par.h"
#include "core/rng.h"
#include "data/bin_edges.h"

#define MAX_ROWS       20000
#define MIN_ROWS       100 /* on fewer rows nothing is remarkable */
#define MIN_CLASS_ROWS 10  /* in each half; smaller classes are not judged */
#define MAX_BINS       256 /* the one for missing included */
#define ROWS_PER_BIN   20
#define CHUNK          1024 /* rows that are binned at a time */
#define SUSPECT_AUC    0.98
#define SUSPECT_R2     0.97
#define SUSPECT_GAP    0.95 /* when only being missing is looked at */
#define STREAM         0x6c65616bu

/* One half of the sample. */
typedef struct Half
{
	const int32_t *rows;
	int32_t n;
	double *y;
	uint32_t *bin;
} Half;

typedef struct Scan
{
	const PgmlEnv *env;
	const PgmlMatrix *x;
	PgmlTask task;
	int n_classes;
	Half fit, test;
	PgmlEdgeRoom room_to_sort; /* values of a feature on the fitting half */
	float edge[MAX_BINS];      /* upper ends of bins 1 .. n_bins-2, then infinity */
	uint32_t n_bins;
	/* Per bin of the feature at hand, room for its levels. */
	double *score;
	double *sum;
	int64_t *count, *pos, *all;
	uint32_t *order;
	uint32_t room;
} Scan;

/* ---- the sample ------------------------------------------------------------------------------ */

/* Take the first rows that have a target, which come in the order of their hashes, and deal them at random to the halves. */
static PgmlStatus
draw_sample(Scan *s, PgmlArena *arena, const double *y, const int32_t *rows, int64_t n)
{
	int32_t *pick = pgml_array(arena, MAX_ROWS, sizeof(*pick));
	int64_t have = 0;
	PgmlRng rng;

	if (pick == NULL)
		return pgml_fail_nomem(s->env, "the leak scan");
	for (int64_t i = 0; i < n && have < MAX_ROWS; i++)
	{
		if (isfinite(y[rows[i]]))
			pick[have++] = rows[i];
	}
	int32_t m = (int32_t) have;
	pgml_rng_init(&rng, s->env->seed, STREAM);
	for (int32_t i = 0; i < m; i++)
	{
		int64_t j = i + (int64_t) pgml_rng_below(&rng, (uint64_t) (have - i));
		int32_t swap = pick[i];
		pick[i] = pick[j];
		pick[j] = swap;
	}
	s->fit = (Half){ .rows = pick, .n = m / 2 };
	s->test = (Half){ .rows = pick + m / 2, .n = m - m / 2 };
	for (Half *h = &s->fit;; h = &s->test)
	{
		h->y = pgml_array(arena, (size_t) h->n + 1, sizeof(*h->y));
		if (h->y == NULL)
			return pgml_fail_nomem(s->env, "the leak scan");
		for (int32_t i = 0; i < h->n; i++)
			h->y[i] = y[h->rows[i]];
		if (h == &s->test)
			return PGML_OK;
	}
}

/* Work memory for features with as many bins as any has. */
static PgmlStatus
make_room(Scan *s, PgmlArena *arena)
{
	s->room = MAX_BINS;
	for (int32_t f = 0; f < s->x->nfeatures; f++)
	{
		uint32_t need = (uint32_t) s->x->features[f].n_levels + 1;
		if (s->x->features[f].categorical && need > s->room)
			s->room = need;
	}
	s->fit.bin = pgml_array(arena, (size_t) s->fit.n + 1, sizeof(*s->fit.bin));
	s->test.bin = pgml_array(arena, (size_t) s->test.n + 1, sizeof(*s->test.bin));
	s->room_to_sort.key = pgml_array(arena, (size_t) s->fit.n + 1, sizeof(uint32_t));
	s->room_to_sort.other = pgml_array(arena, (size_t) s->fit.n + 1, sizeof(uint32_t));
	s->score = pgml_array(arena, s->room, sizeof(*s->score));
	s->sum = pgml_array(arena, s->room, sizeof(*s->sum));
	s->count = pgml_array(arena, s->room, sizeof(*s->count));
	s->pos = pgml_array(arena, s->room, sizeof(*s->pos));
	s->all = pgml_array(arena, s->room, sizeof(*s->all));
	s->order = pgml_array(arena, s->room, sizeof(*s->order));
	if (s->fit.bin == NULL || s->test.bin == NULL || s->room_to_sort.key == NULL ||
		s->room_to_sort.other == NULL || s->score == NULL || s->sum == NULL || s->count == NULL ||
		s->pos == NULL || s->all == NULL || s->order == NULL)
		return pgml_fail_nomem(s->env, "the leak scan");
	return PGML_OK;
}

/* ---- bins ------------------------------------------------------------------------------------ */

/* Edges between bins of about equal counts on the fitting half; returns their number. */
static uint32_t
make_edges(Scan *s, const float *col)
{
	int32_t n = (int32_t) pgml_sort_floats(&s->room_to_sort, col, s->fit.rows, s->fit.n);
	uint32_t n_edges = 0;
	int32_t wanted = n / ROWS_PER_BIN;
	if (wanted > MAX_BINS - 2)
		wanted = MAX_BINS - 2;
	for (int32_t k = 1; k <= wanted; k++)
	{
		int32_t at = (int32_t) ((int64_t) n * k / (wanted + 1));
		/* An edge below the value that follows it: equal values share a bin. */
		float value = pgml_float_of_key(s->room_to_sort.key[at]);
		if (at > 0 && s->room_to_sort.key[at] > s->room_to_sort.key[0] &&
			(n_edges == 0 || value > s->edge[n_edges - 1]))
			s->edge[n_edges++] = value;
	}
	for (uint32_t k = n_edges; k < MAX_BINS; k++)
		s->edge[k] = INFINITY;
	return n_edges;
}

/* Bins of n values, at most CHUNK: 0 for missing, else 1 + number of edges at or below the value. */
static void
find_bins(const float *edge, const float *value, int32_t n, uint32_t *bin)
{
	int32_t at[CHUNK] = { 0 };

	/* A search of equal length for all values, step by step, so that none waits for another. */
	for (int32_t step = MAX_BINS / 2; step > 0; step /= 2)
		for (int32_t i = 0; i < n; i++)
			at[i] += edge[at[i] + step - 1] <= value[i] ? step : 0;
	for (int32_t i = 0; i < n; i++)
		bin[i] = isnan(value[i]) ? 0 : (uint32_t) at[i] + 1;
}

/* Bins of a half; levels are their own bins. */
static void
bin_half(const Scan *s, const Half *h, const PgmlFeature *feature, const float *col)
{
	for (int32_t from = 0; from < h->n; from += CHUNK)
	{
		int32_t n = h->n - from < CHUNK ? h->n - from : CHUNK;
		float value[CHUNK];

		for (int32_t i = 0; i < n; i++)
			value[i] = col[h->rows[from + i]];
		if (!feature->categorical)
			find_bins(s->edge, value, n, h->bin + from);
		for (int32_t i = 0; feature->categorical && i < n; i++)
			h->bin[from + i] =
				value[i] >= 0 && value[i] < (float) feature->n_levels ? (uint32_t) value[i] + 1 : 0;
	}
}

/* Bins of both halves. */
static void
bin_feature(Scan *s, int32_t f)
{
	const PgmlFeature *feature = &s->x->features[f];
	const float *col = s->x->col[f];
	uint32_t n_edges = feature->categorical ? 0 : make_edges(s, col);

	s->n_bins = feature->categorical ? (uint32_t) feature->n_levels + 1 : n_edges + 2;
	bin_half(s, &s->fit, feature, col);
	bin_half(s, &s->test, feature, col);
}

/* Keep only whether a value is missing. False when that does not vary. */
static bool
bins_to_missing(Scan *s)
{
	int32_t missing = 0;

	for (int32_t i = 0; i < s->fit.n; i++)
	{
		s->fit.bin[i] = s->fit.bin[i] == 0;
		missing += s->fit.bin[i] == 1;
	}
	for (int32_t i = 0; i < s->test.n; i++)
		s->test.bin[i] = s->test.bin[i] == 0;
	s->n_bins = 2;
	return missing > 0 && missing < s->fit.n;
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* Mean per bin on the fitting half of the target (wanted < 0) or of "is class wanted"; one row of the overall mean added. */
static void
learn_means(Scan *s, int wanted)
{
	double total = 0;

	memset(s->sum, 0, s->n_bins * sizeof(*s->sum));
	memset(s->count, 0, s->n_bins * sizeof(*s->count));
	for (int32_t i = 0; i < s->fit.n; i++)
	{
		double v = wanted < 0 ? s->fit.y[i] : s->fit.y[i] == wanted;
		s->sum[s->fit.bin[i]] += v;
		s->count[s->fit.bin[i]]++;
		total += v;
	}
	for (uint32_t b = 0; b < s->n_bins; b++)
		s->score[b] = (s->sum[b] + total / s->fit.n) / (double) (s->count[b] + 1);
}

/* Order bins by falling score: Shell sort, as there are few and the comparison needs the scan. */
static void
order_bins(Scan *s)
{
	for (uint32_t i = 0; i < s->n_bins; i++)
		s->order[i] = i;
	uint32_t gap = 1;
	while (gap < s->n_bins / 3)
		gap = 3 * gap + 1;
	for (; gap > 0; gap /= 3)
	{
		for (uint32_t i = gap; i < s->n_bins; i++)
		{
			uint32_t v = s->order[i];
			uint32_t k = i;
			for (; k >= gap && s->score[s->order[k - gap]] < s->score[v]; k -= gap)
				s->order[k] = s->order[k - gap];
			s->order[k] = v;
		}
	}
}

/* Area under the ROC curve of the bin means for one class, on the testing half. */
static double
test_auc(Scan *s, int wanted)
{
	double area = 0;
	int64_t n_pos = 0;
	int64_t n_neg = 0;

	memset(s->pos, 0, s->n_bins * sizeof(*s->pos));
	memset(s->all, 0, s->n_bins * sizeof(*s->all));
	for (int32_t i = 0; i < s->test.n; i++)
	{
		s->pos[s->test.bin[i]] += s->test.y[i] == wanted;
		s->all[s->test.bin[i]]++;
	}
	order_bins(s);
	for (uint32_t i = 0; i < s->n_bins;)
	{
		int64_t pos = 0;
		int64_t neg = 0;
		double score = s->score[s->order[i]];
		for (; i < s->n_bins && s->score[s->order[i]] == score; i++)
		{
			pos += s->pos[s->order[i]];
			neg += s->all[s->order[i]] - s->pos[s->order[i]];
		}
		area += (double) neg * ((double) n_pos + 0.5 * (double) pos);
		n_pos += pos;
		n_neg += neg;
	}
	return n_pos == 0 || n_neg == 0 ? NAN : area / ((double) n_pos * (double) n_neg);
}

/* Rows of a class in a half. */
static int32_t
class_rows(const Half *h, int wanted)
{
	int32_t n = 0;

	for (int32_t i = 0; i < h->n; i++)
		n += h->y[i] == wanted;
	return n;
}

/* The lowest AUC over the classes that have enough rows; NaN when fewer than two have. */
static double
score_classes(Scan *s)
{
	double worst = NAN;
	int judged = 0;

	for (int c = 0; c < s->n_classes; c++)
	{
		if (class_rows(&s->fit, c) < MIN_CLASS_ROWS || class_rows(&s->test, c) < MIN_CLASS_ROWS)
			continue;
		learn_means(s, c);
		double auc = test_auc(s, c);
		judged++;
		if (!isnan(auc) && !(auc >= worst))
			worst = auc;
		if (worst < SUSPECT_GAP)
			break;
	}
	return judged < 2 && !(worst < SUSPECT_GAP) ? NAN : worst;
}

/* Sum of squares of the testing half about its mean; exactly 0 when the target is constant there. */
static double
total_squares(const Half *h)
{
	double sum = 0;
	double squares = 0;

	for (int32_t i = 0; i < h->n; i++)
		sum += h->y[i] - h->y[0];
	double mean = h->y[0] + sum / h->n;
	for (int32_t i = 0; i < h->n; i++)
		squares += (h->y[i] - mean) * (h->y[i] - mean);
	return squares;
}

/* Share of the variance on the testing half that the bin means explain. */
static double
score_means(Scan *s)
{
	const Half *h = &s->test;
	double total = total_squares(h);
	double left = 0;

	learn_means(s, -1);
	for (int32_t i = 0; i < h->n; i++)
	{
		double miss = h->y[i] - s->score[h->bin[i]];
		left += miss * miss;
	}
	return total > 0 ? 1 - left / total : NAN;
}

/* The same for a straight line through the feature, which bins follow badly where the target has long tails. */
static double
score_line(const Scan *s, const float *col)
{
	double n = 0, mx = 0, my = 0, sxx = 0, sxy = 0, left = 0;
	double total = total_squares(&s->test);

	for (int32_t i = 0; i < s->fit.n; i++)
	{
		double v = col[s->fit.rows[i]];
		if (isnan(v))
			continue;
		n++;
		double dx = v - mx;
		mx += dx / n;
		my += (s->fit.y[i] - my) / n;
		sxx += dx * (v - mx);
		sxy += dx * (s->fit.y[i] - my);
	}
	if (!(sxx > 0) || !(total > 0))
		return NAN;
	for (int32_t i = 0; i < s->test.n; i++)
	{
		double v = col[s->test.rows[i]];
		double miss = s->test.y[i] - (isnan(v) ? my : my + sxy / sxx * (v - mx));
		left += miss * miss;
	}
	return 1 - left / total;
}

/* Strength of the bins at hand. */
static double
score_bins(Scan *s)
{
	return s->task == PGML_TASK_REGRESSION ? score_means(s) : score_classes(s);
}

/* ---- the scan -------------------------------------------------------------------------------- */

/* Fill in a suspect. */
static void
describe_leak(const Scan *s, PgmlLeak *leak, int32_t source, double strength, bool missing)
{
	leak->source = source;
	leak->strength = strength;
	if (s->task == PGML_TASK_REGRESSION)
		snprintf(leak->why, sizeof(leak->why), "%s explains the target with R2 %.3f",
				 missing ? "being missing alone" : "alone", strength);
	else if (s->task == PGML_TASK_BINARY)
		snprintf(leak->why, sizeof(leak->why), "%s predicts the target with AUC %.3f",
				 missing ? "being missing alone" : "alone", strength);
	else
		snprintf(leak->why, sizeof(leak->why), "%s predicts every class with AUC %.3f or more",
				 missing ? "being missing alone" : "alone", strength);
}

/* Keep the strongest, the earlier column first between equals. */
static void
keep_leak(PgmlLeak *out, int max, int *n, const PgmlLeak *leak)
{
	int at = *n;

	while (at > 0 && out[at - 1].strength < leak->strength)
		at--;
	if (at >= max)
		return;
	int moved = (*n < max ? *n : max - 1) - at;
	memmove(out + at + 1, out + at, (size_t) moved * sizeof(*out));
	out[at] = *leak;
	if (*n < max)
		(*n)++;
}

/* Best rules of one feature: by its value, and by its being missing. */
static void
score_feature(Scan *s, int32_t f, double *value, double *missing)
{
	bin_feature(s, f);
	*value = score_bins(s);
	*missing = NAN;
	if (s->task == PGML_TASK_REGRESSION && !s->x->features[f].categorical)
	{
		double line = score_line(s, s->x->col[f]);
		if (!(line <= *value))
			*value = isnan(line) ? *value : line;
	}
	if (bins_to_missing(s))
		*missing = score_bins(s);
}

/* What is found out about each feature, on several threads. */
typedef struct Findings
{
	Scan *scan; /* per thread */
	double *value;
	double *missing;
} Findings;

/* Score one feature. */
static PgmlStatus
scan_feature(void *arg, int64_t block, int thread)
{
	Findings *found = arg;

	if (pgml_stopped(found->scan[thread].env))
		return PGML_ERR_CANCELLED;
	score_feature(&found->scan[thread], (int32_t) block, &found->value[block],
				  &found->missing[block]);
	return PGML_OK;
}

/* Score all features. */
static PgmlStatus
scan_features(const Scan *s, PgmlArena *arena, Findings *found)
{
	int threads = pgml_pool_threads(s->env->pool);
	size_t d = (size_t) s->x->nfeatures + 1;

	found->scan = pgml_array(arena, (size_t) threads, sizeof(Scan));
	found->value = pgml_array(arena, d, sizeof(double));
	found->missing = pgml_array(arena, d, sizeof(double));
	if (found->scan == NULL || found->value == NULL || found->missing == NULL)
		return pgml_fail_nomem(s->env, "the leak scan");
	for (int t = 0; t < threads; t++)
	{
		found->scan[t] = *s;
		PGML_TRY(make_room(&found->scan[t], arena));
	}
	return pgml_par_for(s->env, s->x->nfeatures, scan_feature, found) == PGML_OK ?
			   PGML_OK :
			   pgml_fail_cancelled(s->env);
}

/* Put together what the features of a column tell, and keep the suspects. */
static void
keep_suspects(const Scan *s, const Findings *found, PgmlLeak *out, int max, int *n_found)
{
	double suspect = s->task == PGML_TASK_REGRESSION ? SUSPECT_R2 : SUSPECT_AUC;

	for (int32_t f = 0; f < s->x->nfeatures;)
	{
		int32_t source = s->x->features[f].source;
		double best_value = 0;
		double best_missing = 0;
		PgmlLeak leak;

		for (; f < s->x->nfeatures && s->x->features[f].source == source; f++)
		{
			double value = found->value[f];
			double missing = found->missing[f];

			best_value = value > best_value ? value : best_value;
			best_missing = missing > best_missing ? missing : best_missing;
		}
		if (best_missing > SUSPECT_GAP && best_missing >= best_value)
			describe_leak(s, &leak, source, best_missing, true);
		else if (best_value > suspect)
			describe_leak(s, &leak, source, best_value, false);
		else if (best_missing > SUSPECT_GAP)
			describe_leak(s, &leak, source, best_missing, true);
		else
			continue;
		keep_leak(out, max, n_found, &leak);
	}
}

/* See leak.h. */
PgmlStatus
pgml_leak_scan(const PgmlEnv *env, const PgmlMatrix *x, const double *y, PgmlTask task,
			   int n_classes, const int32_t *rows, int64_t n, PgmlLeak *out, int max, int *n_found)
{
	Scan s = { .env = env, .x = x, .task = task, .n_classes = n_classes };

	*n_found = 0;
	if (n < MIN_ROWS || max <= 0)
		return PGML_OK;
	PgmlArena *arena = pgml_arena_create(env->budget);
	if (arena == NULL)
		return pgml_fail_nomem(env, "the leak scan");
	PgmlStatus status = draw_sample(&s, arena, y, rows, n);
	if (status == PGML_OK && s.fit.n + s.test.n >= MIN_ROWS)
	{
		Findings found;

		status = scan_features(&s, arena, &found);
		if (status == PGML_OK)
			keep_suspects(&s, &found, out, max, n_found);
	}
	pgml_arena_destroy(arena);
	return status;
}
