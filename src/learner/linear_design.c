/*
 * linear_design.c - features as the linear learner sees them.
 *
 * Numbers: clipped to the training range without its outermost 0.1 % on each side, widened by a quarter, so that
 * one wild value moves neither the fit nor a prediction, then centred and scaled by the weighted mean and
 * standard deviation.  Heavily skewed ones have their signed logarithm as a second column: on real data now the
 * one, now the other is nearer to the target, and the penalty shares the weight out.  Missing is 0 after
 * scaling, plus a coefficient of its own when missing values were seen.  Quantiles and skewness come from at most
 * SAMPLE_ROWS evenly spaced rows, mean and deviation from all.
 */
#include "learner/linear_internal.h"

#include <string.h>

#include "core/clock.h"
#include "core/par.h"
#include "core/rng.h"

#define SAMPLE_ROWS    10000
#define POLL_ROWS      65536
#define LOW_SHARE      0.001 /* of a sample's values, that are the outermost ones */
#define HIGH_SHARE     0.999
#define SEED_OF_PIVOTS 0x6c696e
#define LARGEST_VALUE  1e15 /* of a scaled number: its square is a float as well */

/* A feature has a logarithm beside it when it is skewed beyond this and that lessens it to this share. */
#define SKEW_LIMIT  1.0
#define SKEW_LESSEN 0.7

/*
 * The k-th smallest of n numbers, from 0, none of them missing (Hoare's selection); they are put in another order, the same in
 * every run.  Pivots are drawn, so that no order of the numbers is slow.
 */
static float
select_number(float *v, int64_t n, int64_t k)
{
	int64_t from = 0;
	int64_t to = n - 1;
	PgmlRng rng;

	pgml_rng_init(&rng, (uint64_t) n, SEED_OF_PIVOTS);
	while (from < to)
	{
		float pivot = v[from + (int64_t) pgml_rng_below(&rng, (uint64_t) (to - from + 1))];
		int64_t i = from;
		int64_t j = to;

		while (i <= j)
		{
			float t;

			while (v[i] < pivot)
				i++;
			while (pivot < v[j])
				j--;
			if (i > j)
				break;
			t = v[i];
			v[i++] = v[j];
			v[j--] = t;
		}
		if (k <= j)
			to = j;
		else if (k >= i)
			from = i;
		else
			break;
	}
	return v[k];
}

/* ---- measuring one feature ---- */

/* Sampled values of a feature and room to work on them; one per thread. */
typedef struct Sample
{
	int64_t n;
	float low, middle, high; /* of the values: without the outermost ones, and the median */
	float value[SAMPLE_ROWS];
	float size[SAMPLE_ROWS];
	double scratch[SAMPLE_ROWS];
} Sample;

typedef struct Measure
{
	const PgmlEnv *env;
	PgmlLinearDesign *design;
	double heaviest; /* weight of a row */
	Sample *samples; /* per thread */
	bool *late;      /* per feature: the deadline came first */
} Measure;

/* Values of evenly spaced rows into s->value, missing left out, and where most of them are. */
static void
take_sample(const PgmlDataset *data, const float *col, Sample *s)
{
	int64_t stride = (data->n + SAMPLE_ROWS - 1) / SAMPLE_ROWS;

	s->n = 0;
	for (int64_t i = 0; i < data->n; i += stride)
	{
		int32_t row = data->rows[i];

		if (!isnan(col[row]) && pgml_linear_weight(data, row) > 0)
			s->value[s->n++] = col[row];
	}
	if (s->n == 0)
		return;
	s->low = select_number(s->value, s->n, (int64_t) floor(LOW_SHARE * (double) (s->n - 1)));
	s->high = select_number(s->value, s->n, (int64_t) ceil(HIGH_SHARE * (double) (s->n - 1)));
	s->middle = select_number(s->value, s->n, s->n / 2);
}

/* Range and presence of missing values over all rows with a weight. PGML_ERR_CANCELLED when stopped. */
static PgmlStatus
measure_range(const Measure *m, const float *col, float *low, float *high, bool *missing)
{
	const PgmlDataset *data = m->design->data;

	*low = INFINITY;
	*high = -INFINITY;
	*missing = false;
	for (int64_t i = 0; i < data->n; i++)
	{
		int32_t row = data->rows[i];

		if (i % POLL_ROWS == 0 && pgml_stopped(m->env))
			return PGML_ERR_CANCELLED;
		if (!(pgml_linear_weight(data, row) > 0))
			continue;
		if (isnan(col[row]))
			*missing = true;
		*low = col[row] < *low ? col[row] : *low;
		*high = col[row] > *high ? col[row] : *high;
	}
	return PGML_OK;
}

