/*
 * cost.c - how long predictions take, estimated from the form of a model: no clock is read, so that what is chosen by it is the same
 * every time.  The figures are those of blocks of rows on one core with AVX-512 (docs/benchmarks.md).
 */
#include "search/training.h"

#include <math.h>

/* Nanoseconds per row, and per row and kB of payload. */
typedef struct Rate
{
	const PgmlLearner *learner;
	double per_row;
	double per_kb;
} Rate;

static const Rate rates[] = {
	{ &pgml_learner_gradient_boosting, 20, 0.8 },
	{ &pgml_learner_oblivious_boosting, 20, 1.5 },
	{ &pgml_learner_mlp, 20, 16 },
	{ &pgml_learner_svm, 20, 45 },
	{ &pgml_learner_knn, 3000, 15 }, /* the nearest of few rows are sorted as those of many */
	{ &pgml_learner_linear, 20, 40 },
};

static const Rate other_rate = { NULL, 20, 10 };

/* A step down a tree, when the forest lies in the second and third level of the cache and when in memory. */
#define STEP_NS_NEAR   1.0
#define STEP_NS_MIDDLE 2.0
#define STEP_NS_FAR    4.0
#define NEAR_BYTES     1e6
#define MIDDLE_BYTES   3.2e7

#define BYTES_OF_NODE 8.0

/*
 * What predictions may take when nobody says otherwise: 20,000 rows a second, in mode fast 200,000 with what the server and the
 * recipe take for a row and each of its features.  The rates above are those of a fast core without neighbours; in mode fast a
 * core of half that speed is to keep the promise.
 */
#define BEST_US       22.0
#define FAST_US       2.0
#define FEATURE_US    0.02
#define LEAST_FAST_US 0.4

double
training_max_predict_us(const Training *t)
{
	if (t->options->max_predict_us > 0)
		return t->options->max_predict_us;
	if (!t->options->fast)
		return BEST_US;
	return fmax(FAST_US - FEATURE_US * t->recipe.n_features, LEAST_FAST_US);
}

static double
forest_ns(const PgmlTrial *trial, double bytes, int outputs)
{
	double trees = fmax(pgml_param(trial->learner, &trial->params, "n_estimators"), 1);
	double nodes = fmax(bytes / trees / BYTES_OF_NODE, 2);
	double step = bytes < NEAR_BYTES   ? STEP_NS_NEAR :
				  bytes < MIDDLE_BYTES ? STEP_NS_MIDDLE :
										 STEP_NS_FAR;

	return trees * (step * log2(nodes) + 0.5 * outputs);
}

double
training_member_ns(const Training *t, const TrialModel *model)
{
	double ns = training_predict_ns(t, model);

	return training_refits(t, model->trial->learner) ? ns / model->n_fits : ns;
}

void
training_note_cost(const Training *t, const TrialModel *model)
{
	int64_t bytes = training_model_bytes(model);

	model->trial->predict_us = training_member_ns(t, model) / 1000;
	model->trial->bytes = training_refits(t, model->trial->learner) ? bytes / model->n_fits : bytes;
}

double
training_predict_ns(const Training *t, const TrialModel *model)
{
	const PgmlLearner *learner = model->trial->learner;
	double ns = 0;

	for (int f = 0; f < model->n_fits; f++)
	{
		double bytes = (double) model->fit[f].payload.len;
		const Rate *rate = &other_rate;

		for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
			if (rates[i].learner == learner)
				rate = &rates[i];
		if (learner == &pgml_learner_random_forest || learner == &pgml_learner_extra_trees)
			ns += forest_ns(model->trial, bytes, t->outputs);
		else
			ns += rate->per_row + rate->per_kb * bytes / 1024;
	}
	return ns;
}
