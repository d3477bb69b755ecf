/*
 * schedule.c - the order of the portfolio, and how much time each part of it may take.
 *
 * Learners that differ come first: an ensemble of a few of them is better than many settings of one (Erickson et al. 2020; Feurer et al.
 * 2022).  On small tables forests, networks and kernels are worth their time; on large ones boosting is, which the others
 * follow as time allows.
 */
#include "search/portfolio.h"

#include <math.h>

/* Training rows from which on the order is that of large tables. */
#define LARGE_TABLE 20000

/* A learner that was not named is tried up to these sizes: beyond, its time or its model are out of proportion. */
#define MOST_KERNEL_ROWS    6000
#define MOST_NEIGHBOUR_ROWS 10000
#define MOST_NEIGHBOUR_COLS 50
#define MOST_FOREST_ROWS    300000

typedef struct Entry
{
	const PgmlLearner *learner;
	int variant;
} Entry;

static const Entry small_order[] = {
	{ &pgml_learner_linear, 0 },
	{ &pgml_learner_gradient_boosting, 0 },
	{ &pgml_learner_extra_trees, 0 },
	{ &pgml_learner_oblivious_boosting, 0 },
	{ &pgml_learner_mlp, 0 },
	{ &pgml_learner_gradient_boosting, 1 },
	{ &pgml_learner_random_forest, 0 },
	{ &pgml_learner_svm, 0 },
	{ &pgml_learner_extra_trees, 1 },
	{ &pgml_learner_gradient_boosting, 2 },
	{ &pgml_learner_mlp, 1 },
	{ &pgml_learner_oblivious_boosting, 1 },
	{ &pgml_learner_gradient_boosting, 3 },
	{ &pgml_learner_knn, 0 },
	{ &pgml_learner_svm, 1 },
	{ &pgml_learner_random_forest, 1 },
	{ &pgml_learner_oblivious_boosting, 2 },
	{ &pgml_learner_extra_trees, 2 },
	{ &pgml_learner_gradient_boosting, 4 },
	{ &pgml_learner_mlp, 2 },
	{ &pgml_learner_gradient_boosting, 5 },
	{ &pgml_learner_gradient_boosting, 6 },
	{ &pgml_learner_gradient_boosting, 7 },
	{ &pgml_learner_gradient_boosting, 8 },
};

static const Entry large_order[] = {
	{ &pgml_learner_linear, 0 },
	{ &pgml_learner_gradient_boosting, 0 },
	{ &pgml_learner_oblivious_boosting, 0 },
	{ &pgml_learner_gradient_boosting, 1 },
	{ &pgml_learner_gradient_boosting, 4 },
	{ &pgml_learner_mlp, 0 },
	{ &pgml_learner_gradient_boosting, 3 },
	{ &pgml_learner_extra_trees, 0 },
	{ &pgml_learner_oblivious_boosting, 2 },
	{ &pgml_learner_random_forest, 0 },
	{ &pgml_learner_mlp, 1 },
	{ &pgml_learner_gradient_boosting, 5 },
	{ &pgml_learner_gradient_boosting, 6 },
	{ &pgml_learner_extra_trees, 1 },
	{ &pgml_learner_gradient_boosting, 7 },
};

#define N(list) ((int) (sizeof(list) / sizeof(list[0])))

/*
 * Shares of the time that is left: what a trial is planned with, and when it is ended.  Rounds of boosting stop early or are planned wrongly, so
 * there is room; networks fill what they get.
 */
static const struct
{
	const PgmlLearner *learner; /* NULL: all others */
	double planned, ended;
} shares[] = {
	{ &pgml_learner_linear, 0.1, 0.1 },
	{ &pgml_learner_gradient_boosting, 0.3, 0.5 },
	{ &pgml_learner_oblivious_boosting, 0.25, 0.4 },
	{ &pgml_learner_mlp, 0.4, 0.4 },
	{ NULL, 0.15, 0.2 },
};

/* The same where only one learner is tried. */
#define ALONE_PLANNED 0.5
#define ALONE_ENDED   0.9

