/*
 * search_check.c - whether a search and its search_space can mean anything: known before any data is read.
 */
#include "search/ranges.h"
#include "search/strategy.h"
#include "search/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXAMPLE                                                                                    \
	"For example '{\"learning_rate\": {\"range\": [0.01, 0.3]}, \"num_leaves\": [15, 31, 63]}'."

bool
pgml_search_uses(const char *search, const PgmlLearner *learner)
{
	const PgmlStrategy *strategy = search != NULL ? pgml_strategy_find(search) : NULL;
	const PgmlRanges *ranges = pgml_ranges_of(learner);

	if (learner == &pgml_learner_constant)
		return false;
	return strategy == NULL || !strategy->networks || (ranges != NULL && ranges->network);
}

/* Is the learner selected and used by the search? */
static bool
takes_part(const PgmlTrainOptions *o, const PgmlLearner *learner)
{
	return pgml_search_uses(o->search, learner) && training_selects(o, learner);
}

static PgmlStatus
check_strategy(const PgmlTrainOptions *o, PgmlError *error)
{
	const PgmlStrategy *const *strategies;
	char list[200] = "auto";
	size_t used = 4;
	int n;

	if (o->search == NULL || pgml_strategy_find(o->search) != NULL)
		return PGML_OK;
	strategies = pgml_strategies(&n);
	for (int i = 0; i < n && used < sizeof(list); i++)
		used += (size_t) snprintf(list + used, sizeof(list) - used, ", %s", strategies[i]->name);
	pgml_fail(error, PGML_ERR_BADARG, "unknown search \"%.100s\"", o->search);
	pgml_fail_hint(error, "It is one of: %s.", list);
	return PGML_ERR_BADARG;
}

/* Some learner must be left to search for. */
static PgmlStatus
check_learners(const PgmlTrainOptions *o, PgmlError *error)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	if (o->search == NULL)
		return PGML_OK;
	for (int i = 0; i < n; i++)
		if (takes_part(o, learners[i]))
			return PGML_OK;
	pgml_fail(error, PGML_ERR_BADARG, "search \"%s\" has none of the algorithms to search for",
			  o->search);
	if (pgml_strategy_find(o->search)->networks)
		pgml_fail_hint(error, "It is for networks: add \"mlp\" to algorithms.");
	else
		pgml_fail_hint(error, "Select an algorithm that has settings.");
	return PGML_ERR_BADARG;
}

/* The learner that a setting is for must be there and take part. */
static PgmlStatus
check_owner(const PgmlTrainOptions *o, const PgmlSearchSetting *s, PgmlError *error)
{
	const PgmlLearner *learner;

	if (s->learner == NULL)
		return PGML_OK;
	learner = pgml_learner_find(s->learner);
	if (learner == NULL)
	{
		char list[300];

		training_list_algorithms(PGML_TASK_ANY, list, sizeof(list));
		pgml_fail(error, PGML_ERR_BADARG,
				  "search_space has settings for \"%.100s\", which is no algorithm", s->learner);
		pgml_fail_hint(error, "The algorithms are %s.", list);
		return PGML_ERR_BADARG;
	}
	if (takes_part(o, learner))
		return PGML_OK;
	pgml_fail(
		error, PGML_ERR_BADARG,
		"search_space has settings for \"%s\", which is not among the algorithms that are tried",
		s->learner);
	pgml_fail_hint(error, "Add it to algorithms, or leave its settings out.");
	return PGML_ERR_BADARG;
}

/* A value must be one that the setting can have. */
static PgmlStatus
check_value(const PgmlLearner *learner, const PgmlSearchSetting *s, const PgmlHyperparam *value,
			PgmlError *error)
{
	PgmlParams params;
	PgmlStatus status = training_set_hyperparam(learner, &params, value, error);

	if (status != PGML_OK && s->learner == NULL && error != NULL && error->hint[0] == '\0')
		pgml_fail_hint(
			error,
			"Values for one algorithm only are given under its name: {\"%s\": {\"%s\": ...}}.",
			learner->name, s->name);
	return status;
}

