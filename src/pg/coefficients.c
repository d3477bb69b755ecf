/*
 * coefficients.c - automl_coefficients(): the formula of a model's linear members.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "learner/linear.h"
#include "pg/predict.h"

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_coefficients);

/* Columns of a row. */
enum
{
	COLUMN_MEMBER,
	COLUMN_WEIGHT,
	COLUMN_LINK,
	COLUMN_CLASS,
	COLUMN_NAME,
	COLUMN_FEATURE,
	COLUMN_TERM,
	COLUMN_LEVEL,
	COLUMN_COEFFICIENT,
	COLUMN_LOW,
	COLUMN_HIGH,
	COLUMN_CENTER,
	COLUMN_UNIT,
	N_COLUMNS
};

/* What a term is returned with. */
typedef struct Telling
{
	const PgmlImage *image;
	ReturnSetInfo *result;
	MemoryContext context; /* of one row */
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS];
} Telling;

static const char *
link_name(const PgmlImage *image, const PgmlMember *member)
{
	switch (image->task)
	{
		case PGML_TASK_BINARY:
			return "logit";
		case PGML_TASK_MULTICLASS:
			return "softmax";
		case PGML_TASK_REGRESSION:
			break;
	}
	return pgml_linear_is_log(member->payload) ? "log" : "identity";
}

static void
set_text(Telling *t, int column, const char *text)
{
	t->nulls[column] = text == NULL;
	t->values[column] = text != NULL ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
set_number(Telling *t, int column, double number, bool known)
{
	t->nulls[column] = !known;
	t->values[column] = Float8GetDatum(number);
}

/* Name of a term; *level: the spelling of a level, else NULL. */
static const char *
term_name(const PgmlImage *image, const PgmlLinearTerm *term, const char **level)
{
	*level = NULL;
	switch (term->kind)
	{
		case PGML_TERM_INTERCEPT:
			return "intercept";
		case PGML_TERM_VALUE:
			return "value";
		case PGML_TERM_LOG:
			return "log";
		case PGML_TERM_MISSING:
			return "missing";
		case PGML_TERM_LEVEL:
			break;
	}
	*level = pgml_recipe_level(&image->recipe, term->feature, term->level);
	return *level != NULL ? "level" : "other";
}

/* Return a term as a row. */
static void
tell(void *arg, const PgmlLinearTerm *term)
{
	Telling *t = arg;
	const PgmlImage *image = t->image;
	MemoryContext caller = MemoryContextSwitchTo(t->context);
	bool cut = term->kind == PGML_TERM_VALUE || term->kind == PGML_TERM_LOG;
	bool is_log = term->kind == PGML_TERM_LOG;
	const char *column = NULL, *feature = NULL, *level;

	CHECK_FOR_INTERRUPTS();
	if (term->feature >= 0)
	{
		PgmlFeature of = pgml_recipe_feature(&image->recipe, term->feature);

		column = pgml_recipe_input(&image->recipe, of.source).name;
		feature = of.name;
	}
	if (image->task == PGML_TASK_REGRESSION)
		set_text(t, COLUMN_CLASS, NULL);
	else
		set_text(t, COLUMN_CLASS,
				 image->classes[image->task == PGML_TASK_BINARY ? 1 : term->output]);
	set_text(t, COLUMN_NAME, column);
	set_text(t, COLUMN_FEATURE, feature);
	set_text(t, COLUMN_TERM, term_name(image, term, &level));
	set_text(t, COLUMN_LEVEL, level);
	set_number(t, COLUMN_COEFFICIENT, term->coefficient, true);
	set_number(t, COLUMN_LOW, term->low, cut);
	set_number(t, COLUMN_HIGH, term->high, cut);
	set_number(t, COLUMN_CENTER, term->center, is_log);
	set_number(t, COLUMN_UNIT, term->unit, is_log);
	tuplestore_putvalues(t->result->setResult, t->result->setDesc, t->values, t->nulls);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(t->context);
}

/* The terms of all linear members; returns how many members are linear. */
static int
tell_members(Telling *t)
{
	const PgmlImage *image = t->image;
	double *center = palloc((image->recipe.n_features + 1) * sizeof(double));
	int n = 0;

	for (int32 f = 0; f < image->recipe.n_features; f++)
		center[f] = pgml_recipe_center(&image->recipe, f);
	for (int m = 0; m < image->n_members; m++)
	{
		const PgmlMember *member = &image->members[m];

		if (member->learner != &pgml_learner_linear)
			continue;
		t->values[COLUMN_MEMBER] = Int32GetDatum(m + 1);
		set_number(t, COLUMN_WEIGHT, member->weight, true);
		set_text(t, COLUMN_LINK, link_name(image, member));
		pgml_linear_terms(member->payload, center, tell, t);
		n++;
	}
	return n;
}

/* automl_coefficients(model text) */
Datum
pgml_auto_coefficients(PG_FUNCTION_ARGS)
{
	MemoryContext context, caller;
	PgmlModelRef *ref;
	Telling t = { 0 };
	text *model;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"model\" must not be NULL")));
	InitMaterializedSRF(fcinfo, 0);
	model = PG_GETARG_TEXT_PP(0);
	context = AllocSetContextCreate(CurrentMemoryContext, "pgml_auto coefficients",
									ALLOCSET_DEFAULT_SIZES);
	ref = pgml_model_ref_create(context);
	pgml_model_ref_get(ref, VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model));
	caller = MemoryContextSwitchTo(context);
	t.image = &ref->model->image;
	t.result = (ReturnSetInfo *) fcinfo->resultinfo;
	t.context = AllocSetContextCreate(context, "pgml_auto coefficient", ALLOCSET_DEFAULT_SIZES);
	if (tell_members(&t) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" has no linear member", ref->reference),
						errdetail("Only learner \"linear\" has coefficients."),
						errhint("Train one with algorithms => '{linear}'.")));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return (Datum) 0;
}
