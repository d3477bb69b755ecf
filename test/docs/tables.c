/*
 * tables.c - print what the documentation says about learners and metrics, as the code has it.
 *
 * tables <learner>: the learner's settings; tables metrics: all metrics.  See test/docs/run.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "learner/learner.h"
#include "stats/metric.h"

/* A value as people write it. */
static void
print_value(double v, const PgmlParam *param)
{
	size_t len;
	const char *word = pgml_param_word(param, v, &len);

	if (word != NULL)
		printf("`%.*s`", (int) len, word);
	else if (param->type == PGML_PARAM_BOOL)
		printf("%s", v != 0 ? "true" : "false");
	else if (v >= 1e6 || (v != 0 && fabs(v) < 1e-3))
		printf("1e%d", (int) lround(log10(fabs(v))));
	else
		printf("%g", v);
}

/* Words separated by blanks, each in code marks. */
static void
print_words(const char *words)
{
	bool first = true;

	for (const char *p = words; p != NULL && *p != '\0';)
	{
		size_t len = strcspn(p, " ");
		printf("%s`%.*s`", first ? "" : ", ", (int) len, p);
		first = false;
		p += len + strspn(p + len, " ");
	}
}

static void
print_param(const PgmlParam *param)
{
	static const char *const types[] = {
		[PGML_PARAM_INT] = "integer", [PGML_PARAM_REAL] = "number", [PGML_PARAM_BOOL] = "boolean",
		[PGML_PARAM_CHOICE] = "word"
	};

	printf("| `%s` | %s | ", param->name, types[param->type]);
	print_value(param->def, param);
	printf(" | ");
	if (param->type == PGML_PARAM_INT || param->type == PGML_PARAM_REAL)
	{
		print_value(param->min, param);
		printf(" to ");
		print_value(param->max, param);
		printf("%s", param->choices != NULL ? ", " : "");
	}
	print_words(param->choices);
	printf(" | %s | ", param->summary);
	print_words(param->aliases);
	printf(" |\n");
}

static int
print_learner(const PgmlLearner *learner)
{
	if (learner == NULL)
		return 1;
	printf(
		"| setting | type | default | range | meaning | other names |\n|---|---|---|---|---|---|\n");
	for (int i = 0; i < learner->n_params; i++)
		print_param(&learner->params[i]);
	return 0;
}

/* Regression metrics and those of classes, the better direction, the definition. */
static int
print_metrics(void)
{
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	printf("| metric | for | better is | definition |\n|---|---|---|---|\n");
	for (int i = 0; i < n; i++)
		printf("| `%s` | %s | %s | %s |\n", metrics[i].name,
			   metrics[i].tasks & PGML_TASK_REGRESSION ? "regression" : "classes",
			   metrics[i].higher_is_better ? "higher" : "lower", metrics[i].summary);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	return strcmp(argv[1], "metrics") == 0 ? print_metrics() :
											 print_learner(pgml_learner_find(argv[1]));
}
