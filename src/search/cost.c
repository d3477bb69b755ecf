/*
 * cost.c - how long predictions take, estimated from the form of a model: no clock is read, so that what is chosen by it is the same
 * every time.  The figures are those of blocks of rows on one core with AVX-512 (docs/benchmarks.md).
 */
#include "search/training.h"

#include <math.h>

/* Nanoseconds per row and kB of payload. */
static const struct
{
	const PgmlLearner *learner;
	double per_kb;
} rates[] = {
	{ &pgml_learner_gradient_boosting, 0.8 },
	{ &pgml_learner_oblivious_boosting, 1.5 },
	{ &pgml_learner_mlp, 18 },
	{ &pgml_learner_svm, 45 },
	{ &pgml_learner_knn, 15 },
	{ &pgml_learner_linear, 40 },
};

#define OTHER_RATE 10.0
#define LEAST_NS   20.0

/* A step down a tree, when the forest lies in the second and third level of the cache and when in memory. */
#define STEP_NS_NEAR   1.0
#define STEP_NS_MIDDLE 2.0
#define STEP_NS_FAR    4.0
#define NEAR_BYTES     1e6
#define MIDDLE_BYTES   3.2e7

#define BYTES_OF_NODE 8.0

/* What predictions may take when nobody says otherwise: 20,000 rows a second, in mode fast 200,000. */
#define BEST_US 22.0
#define FAST_US 4.0

double
training_max_predict_us(const PgmlTrainOptions *options)
{
	if (options->max_predict_us > 0)
		return options->max_predict_us;
	return options->fast ? FAST_US : BEST_US;
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
		double rate = OTHER_RATE;

		for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
			if (rates[i].learner == learner)
				rate = rates[i].per_kb;
		if (learner == &pgml_learner_random_forest || learner == &pgml_learner_extra_trees)
			ns += forest_ns(model->trial, bytes, t->outputs);
		else
			ns += LEAST_NS + rate * bytes / 1024;
	}
	return ns;
}
