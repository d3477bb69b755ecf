/*
 * naive_bayes.c - learner `naive_bayes`: each class has a distribution of its own for every feature, and features are taken for
 * independent within a class.
 *
 * Score of a class: the logarithm of its share of the weights, plus for every feature that is not missing the logarithm of the
 * probability, or density, of its value in the class; softmax makes probabilities of the scores.  Distributions are those of
 * scikit-learn's GaussianNB, MultinomialNB, BernoulliNB and CategoricalNB, with the same smoothing: counts get `alpha` more,
 * variances `var_smoothing` of the largest variance of any column.  With `distribution` auto columns may be in different units,
 * so the share is of the column's own variance; and columns of 0 and 1 are bernoulli.
 *
 * Sources: Maron 1961; Hand and Yu 2001; McCallum and Nigam 1998 (bernoulli and multinomial).
 */
#include "learner/naive_bayes.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/par.h"

#define POLL_ROWS    65536
#define POLL_NUMBERS 262144

/* Less than this is no smoothing: a value that a class never had would rule it out. */
#define LEAST_ALPHA 1e-10

/* Variances are at least this share of the column's own, whatever var_smoothing is. */
#define LEAST_VARIANCE 1e-20

enum
{
	PARAM_DISTRIBUTION,
	PARAM_ALPHA,
	PARAM_VAR_SMOOTHING,
	PARAM_BINARIZE,
	PARAM_FIT_PRIOR,
	N_PARAMS
};

static const PgmlParam bayes_params[N_PARAMS] = {
	[PARAM_DISTRIBUTION] = { "distribution", NULL, PGML_PARAM_CHOICE, 0, 3, PGML_BAYES_AUTO, false,
							 "Distribution of numbers; auto: bernoulli for columns of 0 and 1, gaussian for others. "
							 "Categories always have a probability per level.",
							 "auto gaussian multinomial bernoulli" },
	[PARAM_ALPHA] = { "alpha", "laplace smoothing", PGML_PARAM_REAL, 0, 1e9, 1, true,
					  "Added to every count (not for gaussian).", NULL },
	[PARAM_VAR_SMOOTHING] = { "var_smoothing", NULL, PGML_PARAM_REAL, 0, 1, 1e-9, true,
							  "Share of the largest variance of any column, or with auto of the column's own, that is added to "
							  "variances.",
							  NULL },
	[PARAM_BINARIZE] = { "binarize", NULL, PGML_PARAM_REAL, -100000, 100000, 0, false,
						 "Numbers above this are 1, others 0, for bernoulli.", NULL },
	[PARAM_FIT_PRIOR] = { "fit_prior", NULL, PGML_PARAM_BOOL, 0, 1, 1, false,
						  "Classes are as likely as in the training rows; else all the same.",
						  NULL },
};

/* ---- memory -------------------------------------------------------------------------------------- */

static int64_t
payload_bytes(const PgmlDataset *data)
{
	uint64_t k = (uint64_t) data->n_classes;
	uint64_t numbers = k;

	for (int32_t f = 0; f < data->x->nfeatures; f++)
		numbers += pgml_bayes_numbers(data->x->features[f].categorical,
									  (uint64_t) data->x->features[f].n_levels, k);
	return (int64_t) (sizeof(PgmlBayesHeader) +
					  (size_t) data->x->nfeatures * sizeof(PgmlBayesFeature) +
					  numbers * sizeof(double));
}

static int64_t
bayes_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	int64_t row = (int64_t) sizeof(int32_t) + (data->w != NULL ? (int64_t) sizeof(double) : 0);

	(void) params;
	*payload = payload_bytes(data);
	return data->n * row + data->n_classes * 64 + data->x->nfeatures * 16 + (64 << 10);
}

/* ---- rows by class ------------------------------------------------------------------------------- */

static double
row_weight(const PgmlDataset *data, int64_t i)
{
	return data->w != NULL ? data->w[data->rows[i]] : 1.0;
}

