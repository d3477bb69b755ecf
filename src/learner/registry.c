/* registry.c - the learners by name, and their settings by name. */
#include "learner/learner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Longest name compared when a suggestion is looked for. */
#define MAX_NAME 40

/* In the order in which they are tried: from what always works to what takes longest. */
static const PgmlLearner *const learners[] = {
	&pgml_learner_constant,
	&pgml_learner_linear,
	&pgml_learner_gradient_boosting,
	&pgml_learner_random_forest,
	&pgml_learner_extra_trees,
	&pgml_learner_decision_tree,
	&pgml_learner_oblivious_boosting,
	&pgml_learner_naive_bayes,
	&pgml_learner_knn,
	&pgml_learner_mlp,
	&pgml_learner_svm,
};

#define N_LEARNERS ((int) (sizeof(learners) / sizeof(learners[0])))

const PgmlLearner *const *
pgml_learners(int *n)
{
	*n = N_LEARNERS;
	return learners;
}

/* The learner of that name; NULL when there is none. */
const PgmlLearner *
pgml_learner_find(const char *name)
{
	for (int i = 0; name != NULL && i < N_LEARNERS; i++)
		if (strcmp(learners[i]->name, name) == 0)
			return learners[i];
	return NULL;
}

/* Bytes of a payload times rows that predict() is taken to go through in about 20 ms; rows, at least. */
#define BYTES_AT_ONCE 1e9
#define LEAST_ROWS    8

int64_t
pgml_learner_rows_at_once(const PgmlLearner *learner, const uint8_t *payload, size_t payload_len,
						  const void *prepared)
{
	double rows;

	if (learner->rows_at_once != NULL)
		return learner->rows_at_once(payload, prepared);
	if (prepared != NULL)
		return INT64_MAX;
	rows = BYTES_AT_ONCE / ((double) payload_len + 1);
	return rows > LEAST_ROWS ? (int64_t) rows : LEAST_ROWS;
}

void
pgml_params_default(const PgmlLearner *learner, PgmlParams *params)
{
	memset(params, 0, sizeof(*params));
	for (int i = 0; i < learner->n_params; i++)
		params->v[i] = learner->params[i].def;
}

/* The next word of a list separated by blanks: its length at *word, 0 at the end. */
static size_t
next_word(const char **word)
{
	while (**word == ' ')
		(*word)++;
	return strcspn(*word, " ");
}

/* True when name is the setting's name or one of its aliases. */
static bool
param_has_name(const PgmlParam *param, const char *name)
{
	size_t len = strlen(name);

	if (strcmp(param->name, name) == 0)
		return true;
	if (param->aliases == NULL)
		return false;
	const char *word = param->aliases;
	for (size_t n = next_word(&word); n > 0; word += n, n = next_word(&word))
		if (n == len && memcmp(word, name, n) == 0)
			return true;
	return false;
}

int
pgml_param_index(const PgmlLearner *learner, const char *name)
{
	for (int i = 0; i < learner->n_params; i++)
		if (param_has_name(&learner->params[i], name))
			return i;
	return -1;
}

