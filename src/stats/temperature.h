/*
 * temperature.h - probabilities made sharper or flatter by one number, the temperature T (Guo, Pleiss, Sun and Weinberger 2017).
 *
 * Each probability is raised to the power 1 / T, and they are divided by their sum: with two classes the log-odds are divided
 * by T.  T < 1 is sharper.  The order of a row's classes stays as it is, and with two classes that of the rows.  Means of models are too
 * cautious as a rule: each of them is wrong somewhere else.
 */
#ifndef PGML_STATS_TEMPERATURE_H
#define PGML_STATS_TEMPERATURE_H

#include "stats/metric.h"

#define PGML_TEMPERATURE_MIN 0.2
#define PGML_TEMPERATURE_MAX 5.0

/* Change n rows of probabilities in place: of class 1 for two classes, else n_classes a row.  No NaN comes of probabilities. */
extern void pgml_temper(PgmlTask task, int n_classes, double temperature, int64_t n, double *p);

typedef struct PgmlTemperature
{
	double temperature; /* fitted to all rows */
	double before;      /* mean log loss of the rows */
	double after; /* the same, each part at the temperature that was fitted to the other parts */
} PgmlTemperature;

/*
 * The temperature at which the log loss of the rows, which are of classes, is least; few rows are not believed more than that it is hardly ever
 * far from 1.  part: which of at most 256 parts each row belongs to.  Weights count by their share only.  The result depends on nothing but the arguments.
 * PGML_ERR_NOMEM, PGML_ERR_LIMIT, PGML_ERR_CANCELLED.
 */
extern PgmlStatus pgml_temperature_fit(const PgmlEnv *env, const PgmlPredictions *p,
									   const uint8_t *part, PgmlTemperature *out);

#endif
