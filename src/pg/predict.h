/* predict.h - what the functions that predict do and say in the same way. */
#ifndef PGML_PG_PREDICT_H
#define PGML_PG_PREDICT_H

#include "postgres.h"
#include "fmgr.h"

#include "model/image.h"
#include "pg/predict_input.h"

/* The functions that predict for one row. */
typedef enum PredictVerb
{
	PREDICT_NONE, /* not one of them */
	PREDICT_ANY,
	PREDICT_VALUE,
	PREDICT_PROBA,
	PREDICT_PROBS
} PredictVerb;

/*
 * What a function does; PREDICT_NONE also for one of ours that is called through another, as those with settings of their own
 * are.
 */
extern PredictVerb predict_verb(Oid function);

/*
 * Whether a function is one of them, without asking the catalog.  One called with a TupleTableSlot as context reads that row in place
 * of its second argument, which then is not NULL and of the slot's type.
 */
extern bool predict_reads_slots(const FmgrInfo *function);

/*
 * The type of the second argument, which tells the forms of a verb apart: the call's, or without one the declared type.  Then
 * the features of that argument, which is not NULL.
 */
extern Oid predict_input_form(FunctionCallInfo fcinfo);
extern void predict_read_input(PgmlInputs *inputs, Oid form, FunctionCallInfo fcinfo);

/* Number of the class that an argument names; 22023 when the model has none of that name. */
extern int predict_named_class(const PgmlImage *image, const char *reference, text *name);

/* Number of the class with this label, -1: none. */
extern int pgml_find_class(const PgmlImage *image, const char *s, Size length);

/* Probability of a class in the numbers of a prediction. */
extern double pgml_class_probability(const PgmlImage *image, const double *out, int class);

#endif
