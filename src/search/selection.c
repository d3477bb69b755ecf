/*
 * selection.c - which learners a training may use, and whether its settings can mean anything: known before any data
 * is read.
 */
#include "search/space.h"
#include "search/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool
training_names(const PgmlTrainOptions *o, const PgmlLearner *learner)
{
	for (int i = 0; i < o->n_algorithms; i++)
		if (strcmp(o->algorithms[i], learner->name) == 0)
			return true;
	return false;
}

bool
training_selects(const PgmlTrainOptions *o, const PgmlLearner *learner)
{
	bool any_wanted = false;

	if (training_constrains(o) && !learner->honours_constraints)
		return false;
	for (int i = 0; i < o->n_algorithms; i++)
	{
		const char *a = o->algorithms[i];

		if (a[0] == '-' && strcmp(a + 1, learner->name) == 0)
			return false;
		any_wanted |= a[0] != '-';
	}
	return training_names(o, learner) || (!any_wanted && !learner->only_when_named);
}

void
training_list_algorithms(unsigned tasks, char *list, size_t size)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);
	size_t used = 0;

	list[0] = '\0';
	for (int i = 0; i < n && used < size - 60; i++)
		if (learners[i]->tasks & tasks)
			used +=
				snprintf(list + used, size - used, "%s%.50s", used ? ", " : "", learners[i]->name);
}

PgmlStatus
training_check_task(Training *t)
{
	const PgmlTrainOptions *o = t->options;
	PgmlTask task = t->target.task;
	const char *kind = task == PGML_TASK_REGRESSION ? "numbers" : "classes";
	int n_named = 0, n_left_out = 0;
	const char *first = NULL;
	PgmlStatus status;
	char list[300];

	for (int i = 0; i < o->n_algorithms; i++)
	{
		const char *name = o->algorithms[i];

		if (name[0] == '-' || !training_selects(o, pgml_learner_find(name)))
			continue;
		n_named++;
		if (pgml_learner_find(name)->tasks & task)
			continue;
		n_left_out++;
		first = name;
		training_notice(t, true, "algorithm \"%s\" is left out: it does not predict %s", name,
						kind);
	}
	if (n_left_out == 0 || n_left_out < n_named)
		return PGML_OK;
	status =
		pgml_fail(t->env->error, PGML_ERR_BADARG,
				  "algorithm \"%s\" does not predict %s, and no other one is named", first, kind);
	training_list_algorithms(task, list, sizeof(list));
	pgml_fail_hint(t->env->error, "The algorithms for this target are %s.", list);
	return status;
}

PgmlStatus
training_set_hyperparam(const PgmlLearner *learner, PgmlParams *params, const PgmlHyperparam *hp,
						PgmlError *error)
{
	if (hp->text != NULL)
		return pgml_params_set_text(learner, params, hp->name, hp->text, error);
	return pgml_params_set(learner, params, hp->name, hp->value, error);
}

void
training_set_hyperparams(const PgmlLearner *learner, PgmlParams *params, const PgmlTrainOptions *o)
{
	for (int own = 0; own < 2; own++)
		for (int i = 0; i < o->n_hyperparams; i++)
		{
			const PgmlHyperparam *hp = &o->hyperparams[i];
			int param = pgml_param_index(learner, hp->name);

			if (param >= 0 && own == (strcmp(hp->name, learner->params[param].name) == 0))
				(void) training_set_hyperparam(learner, params, hp, NULL);
		}
}

