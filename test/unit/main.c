/*
 * main.c - runs the unit tests: all of them, or the modules named on the command line; with --list, names the modules.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

typedef struct Module
{
	const char *name;
	int (*run)(void);
} Module;

static const Module modules[] = {
	{ "arena", test_arena },
	{ "par", test_par },
	{ "hash", test_hash },
	{ "rng", test_rng },
	{ "sort", test_sort },
	{ "cron", test_cron },
	{ "buf", test_buf },
	{ "blas", test_blas },
	{ "value", test_value },
	{ "table", test_table },
	{ "recipe", test_recipe },
	{ "looks", test_looks },
	{ "target", test_target },
	{ "leak", test_leak },
	{ "bins", test_bins },
	{ "split", test_split },
	{ "folds", test_folds },
	{ "metric", test_metric },
	{ "decision", test_decision },
	{ "why", test_why },
	{ "plan", test_plan },
	{ "stack", test_stack },
	{ "conformal", test_conformal },
	{ "linear", test_linear },
	{ "linear_penalties", test_linear_penalties },
	{ "constant", test_constant },
	{ "gradient_boosting", test_gradient_boosting },
	{ "boosting", test_boosting },
	{ "constraints", test_constraints },
	{ "tree_shap", test_tree_shap },
	{ "forest", test_forest },
	{ "oblivious", test_oblivious },
	{ "oblivious_ctr", test_oblivious_ctr },
	{ "tree_memory", test_tree_memory },
	{ "knn", test_knn },
	{ "naive_bayes", test_naive_bayes },
	{ "mlp", test_mlp },
	{ "svm_solvers", test_svm_solvers },
	{ "svm", test_svm },
	{ "params", test_params },
	{ "image", test_image },
	{ "scoring", test_scoring },
	{ "column_shap", test_column_shap },
	{ "explain", test_explain },
	{ "explain_trees", test_explain_trees },
	{ "rules", test_rules },
	{ "space", test_space },
	{ "search", test_search },
	{ "tuning", test_tuning },
	{ "replay", test_replay },
	{ "automl", test_automl },
	{ "portfolio", test_portfolio },
	{ "warm", test_warm },
	{ "calibrate", test_calibrate },
	{ "automl_errors", test_automl_errors },
	{ "automl_faults", test_automl_faults },
	{ "rows", test_rows },
	{ "champion", test_champion },
	{ "importance", test_importance },
};

/* Was the module asked for? */
static bool
wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc <= 1;
}

int
main(int argc, char **argv)
{
	int failures = 0;
	int run = 0;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
	{
		for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
			puts(modules[i].name);
		return 0;
	}
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
	{
		if (!wanted(modules[i].name, argc, argv))
			continue;
		printf("module %s\n", modules[i].name);
		failures += modules[i].run();
		fflush(stdout);
		run++;
	}
	if (run == 0)
	{
		fprintf(stderr, "no module of that name\n");
		return 2;
	}
	return failures > 0 ? 1 : 0;
}