/* Insertions, deletions and replacements that turn a into b (Levenshtein 1966), case ignored. */
static int
edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	int row[MAX_NAME + 1];

	if (na > MAX_NAME || nb > MAX_NAME)
		return MAX_NAME;
	for (size_t j = 0; j <= nb; j++)
		row[j] = (int) j;
	for (size_t i = 1; i <= na; i++)
	{
		int diagonal = row[0];

		row[0] = (int) i;
		for (size_t j = 1; j <= nb; j++)
		{
			/* Letters differ from their capitals in this bit; other characters may match wrongly, harmlessly. */
			int best = diagonal + ((a[i - 1] | 32) != (b[j - 1] | 32));

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

/* The setting whose name or alias is nearest to a wrong one; NULL when none is near. */
static const PgmlParam *
nearest_param(const PgmlLearner *learner, const char *name)
{
	const PgmlParam *nearest = NULL;
	size_t len = strlen(name);
	int limit = (int) (len < 6 ? 2 : 3) + 1;

	for (int i = 0; i < learner->n_params; i++)
	{
		const PgmlParam *param = &learner->params[i];
		int distance = edit_distance(name, len, param->name, strlen(param->name));
		const char *word = param->aliases != NULL ? param->aliases : "";

		for (size_t n = next_word(&word); n > 0; word += n, n = next_word(&word))
		{
			int d = edit_distance(name, len, word, n);

			if (d < distance)
				distance = d;
		}
		if (distance < limit && distance < (int) len)
		{
			limit = distance;
			nearest = param;
		}
	}
	return nearest;
}

/* Say that a setting does not exist, which ones do, and which one was perhaps meant. */
static PgmlStatus
fail_unknown(const PgmlLearner *learner, const char *name, PgmlError *err)
{
	char list[900] = "";
	size_t len = 0;
	const PgmlParam *nearest = nearest_param(learner, name);

	for (int i = 0; i < learner->n_params && len < sizeof(list); i++)
		len += (size_t) snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "",
								 learner->params[i].name);
	pgml_fail(err, PGML_ERR_BADARG, "learner \"%s\" has no setting named \"%s\"", learner->name,
			  name);
	if (learner->n_params == 0)
		pgml_fail_hint(err, "It has no settings.");
	else if (nearest != NULL)
		pgml_fail_hint(err, "Did you mean \"%s\"? Its settings are: %s.", nearest->name, list);
	else
		pgml_fail_hint(err, "Its settings are: %s.", list);
	return PGML_ERR_BADARG;
}

const char *
pgml_param_word(const PgmlParam *param, double value, size_t *len)
{
	const char *word = param->choices;
	double k = param->type == PGML_PARAM_CHOICE ? value : PGML_WORD(value);

	if (word == NULL)
		return NULL;
	for (*len = next_word(&word); *len > 0; word += *len, *len = next_word(&word), k--)
		if (k == 0)
			return word;
	return NULL;
}

double
pgml_param_value(const PgmlParam *param, const char *text)
{
	size_t len = strlen(text);
	const char *word = param->choices;
	int k = 0;

	if (param->type == PGML_PARAM_BOOL)
		return strcmp(text, "true") == 0 ? 1 : strcmp(text, "false") == 0 ? 0 : NAN;
	if (word == NULL)
		return NAN;
	for (size_t n = next_word(&word); n > 0; word += n, n = next_word(&word), k++)
		if (n == len && memcmp(word, text, n) == 0)
			return param->type == PGML_PARAM_CHOICE ? k : PGML_WORD(k);
	return NAN;
}

/* Say that a setting cannot have a value (as it was given, in words), and which ones it can. */
static PgmlStatus
fail_choice(const PgmlLearner *learner, const PgmlParam *param, const char *name, const char *value,
			PgmlError *err)
{
	char list[300] = "";
	size_t used = 0;
	const char *word = param->choices != NULL ? param->choices : "";

	for (size_t n = next_word(&word); n > 0 && used < sizeof(list); word += n, n = next_word(&word))
		used += (size_t) snprintf(list + used, sizeof(list) - used, "%s%.*s", used > 0 ? ", " : "",
								  (int) n, word);
	pgml_fail(err, PGML_ERR_BADARG, "setting \"%s\" of learner \"%s\" cannot be %.100s", name,
			  learner->name, value);
	if (param->type == PGML_PARAM_CHOICE)
		pgml_fail_hint(err, "It is one of: %s.", list);
	else if (param->type == PGML_PARAM_BOOL)
		pgml_fail_hint(err, "It is true or false.");
	else
		pgml_fail_hint(err, "It is a number between %g and %g%s%s.", param->min, param->max,
					   used > 0 ? ", or one of: " : "", list);
	return PGML_ERR_BADARG;
}

PgmlStatus
pgml_params_set_text(const PgmlLearner *learner, PgmlParams *params, const char *name,
					 const char *text, PgmlError *err)
{
	int i = pgml_param_index(learner, name);

	if (i < 0)
		return fail_unknown(learner, name, err);

	double value = pgml_param_value(&learner->params[i], text);

	if (isnan(value))
	{
		char quoted[120];

		snprintf(quoted, sizeof(quoted), "\"%.90s\"", text);
		return fail_choice(learner, &learner->params[i], name, quoted, err);
	}
	params->v[i] = value;
	params->given[i] = true;
	return PGML_OK;
}

PgmlStatus
pgml_params_set(const PgmlLearner *learner, PgmlParams *params, const char *name, double value,
				PgmlError *err)
{
	int i = pgml_param_index(learner, name);

	if (i < 0)
		return fail_unknown(learner, name, err);

	const PgmlParam *param = &learner->params[i];

	if (param->type == PGML_PARAM_CHOICE)
	{
		char number[40];

		snprintf(number, sizeof(number), "%g", value);
		return fail_choice(learner, param, name, number, err);
	}
	if (!(value >= param->min && value <= param->max))
		return pgml_fail(err, PGML_ERR_BADARG,
						 "setting \"%s\" of learner \"%s\" must be between %g and %g, not %g", name,
						 learner->name, param->min, param->max, value);
	if (param->type != PGML_PARAM_REAL && value != floor(value))
		return pgml_fail(err, PGML_ERR_BADARG,
						 "setting \"%s\" of learner \"%s\" must be a whole number, not %g", name,
						 learner->name, value);
	params->v[i] = value;
	params->given[i] = true;
	return PGML_OK;
}

double
pgml_param(const PgmlLearner *learner, const PgmlParams *params, const char *name)
{
	int i = pgml_param_index(learner, name);

	return i >= 0 ? params->v[i] : NAN;
}