static PgmlStatus
check_range(const PgmlTrainOptions *o, const PgmlLearner *learner, const PgmlSearchSetting *s,
			const PgmlParam *param, PgmlError *error)
{
	PgmlHyperparam low = { .name = s->name, .value = s->low };
	PgmlHyperparam high = { .name = s->name, .value = s->high };
	const PgmlStrategy *strategy = o->search != NULL ? pgml_strategy_find(o->search) : NULL;

	if (param->type == PGML_PARAM_CHOICE || param->type == PGML_PARAM_BOOL)
	{
		pgml_fail(error, PGML_ERR_BADARG, "search_space: \"%s\" is no number, it has no range",
				  s->name);
		pgml_fail_hint(error, "Give a list of values: {\"%s\": [...]}.", s->name);
		return PGML_ERR_BADARG;
	}
	if (!(s->low < s->high))
	{
		pgml_fail(
			error, PGML_ERR_BADARG,
			"search_space: the range of \"%s\" must go from a smaller to a larger number, not "
			"from %g to %g",
			s->name, s->low, s->high);
		pgml_fail_hint(error, "Fix a setting in hyperparams when it has one value.");
		return PGML_ERR_BADARG;
	}
	PGML_TRY(check_value(learner, s, &low, error));
	PGML_TRY(check_value(learner, s, &high, error));
	if (s->log == 1 && s->low <= 0)
	{
		pgml_fail(error, PGML_ERR_BADARG,
				  "search_space: a logarithmic range of \"%s\" must begin above 0, not at %g",
				  s->name, s->low);
		pgml_fail_hint(error, "Begin with a small number, or leave \"log\" out.");
		return PGML_ERR_BADARG;
	}
	if (strategy != NULL && strategy->only_listed && s->steps == 0 && param->type != PGML_PARAM_INT)
	{
		pgml_fail(error, PGML_ERR_BADARG,
				  "search_space: a grid cannot have all numbers of the range of \"%s\"", s->name);
		pgml_fail_hint(error,
					   "Say how many: {\"%s\": {\"range\": [%g, %g], \"n\": 5}}, or list them.",
					   s->name, s->low, s->high);
		return PGML_ERR_BADARG;
	}
	return PGML_OK;
}

/* What one learner says to a setting that it knows. */
static PgmlStatus
check_for(const PgmlTrainOptions *o, const PgmlLearner *learner, int number, PgmlError *error)
{
	const PgmlSearchSetting *s = &o->search_space[number];
	int param = pgml_param_index(learner, s->name);

	for (int i = 0; i < o->n_hyperparams; i++)
		if (pgml_param_index(learner, o->hyperparams[i].name) == param)
		{
			pgml_fail(error, PGML_ERR_BADARG,
					  "setting \"%s\" is fixed in hyperparams and varied in search_space", s->name);
			pgml_fail_hint(error, "Leave it out of one of them.");
			return PGML_ERR_BADARG;
		}
	for (int i = 0; i < number; i++)
	{
		const PgmlSearchSetting *other = &o->search_space[i];

		if ((other->learner == NULL) == (s->learner == NULL) &&
			(s->learner == NULL || strcmp(s->learner, other->learner) == 0) &&
			pgml_param_index(learner, other->name) == param)
		{
			pgml_fail(error, PGML_ERR_BADARG,
					  "search_space has setting \"%s\" twice, also as \"%s\"", s->name,
					  other->name);
			pgml_fail_hint(error, "Give it once.");
			return PGML_ERR_BADARG;
		}
	}
	if (s->values == NULL)
		return check_range(o, learner, s, &learner->params[param], error);
	for (int i = 0; i < s->n_values; i++)
		PGML_TRY(check_value(learner, s, &s->values[i], error));
	return PGML_OK;
}

/* Could the setting be one of the learner's? */
static bool
is_for(const PgmlTrainOptions *o, const PgmlSearchSetting *s, const PgmlLearner *learner)
{
	return takes_part(o, learner) && (s->learner == NULL || strcmp(s->learner, learner->name) == 0);
}

