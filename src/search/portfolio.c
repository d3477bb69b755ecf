/*
 * portfolio.c - settings number i of a learner, as its portfolio, the data, the time left and the user want them.
 */
#include "search/portfolio.h"

#include <math.h>
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
	training_set_hyperparams(learner, params, t->options);
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

/* Is it one of the names? */
static bool
is_listed(const char *const *names, const char *name)
{
	for (int i = 0; i < PGML_MAX_SETTINGS && names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Are settings the same, apart from those that a portfolio makes from data and time?  Stored numbers have passed through text. */
static bool
is_same(const PgmlLearner *learner, const Portfolio *p, const PgmlParams *a, const PgmlParams *b)
{
	for (int i = 0; i < learner->n_params; i++)
	{
		const char *name = learner->params[i].name;

		if (p != NULL && (is_listed(p->planned, name) || is_listed(p->fitted, name)))
			continue;
		if (fabs(a->v[i] - b->v[i]) > 1e-9 * fabs(a->v[i]))
			return false;
	}
	return true;
}

int
training_variant(const Training *t, const PgmlLearner *learner, const PgmlParams *found)
{
	const Portfolio *p = find_portfolio(learner);
	bool regression = t->target.task == PGML_TASK_REGRESSION;
	int n = p == NULL ? 1 : regression ? p->n_regression : p->n_classes;
	PgmlParams fixed = *found, params;

	apply_fixed(t, learner, &fixed);
	for (int i = 0; i < n; i++)
		if (training_portfolio(t, learner, i, &params) && is_same(learner, p, &fixed, &params))
			return i;
	return -1;
}

bool
training_found_settings(const Training *t, const PgmlLearner *learner, const PgmlParams *found,
						PgmlParams *params)
{
	const Portfolio *p = find_portfolio(learner);

	*params = *found;
	if (p != NULL && p->suits != NULL && !p->suits(t, learner, params))
		return false;
	if (p != NULL && p->scale != NULL)
	{
		p->scale(t, learner, params);
		for (int i = 0; i < learner->n_params; i++)
			if (!is_listed(p->planned, learner->params[i].name))
				params->v[i] = found->v[i];
	}
	apply_fixed(t, learner, params);
	return true;
}
