/*
 * unit.h - the unit tests of the PostgreSQL-free half: one function per module, which runs the
 * module's cmocka group and returns the number of failures.
 */
#ifndef PGML_UNIT_H
#define PGML_UNIT_H

extern int test_arena(void);
extern int test_par(void);
extern int test_hash(void);
extern int test_rng(void);
extern int test_sort(void);
extern int test_cron(void);
extern int test_buf(void);
extern int test_blas(void);
extern int test_value(void);
extern int test_table(void);
extern int test_recipe(void);
extern int test_target(void);
extern int test_leak(void);
extern int test_bins(void);
extern int test_split(void);
extern int test_folds(void);
extern int test_metric(void);
extern int test_conformal(void);
extern int test_linear(void);
extern int test_linear_penalties(void);
extern int test_constant(void);
extern int test_gradient_boosting(void);
extern int test_boosting(void);
extern int test_constraints(void);
extern int test_tree_shap(void);
extern int test_forest(void);
extern int test_oblivious(void);
extern int test_oblivious_ctr(void);
extern int test_tree_memory(void);
extern int test_knn(void);
extern int test_naive_bayes(void);
extern int test_mlp(void);
extern int test_svm(void);
extern int test_svm_solvers(void);
extern int test_params(void);
extern int test_image(void);
extern int test_scoring(void);
extern int test_column_shap(void);
extern int test_explain(void);
extern int test_explain_trees(void);
extern int test_rules(void);
extern int test_automl(void);
extern int test_calibrate(void);
extern int test_automl_errors(void);
extern int test_automl_faults(void);
extern int test_champion(void);
extern int test_importance(void);
extern int test_portfolio(void);
extern int test_warm(void);
extern int test_decision(void);
extern int test_why(void);
extern int test_plan(void);
extern int test_stack(void);
extern int test_rows(void);
extern int test_looks(void);
extern int test_space(void);
extern int test_search(void);
extern int test_tuning(void);
extern int test_replay(void);
extern int test_rows(void);

#endif
