/*
 * portfolio_numeric.c - settings of the learners that see rows as points: mlp, svm and knn.
 */
#include "search/portfolio.h"

#include <math.h>

/* Rows that a network passes over in all, within these numbers of epochs; where there is time, up to MOST_PASSES times as many. */
#define ROWS_PASSED     4e5
#define FEWEST_EPOCHS   30.0
#define MOST_EPOCHS     80.0
#define MOST_PASSES     2.5
#define SECONDS_OF_PASS 24.0 /* of the time budget */

/* Steps that an epoch should have, as rows allow. */
#define STEPS_OF_EPOCH 20.0
#define SMALLEST_BATCH 64.0
#define LARGEST_BATCH  256.0

/* Places of words in settings. */
#define BY_DISTANCE  1
#define NO_EMBEDDING 1

static const PgmlSettings networks[] = {
	{ { "hidden_layers", 2 }, { "hidden_width", 128 } },
	{ { "hidden_layers", 3 }, { "hidden_width", 256 } },
	{ { "hidden_layers", 3 },
	  { "hidden_width", 128 },
	  { "num_embedding", NO_EMBEDDING },
	  { "dropout", 0.05 } },
};

/* Few rows need more passes and smaller steps. */
static void
scale_network(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	double n = (double) t->n_train + 1;
	double passes = fmax(fmin(t->options->time_budget / SECONDS_OF_PASS, MOST_PASSES), 1);
	double epochs = fmax(fmin(ROWS_PASSED * passes / n, MOST_EPOCHS * passes), FEWEST_EPOCHS);
	double batch = exp2(floor(log2(n / STEPS_OF_EPOCH)));

	training_set(learner, params, "max_iter", floor(epochs));
	training_set(learner, params, "batch_size", fmax(fmin(batch, LARGEST_BATCH), SMALLEST_BATCH));
}

static const PgmlSettings machines[] = {
	{ { "C", 1 } },
	{ { "C", 10 } },
};

static const PgmlSettings neighbours[] = {
	{ { "weights", BY_DISTANCE } },
};

/* k grows with the logarithm of the rows. */
static void
scale_neighbours(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	training_set(learner, params, "n_neighbors",
				 fmin(fmax(floor(2 * log2((double) t->n_train + 1)), 5), 50));
}

#define N(list) ((int) (sizeof(list) / sizeof(list[0])))

const Portfolio pgml_portfolio_mlp = {
	.learner = &pgml_learner_mlp,
	.classes = networks,
	.n_classes = N(networks),
	.regression = networks,
	.n_regression = N(networks),
	.scale = scale_network,
	.planned = { "max_iter", "batch_size" },
};

const Portfolio pgml_portfolio_svm = {
	.learner = &pgml_learner_svm,
	.classes = machines,
	.n_classes = N(machines),
	.regression = machines,
	.n_regression = N(machines),
};

const Portfolio pgml_portfolio_knn = {
	.learner = &pgml_learner_knn,
	.classes = neighbours,
	.n_classes = N(neighbours),
	.regression = neighbours,
	.n_regression = N(neighbours),
	.scale = scale_neighbours,
};