/* Skewness of n numbers; 0 when they are all equal. */
static double
skewness(const double *v, int64_t n)
{
	double mean = 0;
	double m2 = 0;
	double m3 = 0;

	for (int64_t i = 0; i < n; i++)
		mean += v[i] / (double) n;
	for (int64_t i = 0; i < n; i++)
	{
		double d = v[i] - mean;

		m2 += d * d / (double) n;
		m3 += d * d * d / (double) n;
	}
	return m2 > 0 ? m3 / (m2 * sqrt(m2)) : 0;
}

/* The smallest tenth of the absolute values that are not 0 ends here: about where the logarithm should bend. */
static double
typical_unit(Sample *s)
{
	int64_t m = 0;

	for (int64_t i = 0; i < s->n; i++)
		if (s->value[i] != 0)
			s->size[m++] = fabsf(s->value[i]);
	if (m == 0)
		return 1;
	return select_number(s->size, m, m / 10);
}

/* Clip range: that of the sample without its outermost values, widened; all rows' where it is a single value. */
static void
choose_range(PgmlLinearFeature *f, const Sample *s)
{
	double low = s->low;
	double high = s->high;

	if (s->n > 0 && low < high)
	{
		f->low = low - 0.25 * (high - low);
		f->high = high + 0.25 * (high - low);
	}
}

/* Whether the logarithm is wanted beside the value, and its unit. */
static bool
wants_log(PgmlLinearFeature *f, Sample *s)
{
	for (int64_t i = 0; i < s->n; i++)
		s->scratch[i] = pgml_linear_clip(f, s->value[i]);

	double skew = fabs(skewness(s->scratch, s->n));

	if (skew <= SKEW_LIMIT)
		return false;
	f->unit = typical_unit(s);
	for (int64_t i = 0; i < s->n; i++)
		s->scratch[i] = pgml_linear_log(s->scratch[i], f->unit);
	return fabs(skewness(s->scratch, s->n)) < SKEW_LESSEN * skew;
}

/* Weighted sums of numbers around a typical one, so that nothing cancels. */
typedef struct Moments
{
	double shift;
	double sum;
	double squares;
} Moments;

static void
add_moment(Moments *m, double w, double v)
{
	double d = v - m->shift;

	m->sum += w * d;
	m->squares += w * d * d;
}

/* Mean and 1 / deviation; false when there is no deviation to speak of, or no weight beside that of rows without a value. */
static bool
scale_of(const Moments *m, double total, double *mean, double *factor)
{
	double d = total > 0 ? m->sum / total : 0;
	double sd = total > 0 ? sqrt(fmax(0, m->squares / total - d * d)) : 0;

	*mean = m->shift + d;
	*factor = 1 / sd;
	if (sd > 1e-9 * fmax(fabs(m->shift), fabs(*mean)) && isfinite(*factor))
		return true;
	*factor = 0;
	return false;
}

/* The factor, so small that no value within the range is too large for a float: rows of hardly any weight may be far away. */
static double
limit_factor(double factor, double mean, double low, double high)
{
	double farthest = fmax(high - mean, mean - low);

	return factor * farthest > LARGEST_VALUE ? LARGEST_VALUE / farthest : factor;
}

/* Mean and deviation of the value and, when log_row is set, of its logarithm; unsets rows that are constant. */
static PgmlStatus
measure_scale(const Measure *m, PgmlLinearFeature *f, const float *col, double typical)
{
	const PgmlDataset *data = m->design->data;
	Moments plain = { .shift = pgml_linear_clip(f, typical) };
	Moments logged = { .shift = pgml_linear_log(plain.shift, f->unit) };
	double total = 0;

	for (int64_t i = 0; i < data->n; i++)
	{
		int32_t row = data->rows[i];
		double w = pgml_linear_weight(data, row);

		if (i % POLL_ROWS == 0 && pgml_stopped(m->env))
			return PGML_ERR_CANCELLED;
		if (isnan(col[row]) || !(w > 0))
			continue;

		double v = pgml_linear_clip(f, col[row]);

		w /= m->heaviest; /* so that no sum of squares overflows */
		total += w;
		add_moment(&plain, w, v);
		if (f->log_row != 0)
			add_moment(&logged, w, pgml_linear_log(v, f->unit));
	}
	f->row = scale_of(&plain, total, &f->mean, &f->factor);
	f->factor = limit_factor(f->factor, f->mean, f->low, f->high);
	if (f->log_row == 0)
		return PGML_OK;
	f->log_row = scale_of(&logged, total, &f->log_mean, &f->log_factor);
	f->log_factor = limit_factor(f->log_factor, f->log_mean, pgml_linear_log(f->low, f->unit),
								 pgml_linear_log(f->high, f->unit));
	return PGML_OK;
}