/* A hyperparameter that no learner that has it can use for this target: no trial would do what was asked for. */
static PgmlStatus
check_setting(Training *t, const PgmlHyperparam *hp)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);
	PgmlError refusal = { 0 };
	bool refused = false;

	for (int i = 0; i < n; i++)
	{
		PgmlParams params;
		PgmlError error = { 0 };

		if (!training_selects(t->options, learners[i]) || !(learners[i]->tasks & t->target.task))
			continue;
		pgml_params_default(learners[i], &params);
		if (training_set_hyperparam(learners[i], &params, hp, NULL) != PGML_OK)
			continue;
		if (learners[i]->check == NULL ||
			learners[i]->check(learners[i], &params, t->target.task, t->target.n_classes, &error) ==
				PGML_OK)
			return PGML_OK;
		if (!refused)
			refusal = error;
		refused = true;
	}
	if (!refused)
		return PGML_OK;
	*t->env->error = refusal;
	return PGML_ERR_BADARG;
}

PgmlStatus
training_check_settings(Training *t)
{
	for (int i = 0; i < t->options->n_hyperparams; i++)
		PGML_TRY(check_setting(t, &t->options->hyperparams[i]));
	return PGML_OK;
}

double
training_quantile(const PgmlTrainOptions *o)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
	{
		PgmlParams params;

		if (!training_selects(o, learners[i]) || learners[i]->quantile == NULL)
			continue;
		pgml_params_default(learners[i], &params);
		training_set_hyperparams(learners[i], &params, o);
		if (learners[i]->quantile(&params) > 0)
			return learners[i]->quantile(&params);
	}
	return 0;
}

const PgmlMetric *
training_metric_for(const Training *t, const PgmlMetric *metric)
{
	if (!(metric->tasks & t->target.task))
		return NULL;
	if (metric->quantile == 0)
		return metric;
	return t->quantile > 0 ? &t->pinball : NULL;
}

/* A learner that is asked for by name must be able to do what is asked of it. */
static PgmlStatus
check_honours(const PgmlTrainOptions *o, const char *name, PgmlError *error)
{
	PgmlStatus status;

	if (!training_constrains(o) || name[0] == '-' || pgml_learner_find(name)->honours_constraints)
		return PGML_OK;
	status = pgml_fail(error, PGML_ERR_BADARG,
					   "algorithm \"%s\" cannot keep to monotone_constraints or "
					   "interaction_constraints",
					   name);
	pgml_fail_hint(error, "Leave it or the constraints out; gradient_boosting keeps to them.");
	return status;
}

/* Is a learner selected? The constant keeps to all constraints, but is no model to be left with unless it was named. */
static bool
leaves_one(const PgmlTrainOptions *o)
{
	int n, n_named = 0;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < o->n_algorithms; i++)
		n_named += o->algorithms[i][0] != '-';
	for (int i = 0; i < n; i++)
		if (training_selects(o, learners[i]) &&
			(learners[i] != &pgml_learner_constant || n_named > 0 || !training_constrains(o)))
			return true;
	return false;
}

/* Every name in algorithms must be a learner, and some learner must be left. */
static PgmlStatus
check_algorithms(const PgmlTrainOptions *o, PgmlError *error)
{
	char list[300];
	PgmlStatus status;

	training_list_algorithms(PGML_TASK_ANY, list, sizeof(list));
	for (int i = 0; i < o->n_algorithms; i++)
	{
		const char *a = o->algorithms[i];

		if (pgml_learner_find(a[0] == '-' ? a + 1 : a))
		{
			PGML_TRY(check_honours(o, a, error));
			continue;
		}
		status = pgml_fail(error, PGML_ERR_BADARG, "unknown algorithm \"%.100s\"", a);
		pgml_fail_hint(error, "The algorithms are %s; a name after a minus sign is left out.",
					   list);
		return status;
	}
	if (leaves_one(o))
		return PGML_OK;
	status = pgml_fail(error, PGML_ERR_BADARG, "the list of algorithms leaves none to train with");
	if (training_constrains(o))
		pgml_fail_hint(error, "gradient_boosting is needed: it keeps to constraints.");
	else
		pgml_fail_hint(error, "The algorithms are %s; leave out fewer of them.", list);
	return status;
}

/*
 * A hyperparameter must be known to, and in the range of, at least one selected learner.  Otherwise one that knows it says what is wrong, or
 * one that has a setting of nearly that name, or else the only one that has settings at all.
 */