/*
 * With so many rows, other settings of a learner are not tried when its best one is behind the best of all by this share of what that is
 * better than the baseline: they would not come near it.
 */
#define MANY_ROWS  2000
#define FAR_BEHIND 0.05

/* Does the size of the table suit a learner that nobody asked for? */
static bool
suits(const Training *t, const PgmlLearner *learner)
{
	int64_t n = t->n_train;

	if (learner == &pgml_learner_svm)
		return n <= MOST_KERNEL_ROWS;
	if (learner == &pgml_learner_knn)
		return n <= MOST_NEIGHBOUR_ROWS && t->x.nfeatures <= MOST_NEIGHBOUR_COLS;
	if (learner == &pgml_learner_random_forest || learner == &pgml_learner_extra_trees)
		return n <= MOST_FOREST_ROWS;
	return true;
}

bool
training_wants(const Training *t, const PgmlLearner *learner)
{
	return learner != &pgml_learner_constant && training_selects(t->options, learner) &&
		   (learner->tasks & t->target.task) &&
		   (training_names(t->options, learner) || suits(t, learner));
}

static bool
is_scheduled(const PgmlLearner *learner, const Entry *order, int n)
{
	for (int i = 0; i < n; i++)
		if (order[i].learner == learner)
			return true;
	return false;
}

bool
training_schedule(const Training *t, int i, const PgmlLearner **learner, int *variant)
{
	const Entry *order = t->n_train < LARGE_TABLE ? small_order : large_order;
	int n = t->n_train < LARGE_TABLE ? N(small_order) : N(large_order);
	int n_learners;
	const PgmlLearner *const *learners = pgml_learners(&n_learners);

	for (int k = 0; k < n; k++)
		if (training_wants(t, order[k].learner) && i-- == 0)
		{
			*learner = order[k].learner;
			*variant = order[k].variant;
			return true;
		}
	for (int k = 0; k < n_learners; k++)
		if (training_wants(t, learners[k]) && !is_scheduled(learners[k], order, n) && i-- == 0)
		{
			*learner = learners[k];
			*variant = 0;
			return true;
		}
	return false;
}

/* Is it the only learner that will be tried? */
static bool
is_alone(const Training *t, const PgmlLearner *learner)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
		if (learners[i] != learner && training_wants(t, learners[i]))
			return false;
	return true;
}

/* The learner's line of `shares`. */
static int
share_of(const PgmlLearner *learner)
{
	int i = 0;

	while (shares[i].learner != NULL && shares[i].learner != learner)
		i++;
	return i;
}

double
training_time_share(const Training *t, const PgmlLearner *learner)
{
	return is_alone(t, learner) ? ALONE_ENDED : shares[share_of(learner)].ended;
}

bool
training_is_promising(const Training *t, const PgmlLearner *learner)
{
	const PgmlTrial *best = NULL;
	double baseline = t->result->trials[0].validation_score;

	if (t->n_train < MANY_ROWS || t->best == NULL)
		return true;
	for (int i = 0; i < t->result->n_trials; i++)
	{
		const PgmlTrial *trial = &t->result->trials[i];

		if (trial->learner == learner && !isnan(trial->validation_score) &&
			(best == NULL || pgml_metric_better(t->result->metric, trial->validation_score,
												best->validation_score)))
			best = trial;
	}
	return best == NULL || fabs(t->best->validation_score - best->validation_score) <=
							   FAR_BEHIND * fabs(t->best->validation_score - baseline);
}

double
training_round_seconds(const Training *t, double seconds_per_round)
{
	double fits = t->folds > 0 ? t->folds : 1;

	return fits * seconds_per_round / pgml_pool_threads(t->env->pool);
}

double
training_affordable_rounds(const Training *t, const PgmlLearner *learner, double seconds_per_round)
{
	double share = is_alone(t, learner) ? ALONE_PLANNED : shares[share_of(learner)].planned;
	double seconds = share * training_seconds_left(t);

	if (t->options->time_budget <= 0 || seconds_per_round <= 0)
		return 1e9;
	return seconds / training_round_seconds(t, seconds_per_round);
}