/* No learner knows the setting: the one that has a name like it says so, or else the first that has settings. */
static PgmlStatus
fail_unknown(const PgmlTrainOptions *o, const PgmlSearchSetting *s, PgmlError *error)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);
	const PgmlHyperparam value = { .name = s->name };
	PgmlStatus status = PGML_OK;

	for (int i = 0; i < n; i++)
	{
		PgmlError said = { 0 };
		PgmlParams params;

		if (!is_for(o, s, learners[i]) || learners[i]->n_params == 0)
			continue;
		(void) training_set_hyperparam(learners[i], &params, &value, &said);
		if (status != PGML_OK && strncmp(said.hint, "Did you mean", 12) != 0)
			continue;
		status = pgml_fail(error, PGML_ERR_BADARG, "%s", said.message);
		pgml_fail_hint(error, "%s", said.hint);
		if (strncmp(said.hint, "Did you mean", 12) == 0)
			return status;
	}
	if (status != PGML_OK)
		return status;
	return pgml_fail(error, PGML_ERR_BADARG, "no selected algorithm has the setting \"%.100s\"",
					 s->name);
}

/* Some learner must know the setting, and every learner that knows it must be able to have the values. */
static PgmlStatus
check_setting(const PgmlTrainOptions *o, int number, PgmlError *error)
{
	const PgmlSearchSetting *s = &o->search_space[number];
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);
	bool known = false;

	PGML_TRY(check_owner(o, s, error));
	if (s->values != NULL && s->n_values == 0)
	{
		pgml_fail(error, PGML_ERR_BADARG, "search_space: the list of \"%.100s\" is empty", s->name);
		pgml_fail_hint(error, "%s", EXAMPLE);
		return PGML_ERR_BADARG;
	}
	for (int i = 0; i < n; i++)
	{
		if (!is_for(o, s, learners[i]) || pgml_param_index(learners[i], s->name) < 0)
			continue;
		known = true;
		PGML_TRY(check_for(o, learners[i], number, error));
	}
	return known ? PGML_OK : fail_unknown(o, s, error);
}

/* Points of a learner's grid, 0 for too many. */
static PgmlStatus
count_grid(const PgmlTrainOptions *o, const PgmlLearner *learner, PgmlError *error, int64_t *count)
{
	PgmlBudget budget;
	PgmlEnv env = { .budget = &budget, .error = error };
	PgmlArena *arena;
	PgmlSpace space;
	PgmlParams base;
	PgmlStatus status;

	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	if (arena == NULL)
		return pgml_fail_nomem(&env, "the search space");
	pgml_params_default(learner, &base);
	status = pgml_space_create(&env, arena, o, learner, &base, NULL, true, &space);
	*count = status == PGML_OK ? pgml_space_count(&space) : 0;
	pgml_arena_destroy(arena);
	return status;
}

/* A grid needs lists, and may not be larger than a training. */
static PgmlStatus
check_grid(const PgmlTrainOptions *o, PgmlError *error)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);
	int64_t total = 0, count;
	bool many = false;

	if (o->search == NULL || !pgml_strategy_find(o->search)->only_listed)
		return PGML_OK;
	if (o->n_search_space == 0)
	{
		pgml_fail(error, PGML_ERR_BADARG, "search \"%s\" needs a search_space", o->search);
		pgml_fail_hint(error, "Give lists: search_space => '{\"num_leaves\": [15, 31, 63]}'.");
		return PGML_ERR_BADARG;
	}
	for (int i = 0; i < n; i++)
	{
		if (!takes_part(o, learners[i]) || !pgml_search_lists(o, learners[i]))
			continue;
		PGML_TRY(count_grid(o, learners[i], error, &count));
		many |= count == 0;
		total += count;
	}
	if (!many && total <= PGML_MAX_TRIALS - 1)
		return PGML_OK;
	if (many)
		pgml_fail(error, PGML_ERR_BADARG, "the grid has more than a million points");
	else
		pgml_fail(error, PGML_ERR_BADARG, "the grid has %lld points, a training at most %d trials",
				  (long long) total, PGML_MAX_TRIALS - 1);
	pgml_fail_hint(error, "List fewer values, or search by \"random\" or \"bayes\".");
	return PGML_ERR_BADARG;
}

PgmlStatus
pgml_search_check(const PgmlTrainOptions *options, PgmlError *error)
{
	PGML_TRY(check_strategy(options, error));
	PGML_TRY(check_learners(options, error));
	for (int i = 0; i < options->n_search_space; i++)
		PGML_TRY(check_setting(options, i, error));
	return check_grid(options, error);
}
