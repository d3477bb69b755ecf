/*
 * space_create.c - the space of a learner, from its ranges and what the user wants.
 */
#include "search/ranges.h"
#include "search/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything that a space is made from. */
typedef struct Maker
{
	const PgmlEnv *env;
	PgmlArena *arena;
	const PgmlTrainOptions *options;
	const PgmlSpaceData *data;
	bool only_listed;
	const PgmlRanges *ranges; /* NULL: none */
	PgmlSpace *space;
} Maker;

/* What the user lists for a setting of a learner: for it alone before what is for all; NULL: nothing. */
static const PgmlSearchSetting *
find_listed(const PgmlTrainOptions *o, const PgmlLearner *learner, int param)
{
	const PgmlSearchSetting *found = NULL;

	for (int i = 0; i < o->n_search_space; i++)
	{
		const PgmlSearchSetting *s = &o->search_space[i];

		if (s->learner != NULL && strcmp(s->learner, learner->name) != 0)
			continue;
		if (pgml_param_index(learner, s->name) == param && (found == NULL || s->learner != NULL))
			found = s;
	}
	return found;
}

bool
pgml_search_lists(const PgmlTrainOptions *options, const PgmlLearner *learner)
{
	for (int i = 0; i < learner->n_params; i++)
		if (find_listed(options, learner, i) != NULL)
			return true;
	return false;
}

/* The range of a setting; NULL when it has none. */
static const PgmlRange *
find_range(const Maker *m, int param)
{
	for (int i = 0; m->ranges != NULL && i < m->ranges->n; i++)
		if (strcmp(m->ranges->range[i].name, m->space->learner->params[param].name) == 0)
			return &m->ranges->range[i];
	return NULL;
}

/* Is the range for such data? */
static bool
applies(const Maker *m, const PgmlRange *range)
{
	bool numbers;

	if (m->data == NULL)
		return true;
	numbers = m->data->task == PGML_TASK_REGRESSION;
	return !((range->flags & PGML_RANGE_CLASSES) && numbers) &&
		   !((range->flags & PGML_RANGE_NUMBERS) && !numbers) &&
		   !((range->flags & PGML_RANGE_CATEGORIES) && !m->data->has_categories);
}

/* Put a value into the list of a dimension, numbers in order; each once. */
static void
add_value(PgmlDomain *dim, double *list, double value)
{
	int place = dim->n_values;

	for (int i = 0; i < dim->n_values; i++)
		if (list[i] == value)
			return;
	while (dim->ordered && place > 0 && list[place - 1] > value)
		place--;
	memmove(list + place + 1, list + place, (size_t) (dim->n_values - place) * sizeof(double));
	list[place] = value;
	dim->n_values++;
}

/* Room for n values. */
static PgmlStatus
begin_list(const Maker *m, int64_t n, double **list)
{
	*list = pgml_array(m->arena, (size_t) n + 1, sizeof(double));
	return *list != NULL ? PGML_OK : pgml_fail_nomem(m->env, "the search space");
}