/* Weights of the classes and where each begins; PGML_ERR_DATA when there is no row with a weight. */
static PgmlStatus
count_classes(PgmlBayesFit *b)
{
	const PgmlDataset *data = b->data;
	double total = 0;

	for (int64_t i = 0; i < data->n; i++)
	{
		double w = row_weight(data, i);
		int c = (int) data->y[data->rows[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(b->env))
			return pgml_fail_cancelled(b->env);
		if (!(w > 0))
			continue;
		b->start[c + 1]++;
		b->class_weight[c] += w;
		total += w;
	}
	if (!(total > 0) || !isfinite(total))
		return pgml_fail(b->env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	b->weight = total;
	for (int c = 0; c < b->k; c++)
		b->start[c + 1] += b->start[c];
	return PGML_OK;
}

/* Rows by class; start[c] is moved to the end of class c, and then back. */
static PgmlStatus
sort_rows(PgmlBayesFit *b)
{
	const PgmlDataset *data = b->data;

	for (int64_t i = 0; i < data->n; i++)
	{
		double w = row_weight(data, i);
		int c = (int) data->y[data->rows[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(b->env))
			return pgml_fail_cancelled(b->env);
		if (!(w > 0))
			continue;
		if (b->w != NULL)
			b->w[b->start[c]] = w;
		b->order[b->start[c]++] = data->rows[i];
	}
	for (int c = b->k; c > 0; c--)
		b->start[c] = b->start[c - 1];
	b->start[0] = 0;
	return PGML_OK;
}

/* ---- from sums to logarithms of probabilities ---------------------------------------------------- */

/* Moments of all rows, from those of the classes; a class that has no value has these. */
static void
find_common(int k, double *t, double total, double *mean, double *variance)
{
	*mean = *variance = 0;
	for (int c = 0; c < k; c++)
		*mean += t[2 * k + c] / total * t[c];
	for (int c = 0; c < k; c++)
		*variance += t[2 * k + c] / total * (t[k + c] + (t[c] - *mean) * (t[c] - *mean));
	for (int c = 0; c < k; c++)
		if (!(t[2 * k + c] > 0))
		{
			t[c] = *mean;
			t[k + c] = *variance;
		}
}

static void
finish_gaussian(const PgmlBayesFit *b, int64_t f, double added, double *t)
{
	int k = b->k;
	double least = LEAST_VARIANCE * b->variance[f];
	double total = 0; /* of rows that are not missing */
	double mean, all;

	for (int c = 0; c < k; c++)
		total += t[2 * k + c];
	find_common(k, t, total, &mean, &all);
	for (int c = 0; c < k; c++)
	{
		double variance = fmax(t[k + c] + added, least);
		double spread =
			all + (mean - t[c]) * (mean - t[c]); /* of all rows around this class's mean */

		t[k + c] = 0.5 / variance;
		t[2 * k + c] = -0.5 * log(2 * M_PI * variance);
		t[3 * k + c] = total / b->weight * (t[2 * k + c] - t[k + c] * spread);
	}
}

static void
finish_bernoulli(const PgmlBayesFit *b, double *t)
{
	int k = b->k;
	double ones = 0;
	double seen = 0;

	for (int c = 0; c < k; c++)
	{
		ones += t[c];
		seen += t[k + c];
	}
	for (int c = 0; c < k; c++)
	{
		double count = t[c] + b->alpha;
		double rest = t[k + c] - t[c] + b->alpha;
		double total = log(count + rest);

		t[c] = log(count) - total;
		t[k + c] = log(rest) - total;
		t[2 * k + c] = (ones * t[c] + (seen - ones) * t[k + c]) / b->weight;
	}
}

static PgmlStatus
finish_category(const PgmlBayesFit *b, uint32_t levels, double *t)
{
	int64_t k = b->k;
	int64_t done = 0; /* numbers since the last look at the stop flag */
	double *average = t + levels * k;

	for (int64_t c = 0; c < k; c++)
	{
		double sum = 0;

		if (pgml_stopped(b->env))
			return pgml_fail_cancelled(b->env);
		for (uint32_t l = 0; l < levels; l++)
			sum += t[l * k + c] + b->alpha;
		b->log_sum[c] = log(sum);
	}
	for (uint32_t l = 0; l < levels; l++)
	{
		double weight = 0;

		for (int64_t c = 0; c < k; c++)
			weight += t[l * k + c];
		for (int64_t c = 0; c < k; c++)
		{
			t[l * k + c] = log(t[l * k + c] + b->alpha) - b->log_sum[c];
			average[c] += weight / b->weight * t[l * k + c];
		}
		done += k;
		if (done < POLL_NUMBERS)
			continue;
		done = 0;
		if (pgml_stopped(b->env))
			return pgml_fail_cancelled(b->env);
	}
	return PGML_OK;
}

/* All multinomial features together: their counts in a class add up to 1. */
static PgmlStatus
finish_multinomial(const PgmlBayesFit *b)
{
	int k = b->k;
	int32_t nfeatures = b->data->x->nfeatures;

	memset(b->log_sum, 0, (size_t) k * sizeof(double));
	for (int32_t f = 0; f < nfeatures; f++)
		for (int c = 0; b->features[f].kind == PGML_BAYES_MULTINOMIAL && c < k; c++)
			b->log_sum[c] += b->numbers[b->features[f].first + (uint64_t) c] + b->alpha;
	for (int c = 0; c < k; c++)
		b->log_sum[c] = log(b->log_sum[c]);
	for (int32_t f = 0; f < nfeatures; f++)
	{
		double *t = b->numbers + b->features[f].first;
		double count = 0;

		if (b->features[f].kind != PGML_BAYES_MULTINOMIAL)
			continue;
		if (pgml_stopped(b->env))
			return pgml_fail_cancelled(b->env);
		for (int c = 0; c < k; c++)
			count += t[c];
		for (int c = 0; c < k; c++)
		{
			t[c] = log(t[c] + b->alpha) - b->log_sum[c];
			t[k + c] = count / b->weight * t[c];
		}
	}
	return PGML_OK;
}

/* The logarithms of the classes' shares: those of the training rows, or all the same. */
static void
finish_prior(const PgmlBayesFit *b, bool from_rows)
{
	int classes = 0;

	for (int c = 0; c < b->k; c++)
		classes += b->class_weight[c] > 0;
	for (int c = 0; c < b->k; c++)
	{
		if (!(b->class_weight[c] > 0))
			b->numbers[c] = PGML_BAYES_NO_CLASS;
		else
			b->numbers[c] =
				from_rows ? log(b->class_weight[c]) - log(b->weight) : -log((double) classes);
	}
}

/* What is added to the variances of a column. */
static double
added_variance(const PgmlBayesFit *b, const PgmlParams *params, int64_t f)
{
	double largest = 0;

	if (b->distribution == PGML_BAYES_AUTO)
		return params->v[PARAM_VAR_SMOOTHING] * b->variance[f];
	for (int32_t i = 0; i < b->data->x->nfeatures; i++)
		largest = fmax(largest, b->variance[i]);
	return params->v[PARAM_VAR_SMOOTHING] * largest;
}

static PgmlStatus
finish(PgmlBayesFit *b, const PgmlParams *params)
{
	const PgmlMatrix *x = b->data->x;

	for (int32_t f = 0; f < x->nfeatures; f++)
	{
		const PgmlBayesFeature *feature = &b->features[f];
		double *t = b->numbers + feature->first;

		if (pgml_stopped(b->env))
			return pgml_fail_cancelled(b->env);
		if (b->failed[f])
			return pgml_fail(
				b->env->error, PGML_ERR_DATA,
				"distribution multinomial is for counts, but feature \"%s\" has numbers below 0",
				x->features[f].name);
		if (feature->kind == PGML_BAYES_GAUSSIAN)
			finish_gaussian(b, f, added_variance(b, params, f), t);
		else if (feature->kind == PGML_BAYES_BERNOULLI)
			finish_bernoulli(b, t);
		else if (feature->kind == PGML_BAYES_CATEGORY)
			PGML_TRY(finish_category(b, feature->levels, t));
	}
	PGML_TRY(finish_multinomial(b));
	finish_prior(b, params->v[PARAM_FIT_PRIOR] != 0);
	return PGML_OK;
}

/* ---- the fit ------------------------------------------------------------------------------------- */

/* Room for the payload, with the header and the features' places in it. */
static PgmlStatus
lay_out(PgmlBayesFit *b, PgmlBuf *payload)
{
	const PgmlMatrix *x = b->data->x;
	uint64_t k = (uint64_t) b->k;
	int64_t bytes = payload_bytes(b->data);
	PgmlBayesHeader header = { .version = PGML_BAYES_VERSION,
							   .classes = (uint32_t) k,
							   .nfeatures = (uint32_t) x->nfeatures,
							   .threshold = b->threshold };
	uint8_t *at;

	pgml_buf_reserve(payload, (size_t) bytes);
	at = pgml_buf_extend(payload, (size_t) bytes);
	if (at == NULL)
		return pgml_fail_nomem(b->env, "the model");
	memset(at, 0, (size_t) bytes);
	b->features = (PgmlBayesFeature *) (at + sizeof(header));
	b->numbers = (double *) (b->features + x->nfeatures);
	header.numbers = k;
	for (int32_t f = 0; f < x->nfeatures; f++)
	{
		const PgmlFeature *feature = &x->features[f];

		if (feature->categorical)
			b->features[f] =
				(PgmlBayesFeature){ PGML_BAYES_CATEGORY, (uint32_t) feature->n_levels, 0 };
		b->features[f].first = header.numbers;
		header.numbers += pgml_bayes_numbers(feature->categorical, (uint64_t) feature->n_levels, k);
	}
	memcpy(at, &header, sizeof(header));
	return PGML_OK;
}

static PgmlStatus
allocate(PgmlBayesFit *b, PgmlArena *arena)
{
	size_t n = (size_t) b->data->n + 1;
	size_t k = (size_t) b->k + 1;
	size_t nfeatures = (size_t) b->data->x->nfeatures + 1;

	b->order = pgml_array(arena, n, sizeof(int32_t));
	b->w = b->data->w != NULL ? pgml_array(arena, n, sizeof(double)) : NULL;
	b->start = pgml_zalloc(arena, k, sizeof(int64_t));
	b->class_weight = pgml_zalloc(arena, k, sizeof(double));
	b->log_sum = pgml_zalloc(arena, k, sizeof(double));
	b->failed = pgml_zalloc(arena, nfeatures, sizeof(bool));
	b->late = pgml_zalloc(arena, nfeatures, sizeof(bool));
	b->variance = pgml_zalloc(arena, nfeatures, sizeof(double));
	if (b->order == NULL || (b->data->w != NULL && b->w == NULL) || b->start == NULL ||
		b->class_weight == NULL || b->log_sum == NULL || b->failed == NULL || b->late == NULL ||
		b->variance == NULL)
		return pgml_fail_nomem(b->env, "learner \"naive_bayes\"");
	return PGML_OK;
}

static PgmlStatus
fit_all(PgmlBayesFit *b, PgmlArena *arena, const PgmlParams *params, PgmlFit *fit)
{
	const PgmlMatrix *x = b->data->x;
	const PgmlBayesHeader *header;

	PGML_TRY(allocate(b, arena));
	PGML_TRY(count_classes(b));
	PGML_TRY(sort_rows(b));
	PGML_TRY(lay_out(b, &fit->payload));
	pgml_clock_recall(b->env, x->nfeatures, b->late);
	if (pgml_par_for(b->env, x->nfeatures, pgml_bayes_measure, b) != PGML_OK)
		return pgml_fail_cancelled(b->env);
	pgml_clock_note(b->env, x->nfeatures, b->late);
	for (int32_t f = 0; f < x->nfeatures; f++)
		fit->out_of_time |= b->late[f];
	PGML_TRY(finish(b, params));
	header = (const PgmlBayesHeader *) fit->payload.data;
	for (uint64_t i = 0; i < header->numbers; i++)
		if (!isfinite(b->numbers[i]))
			return pgml_fail(b->env->error, PGML_ERR_NUMERIC,
							 "learner \"naive_bayes\" found no finite probabilities");
	return PGML_OK;
}

static PgmlStatus
bayes_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit)
{
	PgmlBayesFit b = { .env = env,
					   .data = data,
					   .k = data->n_classes,
					   .distribution = (int) params->v[PARAM_DISTRIBUTION],
					   .alpha = fmax(params->v[PARAM_ALPHA], LEAST_ALPHA),
					   .threshold = params->v[PARAM_BINARIZE] };
	PgmlArena *arena = pgml_arena_create(env->budget);
	PgmlStatus status;

	if (arena == NULL)
		return pgml_fail_nomem(env, "learner \"naive_bayes\"");
	status = fit_all(&b, arena, params, fit);
	pgml_arena_destroy(arena);
	return status;
}

const PgmlLearner pgml_learner_naive_bayes = {
	.name = "naive_bayes",
	.summary = "A distribution of every feature in every class, taken for independent.",
	.tasks = PGML_TASK_ANY_CLASSES,
	.params = bayes_params,
	.n_params = N_PARAMS,
	.only_when_named = true,
	.memory = bayes_memory,
	.fit = bayes_fit,
	.verify = pgml_bayes_verify,
	.predict = pgml_bayes_predict,
	.prepare = pgml_bayes_prepare,
	.prepared_size = pgml_bayes_prepared_size,
	.scratch = pgml_bayes_scratch,
	.predict_block = pgml_bayes_predict_block,
	.explains_scores = true,
	.contributions = pgml_bayes_contributions,
};
