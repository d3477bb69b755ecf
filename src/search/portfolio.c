/*
 * portfolio.c - settings number i of a learner, as its portfolio, the data, the time left and the user want them.
 */
#include "search/portfolio.h"

#include <string.h>

static const Portfolio *const portfolios[] = {
	&pgml_portfolio_boosting,    &pgml_portfolio_oblivious, &pgml_portfolio_random_forest,
	&pgml_portfolio_extra_trees, &pgml_portfolio_mlp,       &pgml_portfolio_svm,
	&pgml_portfolio_knn,
};

#define N_PORTFOLIOS ((int) (sizeof(portfolios) / sizeof(portfolios[0])))

void
training_set(const PgmlLearner *learner, PgmlParams *params, const char *name, double value)
{
	for (int i = 0; i < learner->n_params; i++)
		if (strcmp(learner->params[i].name, name) == 0)
			params->v[i] = value;
}

/* Settings of the user replace the portfolio's. A fixed number of trees means that many. */
static void
apply_fixed(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	bool fixed_rounds = false, fixed_stopping = false;

	for (int i = 0; i < t->options->n_hyperparams; i++)
		(void) training_set_hyperparam(learner, params, &t->options->hyperparams[i], NULL);
	for (int i = 0; i < learner->n_params; i++)
	{
		fixed_rounds |= params->given[i] && strcmp(learner->params[i].name, "n_estimators") == 0;
		fixed_stopping |=
			params->given[i] && strcmp(learner->params[i].name, "early_stopping_round") == 0;
	}
	if (fixed_rounds && !fixed_stopping)
		training_set(learner, params, "early_stopping_round", 0);
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
