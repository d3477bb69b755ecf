/* learners.c - pgml_auto.learners: the learners and their settings, from the table that checks them. */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "learner/learner.h"

PG_FUNCTION_INFO_V1(pgml_auto_learner_settings);

PGDLLEXPORT Datum pgml_auto_learner_settings(PG_FUNCTION_ARGS);

enum
{
	COL_ALGORITHM,
	COL_SUMMARY,
	COL_BY_DEFAULT,
	COL_SETTING,
	COL_TYPE,
	COL_DEFAULT,
	COL_MIN,
	COL_MAX,
	COL_CHOICES,
	COL_MEANING,
	COL_OTHER_NAMES,
	N_COLS
};

/* Words separated by blanks as an array of texts. */
static Datum
words_array(const char *words)
{
	ArrayBuildState *state = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	for (const char *p = words != NULL ? words : ""; *p != '\0';)
	{
		size_t len = strcspn(p, " ");

		if (len > 0)
			state = accumArrayResult(state, PointerGetDatum(cstring_to_text_with_len(p, (int) len)),
									 false, TEXTOID, CurrentMemoryContext);
		p += len + strspn(p + len, " ");
	}
	return makeArrayResult(state, CurrentMemoryContext);
}

/* The default as it would be written in hyperparams. */
static text *
default_text(const PgmlParam *param)
{
	size_t len;
	const char *word = pgml_param_word(param, param->def, &len);

	if (word != NULL)
		return cstring_to_text_with_len(word, (int) len);
	if (param->type == PGML_PARAM_BOOL)
		return cstring_to_text(param->def != 0 ? "true" : "false");
	return cstring_to_text(psprintf("%.6g", param->def));
}

static void
put_param(const PgmlParam *param, Datum *values, bool *nulls)
{
	static const char *const types[] = { [PGML_PARAM_INT] = "integer",
										 [PGML_PARAM_REAL] = "number",
										 [PGML_PARAM_BOOL] = "boolean",
										 [PGML_PARAM_CHOICE] = "word" };

	values[COL_SETTING] = CStringGetTextDatum(param->name);
	values[COL_TYPE] = CStringGetTextDatum(types[param->type]);
	values[COL_DEFAULT] = PointerGetDatum(default_text(param));
	nulls[COL_MIN] = nulls[COL_MAX] =
		param->type == PGML_PARAM_BOOL || param->type == PGML_PARAM_CHOICE;
	values[COL_MIN] = Float8GetDatum(param->min);
	values[COL_MAX] = Float8GetDatum(param->max);
	nulls[COL_CHOICES] = param->choices == NULL;
	values[COL_CHOICES] = words_array(param->choices);
	values[COL_MEANING] = CStringGetTextDatum(param->summary);
	values[COL_OTHER_NAMES] = words_array(param->aliases);
}

/* A row for each setting; a learner without settings has one row of its own. */
Datum
pgml_auto_learner_settings(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
		for (int j = 0; j == 0 || j < learners[i]->n_params; j++)
		{
			Datum values[N_COLS] = { 0 };
			bool nulls[N_COLS] = { 0 };

			values[COL_ALGORITHM] = CStringGetTextDatum(learners[i]->name);
			values[COL_SUMMARY] = CStringGetTextDatum(learners[i]->summary);
			values[COL_BY_DEFAULT] = BoolGetDatum(!learners[i]->only_when_named);
			if (learners[i]->n_params > 0)
				put_param(&learners[i]->params[j], values, nulls);
			else
				memset(nulls + COL_SETTING, true, N_COLS - COL_SETTING);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	return (Datum) 0;
}