/* The words or numbers of a range. */
static PgmlStatus
read_words(const Maker *m, const char *words, PgmlDomain *dim)
{
	const PgmlParam *param = &m->space->learner->params[dim->param];
	char text[200];
	double *list;
	char *rest = text;

	PGML_TRY(begin_list(m, (int64_t) strlen(words), &list));
	strncpy(text, words, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	dim->ordered = param->type != PGML_PARAM_CHOICE && param->type != PGML_PARAM_BOOL;
	for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
		add_value(dim, list,
				  param->type == PGML_PARAM_CHOICE ? pgml_param_value(param, word) :
													 strtod(word, NULL));
	dim->values = list;
	return PGML_OK;
}

/* The ends of a range that depend on the data. */
static void
fit_to_data(const Maker *m, unsigned flags, PgmlDomain *dim)
{
	if (m->data == NULL)
		return;
	if (flags & PGML_RANGE_PER_FEATURE)
	{
		dim->low /= fmax(m->data->n_features, 1);
		dim->high /= fmax(m->data->n_features, 1);
	}
	if (flags & PGML_RANGE_FEW_ROWS)
		dim->high = fmax(fmin(dim->high, floor((double) m->data->n_rows / 10)), dim->low + 1);
}

/* A dimension from one of our ranges. */
static PgmlStatus
use_range(const Maker *m, const PgmlRange *range, PgmlDomain *dim)
{
	if (range->values != NULL)
		return read_words(m, range->values, dim);
	dim->ordered = true;
	dim->low = range->low;
	dim->high = range->high;
	dim->log_scale = (range->flags & PGML_RANGE_LOG) != 0;
	fit_to_data(m, range->flags, dim);
	return PGML_OK;
}

/* Values at equal distances: those that the user wants, or for a grid all whole numbers. */
static PgmlStatus
take_steps(const Maker *m, int64_t steps, PgmlDomain *dim)
{
	double *list;

	PGML_TRY(begin_list(m, steps, &list));
	for (int64_t i = 0; i < steps; i++)
	{
		double share = (double) i / (double) (steps - 1);
		double value = dim->log_scale ? dim->low * pow(dim->high / dim->low, share) :
										dim->low + share * (dim->high - dim->low);

		value = i == 0 ? dim->low : i == steps - 1 ? dim->high : value;
		add_value(dim, list, dim->whole ? floor(value + 0.5) : value);
	}
	dim->values = list;
	return PGML_OK;
}

/* A dimension from what the user lists, which was checked. */
static PgmlStatus
use_listed(const Maker *m, const PgmlSearchSetting *s, PgmlDomain *dim)
{
	const PgmlLearner *learner = m->space->learner;
	const PgmlParam *param = &learner->params[dim->param];
	int64_t whole = (int64_t) fmin(s->high - s->low + 1, INT32_MAX);
	double *list;
	size_t len;

	dim->listed = true;
	dim->ordered = param->type != PGML_PARAM_CHOICE && param->type != PGML_PARAM_BOOL;
	if (s->values == NULL)
	{
		dim->low = s->low;
		dim->high = s->high;
		dim->log_scale = s->log < 0 ? param->log_scale && s->low > 0 : s->log;
		if (s->steps > 0 && (!dim->whole || s->steps < whole))
			return take_steps(m, s->steps, dim);
		/* All of the whole numbers are the same values on any scale. */
		dim->log_scale &= !(m->only_listed && dim->whole);
		return m->only_listed && dim->whole && whole <= PGML_MAX_TRIALS ?
				   take_steps(m, whole, dim) :
				   PGML_OK;
	}
	PGML_TRY(begin_list(m, s->n_values, &list));
	for (int i = 0; i < s->n_values; i++)
	{
		PgmlParams params;

		PGML_TRY(training_set_hyperparam(learner, &params, &s->values[i], m->env->error));
		/* Words among numbers have no place in their order. */
		dim->ordered &= pgml_param_word(param, params.v[dim->param], &len) == NULL;
		add_value(dim, list, params.v[dim->param]);
	}
	dim->values = list;
	return PGML_OK;
}

/* The dimension of one setting, if it is one. */
static PgmlStatus
add_dimension(Maker *m, int param)
{
	PgmlSpace *space = m->space;
	const PgmlRange *range = find_range(m, param);
	const PgmlSearchSetting *listed = find_listed(m->options, space->learner, param);
	PgmlDomain *dim = &space->dim[space->n_dims];

	if (space->base.given[param])
		return PGML_OK;
	if (listed == NULL && (m->only_listed || range == NULL || !applies(m, range)))
		return PGML_OK;
	*dim = (PgmlDomain){ .param = param,
						 .parent = -1,
						 .whole = space->learner->params[param].type == PGML_PARAM_INT };
	PGML_TRY(listed != NULL ? use_listed(m, listed, dim) : use_range(m, range, dim));
	space->n_dims++;
	return PGML_OK;
}

/* Dimension of a setting, -1 when it is none. */
static int
find_dimension(const PgmlSpace *space, int param)
{
	for (int i = 0; i < space->n_dims; i++)
		if (space->dim[i].param == param)
			return i;
	return -1;
}

/* Can a dimension have the value? */
static bool
can_be(const PgmlDomain *dim, double value)
{
	for (int i = 0; i < dim->n_values; i++)
		if (dim->values[i] == value)
			return true;
	return dim->n_values == 0 && value >= dim->low && value <= dim->high;
}

/* What dimension i depends on; false when it can never count. */
static bool
link_parent(const Maker *m, int i)
{
	PgmlSpace *space = m->space;
	PgmlDomain *dim = &space->dim[i];
	const PgmlRange *range = find_range(m, dim->param);
	const PgmlParam *parent;
	int param, at;
	double value;

	if (range == NULL || range->when == NULL)
		return true;
	param = pgml_param_index(space->learner, range->when);
	parent = &space->learner->params[param];
	value = parent->type == PGML_PARAM_CHOICE ? pgml_param_value(parent, range->is) :
												strtod(range->is, NULL);
	at = find_dimension(space, param);
	if (at < 0)
		return dim->listed || space->base.v[param] == value;
	if (!can_be(&space->dim[at], value))
		return false;
	dim->parent = at;
	dim->parent_value = value;
	return true;
}

/* Link dimensions to those that they depend on, and drop those that never count; no parent has a parent. */
static void
link_parents(const Maker *m)
{
	PgmlSpace *space = m->space;
	bool keep[PGML_MAX_PARAMS];
	int place[PGML_MAX_PARAMS];
	int n = 0;

	for (int i = 0; i < space->n_dims; i++)
		keep[i] = link_parent(m, i);
	for (int i = 0; i < space->n_dims; i++)
	{
		place[i] = n;
		n += keep[i];
	}
	for (int i = 0; i < space->n_dims; i++)
	{
		PgmlDomain dim = space->dim[i];

		if (!keep[i])
			continue;
		if (dim.parent >= 0)
			dim.parent = place[dim.parent];
		space->dim[place[i]] = dim;
	}
	space->n_dims = n;
}

/* What a cheap trial has less of. */
static void
set_resource(const Maker *m)
{
	PgmlSpace *space = m->space;
	const PgmlRanges *ranges = m->ranges;
	double all = m->data != NULL ? (double) m->data->n_rows : 0;

	space->resource = PGML_RESOURCE_ROWS;
	if (ranges != NULL && ranges->rounds != NULL)
	{
		space->resource = PGML_RESOURCE_ROUNDS;
		space->resource_param = pgml_param_index(space->learner, ranges->rounds);
		all = space->base.v[space->resource_param];
	}
	space->least = ranges != NULL && all > ranges->least ? ranges->least / all : 1;
}

PgmlStatus
pgml_space_create(const PgmlEnv *env, PgmlArena *arena, const PgmlTrainOptions *options,
				  const PgmlLearner *learner, const PgmlParams *base, const PgmlSpaceData *data,
				  bool only_listed, PgmlSpace *space)
{
	Maker m = { .env = env,
				.arena = arena,
				.options = options,
				.data = data,
				.only_listed = only_listed,
				.ranges = pgml_ranges_of(learner),
				.space = space };

	*space = (PgmlSpace){ .learner = learner, .base = *base };
	for (int i = 0; i < learner->n_params; i++)
		PGML_TRY(add_dimension(&m, i));
	link_parents(&m);
	set_resource(&m);
	return PGML_OK;
}
