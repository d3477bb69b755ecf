/*
 * portfolio.c - settings number i of a learner, as its portfolio, the data, the time left and the user want them.
 */
#include "search/portfolio.h"

#include <math.h>

static const Portfolio *const portfolios[] = {
	&pgml_portfolio_boosting,    &pgml_portfolio_oblivious, &pgml_portfolio_random_forest,
	&pgml_portfolio_extra_trees, &pgml_portfolio_mlp,       &pgml_portfolio_svm,
	&pgml_portfolio_knn,
};

#define N_PORTFOLIOS ((int) (sizeof(portfolios) / sizeof(portfolios[0])))

void
training_set(const PgmlLearner *learner, PgmlParams *params, const char *name, double value)
{
	int i = pgml_param_index(learner, name);

	if (i >= 0)
		params->v[i] = value;
}

void
training_keep_rounds(const PgmlLearner *learner, PgmlParams *params)
{
	int rounds = pgml_param_index(learner, "n_estimators");
	int stopping = pgml_param_index(learner, "early_stopping_round");

	if (rounds >= 0 && stopping >= 0 && params->given[rounds] && !params->given[stopping])
		params->v[stopping] = 0;
}

/* Settings of the user replace the portfolio's. */
static void
apply_fixed(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	for (int i = 0; i < t->options->n_hyperparams; i++)
		(void) training_set_hyperparam(learner, params, &t->options->hyperparams[i], NULL);
	training_keep_rounds(learner, params);
}

/* The learner's portfolio; NULL: its defaults are all that is tried. */
static const Portfolio *
find_portfolio(const PgmlLearner *learner)
{
	for (int i = 0; i < N_PORTFOLIOS; i++)
		if (portfolios[i]->learner == learner)
			return portfolios[i];
	return NULL;
}

double
training_expected_seconds(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	const Portfolio *p = find_portfolio(learner);

	return p != NULL && p->seconds != NULL ? p->seconds(t, learner, params) : NAN;
}

bool
training_portfolio(const Training *t, const PgmlLearner *learner, int i, PgmlParams *params)
{
	const Portfolio *p = find_portfolio(learner);
	bool regression = t->target.task == PGML_TASK_REGRESSION;
	int n = p == NULL ? 1 : regression ? p->n_regression : p->n_classes;

	pgml_params_default(learner, params);
	if (i > n || (i == n && (p == NULL || p->last == NULL)))
		return false;
	if (i == n)
		return p->last(t, learner, params);
	if (p != NULL)
	{
		const PgmlSetting *settings = regression ? p->regression[i] : p->classes[i];

		for (int j = 0; j < PGML_MAX_SETTINGS && settings[j].name != NULL; j++)
			training_set(learner, params, settings[j].name, settings[j].value);
		if (p->suits != NULL && !p->suits(t, learner, params))
			return false;
		if (p->scale != NULL)
			p->scale(t, learner, params);
	}
	apply_fixed(t, learner, params);
	return true;
}