/* Measure one numeric feature; its rows are 1 where a coefficient row is wanted. */
static PgmlStatus
measure_number(const Measure *m, int64_t number, Sample *sample)
{
	const PgmlDataset *data = m->design->data;
	const float *col = data->x->col[number];
	PgmlLinearFeature *f = &m->design->features[number];
	float low;
	float high;
	bool missing;

	PGML_TRY(measure_range(m, col, &low, &high, &missing));
	f->missing_row = missing && low <= high; /* all missing tells nothing */
	if (!(low < high))
		return PGML_OK;
	f->low = low;
	f->high = high;
	take_sample(data, col, sample);
	choose_range(f, sample);
	f->log_row = wants_log(f, sample);
	return measure_scale(m, f, col, sample->n > 0 ? sample->middle : low);
}

/* A feature, as a block of a parallel loop.  After the deadline features are left unused. */
static PgmlStatus
measure_feature(void *arg, int64_t number, int thread)
{
	Measure *m = arg;
	const PgmlFeature *feature = &m->design->data->x->features[number];
	PgmlLinearFeature *f = &m->design->features[number];

	f->kind = PGML_LINEAR_NUMBER;
	f->unit = 1;
	if (feature->categorical)
	{
		f->kind = PGML_LINEAR_CATEGORY;
		f->levels = (uint32_t) feature->n_levels;
		return PGML_OK;
	}
	if (m->late[number] || (pgml_out_of_time(m->env) && !pgml_stopped(m->env)))
	{
		m->late[number] = true;
		return PGML_OK;
	}
	return measure_number(m, number, &m->samples[thread]);
}

/* ---- the layout ---- */

int64_t
pgml_linear_max_rows(const PgmlMatrix *x)
{
	int64_t rows = 1;

	for (int32_t f = 0; f < x->nfeatures; f++)
		rows += x->features[f].categorical ? (int64_t) x->features[f].n_levels + 1 : 3;
	return rows;
}

/* Give coefficient rows to the features that want them. */
static void
lay_out(PgmlLinearDesign *design)
{
	int32_t nfeatures = design->data->x->nfeatures;
	uint32_t next = 1;

	design->n_categories = 0;
	for (int32_t i = 0; i < nfeatures; i++)
	{
		PgmlLinearFeature *f = &design->features[i];

		if (f->kind == PGML_LINEAR_CATEGORY)
			continue;
		f->row = f->row != 0 ? next++ : 0;
		f->log_row = f->log_row != 0 ? next++ : 0;
		f->missing_row = f->missing_row != 0 ? next++ : 0;
	}
	design->n_dense = (int) next - 1;
	for (int32_t i = 0; i < nfeatures; i++)
	{
		PgmlLinearFeature *f = &design->features[i];

		if (f->kind != PGML_LINEAR_CATEGORY)
			continue;
		f->row = next;
		f->missing_row = next + f->levels;
		next += f->levels + 1;
		design->n_categories++;
	}
	design->n_rows = next;
}

