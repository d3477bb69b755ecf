/*
 * warm.c - the settings that history suggests, see warm.h and warm_plan.h.
 *
 * Settings that are the portfolio's are tried as the portfolio has them, so that rounds and rates follow from the time that there is now
 * and no setting is tried twice.
 */
#include "search/warm_plan.h"

#include <math.h>
#include <string.h>

#include "search/space.h"
#include "search/strategy.h"
#include "search/tuning.h"

/* Trials of the model's own history, and of similar tables. */
#define MOST_OWN     6
#define MOST_SIMILAR 6

/* Tables that are similar: so many of the nearest, and none beyond this distance. */
#define NEAREST     3
#define NEAR_ENOUGH 1.0

/* Settings by name as params; false when the learner does not know one of them, or cannot have its value. */
static bool
read_settings(const PgmlWarmSetting *setting, const PgmlLearner *learner, PgmlParams *params)
{
	PgmlError ignored = { 0 };

	pgml_params_default(learner, params);
	for (int i = 0; i < setting->n; i++)
		if (training_set_hyperparam(learner, params, &setting->settings[i], &ignored) != PGML_OK)
			return false;
	memset(params->given, 0, sizeof(params->given));
	return true;
}

/* Does a value belong to an entry of search_space? */
static bool
is_within(const PgmlLearner *learner, const PgmlSearchSetting *s, double value)
{
	PgmlError ignored = { 0 };

	if (s->values == NULL)
		return value >= s->low && value <= s->high;
	for (int i = 0; i < s->n_values; i++)
	{
		PgmlParams params;

		pgml_params_default(learner, &params);
		if (training_set_hyperparam(learner, &params, &s->values[i], &ignored) == PGML_OK &&
			params.v[pgml_param_index(learner, s->name)] == value)
			return true;
	}
	return false;
}

/* Are settings such as the user's search could have tried? */
static bool
search_allows(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	const PgmlTrainOptions *o = t->options;

	if (!pgml_search_uses(o->search, learner) ||
		(o->search != NULL && pgml_strategy_find(o->search)->only_listed))
		return false;
	for (int i = 0; i < o->n_search_space; i++)
	{
		const PgmlSearchSetting *s = &o->search_space[i];
		int param = pgml_param_index(learner, s->name);

		if (param >= 0 && (s->learner == NULL || strcmp(s->learner, learner->name) == 0) &&
			!is_within(learner, s, params->v[param]))
			return false;
	}
	return true;
}

/* The trial of the plan that is the portfolio's setting; -1: none. */
static int
find_variant(const WarmPlan *plan, const PgmlLearner *learner, int variant)
{
	for (int i = 0; i < plan->n; i++)
		if (plan->trial[i].learner == learner && plan->trial[i].variant == variant)
			return i;
	return -1;
}

/* Is the setting in the plan, as far as it says something here? */
static bool
is_planned(const Training *t, const WarmPlan *plan, const WarmTrial *trial)
{
	PgmlParams a, b;

	if (trial->variant >= 0)
		return find_variant(plan, trial->learner, trial->variant) >= 0;
	for (int i = 0; i < plan->n; i++)
		if (plan->trial[i].learner == trial->learner && plan->trial[i].variant < 0 &&
			training_warm_settings(t, trial, &a) &&
			training_warm_settings(t, &plan->trial[i], &b) && memcmp(a.v, b.v, sizeof(a.v)) == 0)
			return true;
	return false;
}

/* Add a setting to the plan, unless it is there, or cannot be tried here; true when it was added. */
static bool
add(const Training *t, WarmPlan *plan, const PgmlWarmModel *model, int number)
{
	const PgmlWarmSetting *setting = &model->setting[number];
	WarmTrial *trial = &plan->trial[plan->n];
	const PgmlLearner *learner = pgml_learner_find(setting->learner);

	if (plan->n == PGML_MAX_WARM || learner == NULL || !training_wants(t, learner) ||
		(learner->needs_blas && !t->have_blas))
		return false;
	*trial = (WarmTrial){ .learner = learner,
						  .source = model->own_version > 0 ? PGML_SOURCE_OWN : PGML_SOURCE_SIMILAR,
						  .model = model->own_version > 0 ? 0 : model->id };
	if (!read_settings(setting, learner, &trial->found))
		return false;
	trial->variant = training_variant(t, learner, &trial->found);
	if (is_planned(t, plan, trial))
		return false;
	plan->n++;
	return true;
}