static PgmlStatus
check_hyperparam(const PgmlTrainOptions *o, const PgmlHyperparam *hp, PgmlError *error)
{
	int n, asked = 0;
	const PgmlLearner *const *learners = pgml_learners(&n);
	const PgmlLearner *speaker = NULL, *knowing = NULL, *guessing = NULL;
	PgmlParams params;
	PgmlStatus status;

	for (int i = 0; i < n; i++)
	{
		PgmlError refusal = { 0 };

		if (!training_selects(o, learners[i]) || learners[i]->n_params == 0)
			continue;
		pgml_params_default(learners[i], &params);
		if (training_set_hyperparam(learners[i], &params, hp, &refusal) == PGML_OK)
			return PGML_OK;
		if (!knowing && !isnan(pgml_param(learners[i], &params, hp->name)))
			knowing = learners[i];
		if (!guessing && strncmp(refusal.hint, "Did you mean", 12) == 0)
			guessing = learners[i];
		speaker = learners[i];
		asked++;
	}
	if (knowing || guessing || asked == 1)
	{
		speaker = knowing ? knowing : guessing ? guessing : speaker;
		pgml_params_default(speaker, &params);
		return training_set_hyperparam(speaker, &params, hp, error);
	}
	status = pgml_fail(error, PGML_ERR_BADARG,
					   "no selected algorithm has the hyperparameter \"%.100s\"", hp->name);
	pgml_fail_hint(error, "Leave it out, or select other algorithms.");
	return status;
}

/* Do two names stand for one setting, for all selected learners that know one of them? */
static bool
names_agree(const PgmlTrainOptions *o, const char *a, const char *b)
{
	int n;
	bool agree = false;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
	{
		int first = pgml_param_index(learners[i], a);
		int second = pgml_param_index(learners[i], b);

		if (!training_selects(o, learners[i]) || (first < 0 && second < 0))
			continue;
		if (first != second)
			return false;
		agree = true;
	}
	return agree;
}

/* A setting that is given twice, by two of its names, leaves open which value counts. */
static PgmlStatus
check_given_once(const PgmlTrainOptions *o, int number, PgmlError *error)
{
	const char *name = o->hyperparams[number].name;

	for (int i = 0; i < number; i++)
	{
		if (!names_agree(o, name, o->hyperparams[i].name))
			continue;
		pgml_fail(error, PGML_ERR_BADARG,
				  "hyperparams have setting \"%.100s\" twice, also as \"%.100s\"", name,
				  o->hyperparams[i].name);
		pgml_fail_hint(error, "Give it once.");
		return PGML_ERR_BADARG;
	}
	return PGML_OK;
}

/* A metric that knows quantiles asks for models that predict one. */
static PgmlStatus
check_metric(const PgmlTrainOptions *o, PgmlError *error)
{
	const PgmlMetric *metric = o->metric ? pgml_metric_find(o->metric) : NULL;
	PgmlStatus status;

	if (metric == NULL || metric->quantile == 0 || training_quantile(o) > 0)
		return PGML_OK;
	status = pgml_fail(error, PGML_ERR_BADARG,
					   "metric \"%s\" is for models that predict a quantile", metric->name);
	pgml_fail_hint(error, "Ask for one, for example hyperparams => '{\"objective\": \"quantile\", "
						  "\"alpha\": 0.9}'; without, metric mae is for the median.");
	return status;
}

PgmlStatus
pgml_automl_check(const PgmlTrainOptions *options, PgmlError *error)
{
	PGML_TRY(check_algorithms(options, error));
	for (int h = 0; h < options->n_hyperparams; h++)
	{
		PGML_TRY(check_hyperparam(options, &options->hyperparams[h], error));
		PGML_TRY(check_given_once(options, h, error));
	}
	PGML_TRY(check_metric(options, error));
	return pgml_search_check(options, error);
}