/* Sum of the weights and the largest target of the rows with a weight. PGML_ERR_DATA for one that the loss is not made for. */
static PgmlStatus
measure_largest(const PgmlEnv *env, const PgmlLinearDesign *design, double *total, double *largest)
{
	const PgmlDataset *data = design->data;

	*total = *largest = 0;
	for (int64_t i = 0; i < data->n; i++)
	{
		double w = pgml_linear_weight(data, data->rows[i]);
		double y = data->y[data->rows[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (!(w > 0))
			continue;
		if (design->loss == PGML_LINEAR_POISSON && y < 0)
			return pgml_fail(env->error, PGML_ERR_DATA,
							 "objective \"poisson\" needs a target without negative values");
		*total += w;
		*largest = fmax(*largest, fabs(y));
	}
	return PGML_OK;
}

/* Weighted mean of y / y_unit - shift, or of its square, over the rows with a weight. */
static PgmlStatus
mean_target(const PgmlEnv *env, const PgmlLinearDesign *design, double total, double shift,
			bool squared, double *mean)
{
	const PgmlDataset *data = design->data;

	*mean = 0;
	for (int64_t i = 0; i < data->n; i++)
	{
		double w = pgml_linear_weight(data, data->rows[i]);
		double d = data->y[data->rows[i]] / design->y_unit - shift;

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (w > 0)
			*mean += w / total * (squared ? d * d : d);
	}
	return PGML_OK;
}

/* Centre and scale of a regression's target; divided by the largest value first, so that no square overflows. */
static PgmlStatus
measure_target(const PgmlEnv *env, PgmlLinearDesign *design)
{
	double total, largest, variance;

	design->y_unit = 1;
	design->y_mean = 0;
	design->y_sd = 1;
	if (design->data->task != PGML_TASK_REGRESSION)
		return PGML_OK;
	PGML_TRY(measure_largest(env, design, &total, &largest));
	if (largest > 0)
		design->y_unit = largest;
	PGML_TRY(mean_target(env, design, total, 0, false, &design->y_mean));
	if (design->loss == PGML_LINEAR_POISSON)
	{
		if (!(design->y_unit * design->y_mean > 0))
			return pgml_fail(env->error, PGML_ERR_DATA,
							 "objective \"poisson\" needs a target that is not 0 everywhere");
		design->y_unit *= design->y_mean;
		design->y_mean = 0;
		return PGML_OK;
	}
	PGML_TRY(mean_target(env, design, total, design->y_mean, true, &variance));
	design->y_sd = variance > 1e-24 ? sqrt(variance) : 1;
	return PGML_OK;
}

/* The largest weight of a row. */
static PgmlStatus
find_heaviest(const PgmlEnv *env, const PgmlDataset *data, double *heaviest)
{
	*heaviest = data->w != NULL ? 0 : 1;
	for (int64_t i = 0; data->w != NULL && i < data->n; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		*heaviest = fmax(*heaviest, data->w[data->rows[i]]);
	}
	return PGML_OK;
}

PgmlStatus
pgml_linear_check(const PgmlEnv *env, const PgmlDataset *data, const char *learner)
{
	double total = 0;

	if (data->blas == NULL)
		return pgml_fail(env->error, PGML_ERR_UNAVAILABLE, "learner \"%s\" needs OpenBLAS",
						 learner);
	for (int64_t i = 0; i < data->n; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		total += pgml_linear_weight(data, data->rows[i]);
	}
	if (!(total > 0) || !isfinite(total))
		return pgml_fail(env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	return PGML_OK;
}

PgmlStatus
pgml_linear_design(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
				   PgmlLinearLoss loss, PgmlLinearDesign *design)
{
	size_t nfeatures = (size_t) data->x->nfeatures;
	size_t threads = (size_t) pgml_pool_threads(env->pool);
	Measure m = { .env = env, .design = design };

	memset(design, 0, sizeof(*design));
	design->data = data;
	design->loss = loss;
	design->cache_bytes = PGML_LINEAR_COPY_BYTES;
	design->outputs = pgml_task_outputs(data->task, data->n_classes);
	if (pgml_linear_max_rows(data->x) * design->outputs > INT32_MAX)
		return pgml_fail(env->error, PGML_ERR_LIMIT,
						 "learner \"linear\" cannot have more than %d coefficients", INT32_MAX);
	design->features = pgml_zalloc(arena, nfeatures + 1, sizeof(PgmlLinearFeature));
	m.samples = pgml_array(arena, threads, sizeof(Sample));
	m.late = pgml_zalloc(arena, nfeatures + 1, sizeof(bool));
	if (design->features == NULL || m.samples == NULL || m.late == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	PGML_TRY(find_heaviest(env, data, &m.heaviest));
	pgml_clock_recall(env, data->x->nfeatures, m.late);
	if (pgml_par_for(env, data->x->nfeatures, measure_feature, &m) != PGML_OK)
		return pgml_fail_cancelled(env);
	pgml_clock_note(env, data->x->nfeatures, m.late);
	for (size_t i = 0; i < nfeatures; i++)
		design->out_of_time |= m.late[i];
	lay_out(design);
	return measure_target(env, design);
}

int64_t
pgml_linear_design_memory(const PgmlDataset *data)
{
	return (int64_t) sizeof(Sample) +
		   data->x->nfeatures * (int64_t) (sizeof(PgmlLinearFeature) + 1);
}