/* The models of the most similar tables, nearest first; returns how many. */
static int
find_nearest(const Training *t, const PgmlWarmModel **nearest)
{
	double distance[NEAREST + 1];
	int n = 0;

	for (int i = 0; i < t->options->n_warm_models; i++)
	{
		const PgmlWarmModel *model = &t->options->warm_model[i];
		double d = pgml_meta_distance(&t->result->meta, &model->meta);
		int place = n;

		if (model->own_version > 0 || model->task != t->target.task || !(d <= NEAR_ENOUGH))
			continue;
		for (; place > 0 && distance[place - 1] > d; place--)
			if (place < NEAREST)
			{
				distance[place] = distance[place - 1];
				nearest[place] = nearest[place - 1];
			}
		if (place < NEAREST)
		{
			distance[place] = d;
			nearest[place] = model;
			n += n < NEAREST;
		}
	}
	return n;
}

void
training_plan_warm(const Training *t, WarmPlan *plan)
{
	const PgmlTrainOptions *o = t->options;
	const PgmlWarmModel *nearest[NEAREST];
	int n_nearest = training_search_alone(o) ? 0 : find_nearest(t, nearest);
	int own = 0, similar = 0;

	plan->n = 0;
	for (int i = 0; i < o->n_warm_models; i++)
		for (int s = 0; o->warm_model[i].own_version > 0 && s < o->warm_model[i].n_settings; s++)
			if (own < MOST_OWN)
				own += add(t, plan, &o->warm_model[i], s);
	/* The best of each table, then the second ones. */
	for (int s = 0; s < PGML_WARM_SETTINGS; s++)
		for (int i = 0; i < n_nearest && similar < MOST_SIMILAR; i++)
			if (s < nearest[i]->n_settings)
				similar += add(t, plan, nearest[i], s);
}

bool
training_warm_settings(const Training *t, const WarmTrial *trial, PgmlParams *params)
{
	bool suits = trial->variant >= 0 ?
					 training_portfolio(t, trial->learner, trial->variant, params) :
					 training_found_settings(t, trial->learner, &trial->found, params);

	return suits &&
		   (!training_search_alone(t->options) || search_allows(t, trial->learner, params));
}

bool
training_warm_tried(const WarmPlan *plan, const PgmlLearner *learner, int variant)
{
	int i = find_variant(plan, learner, variant);

	return i >= 0 && plan->trial[i].tried;
}

void
training_warm_note(WarmPlan *plan, const PgmlLearner *learner, int variant)
{
	int i = find_variant(plan, learner, variant);

	if (i >= 0)
		plan->trial[i].tried = true;
}

/* Trials that came from there. */
static int
count_from(const PgmlTrainResult *r, PgmlTrialSource source)
{
	int n = 0;

	for (int i = 0; i < r->n_trials; i++)
		n += r->trials[i].source == source;
	return n;
}

int
training_own_version(const Training *t)
{
	for (int i = 0; i < t->options->n_warm_models; i++)
		if (t->options->warm_model[i].own_version > 0)
			return t->options->warm_model[i].own_version;
	return 0;
}

void
training_report_warm(Training *t)
{
	int own = count_from(t->result, PGML_SOURCE_OWN);
	int similar = count_from(t->result, PGML_SOURCE_SIMILAR);

	if (own > 0)
		training_notice(t, false, "tried first: %d setting%s of version %d", own,
						own > 1 ? "s" : "", training_own_version(t));
	/* No names: who may see this model may not see the others. */
	if (similar > 0)
		training_notice(t, false, "tried early: %d setting%s of models of similar tables", similar,
						similar > 1 ? "s" : "");
}
