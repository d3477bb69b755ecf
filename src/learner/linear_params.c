/*
 * linear_params.c - the settings of learner `linear`, and what they mean together.
 */
#include "learner/linear_internal.h"

enum
{
	PARAM_ALPHA,
	PARAM_N_ALPHAS,
	PARAM_PATH_POSITION,
	PARAM_MAX_ITER,
	PARAM_TOL,
	PARAM_PENALTY,
	PARAM_L1_RATIO,
	PARAM_OBJECTIVE,
	N_PARAMS
};

/* The places of the words in the settings' choices. */
enum
{
	PENALTY_L2,
	PENALTY_L1,
	PENALTY_ELASTICNET,
	PENALTY_NONE
};

enum
{
	OBJECTIVE_AUTO,
	OBJECTIVE_SQUARED,
	OBJECTIVE_POISSON
};

_Static_assert(N_PARAMS == PGML_LINEAR_N_PARAMS, "the number of settings is known to linear.c");

const PgmlParam pgml_linear_params[PGML_LINEAR_N_PARAMS] = {
	[PARAM_ALPHA] = { "alpha", "reg_lambda lambda_l2 l2", PGML_PARAM_REAL, 0, 1e12, 1, true,
					  "Penalty on the weights; when not given, chosen on validation rows from a path of "
					  "penalties, else 1 for weights of mean 1.",
					  NULL },
	[PARAM_N_ALPHAS] = { "n_alphas", NULL, PGML_PARAM_INT, 1, 1000, 12, false,
						 "Penalties on the path.", NULL },
	[PARAM_PATH_POSITION] = { "path_position", NULL, PGML_PARAM_INT, 0, 1000, 0, false,
							  "Use the path's penalty with this number, from 1, without choosing; 0: choose.",
							  NULL },
	[PARAM_MAX_ITER] = { "max_iter", "max_iterations", PGML_PARAM_INT, 1, 100000, 200, true,
						 "Steps of the optimiser for each penalty.", NULL },
	[PARAM_TOL] = { "tol", NULL, PGML_PARAM_REAL, 0, 1, 1e-5, true,
					"Stop when a step gains less than this share of the objective.", NULL },
	[PARAM_PENALTY] = { "penalty", NULL, PGML_PARAM_CHOICE, 0, 3, PENALTY_L2, false,
						"What is penalised: squares of weights (l2), absolute values (l1: weights of "
						"columns that add little become 0), both (elasticnet), nothing (none).",
						"l2 l1 elasticnet none" },
	[PARAM_L1_RATIO] = { "l1_ratio", NULL, PGML_PARAM_REAL, 0, 1, 0.5, false,
						 "Share of the penalty elasticnet that is on absolute values; given alone, the "
						 "penalty is elasticnet.",
						 NULL },
	[PARAM_OBJECTIVE] = { "objective", "loss", PGML_PARAM_CHOICE, 0, 2, OBJECTIVE_AUTO, false,
						  "The loss; auto: squared, or for classes logistic or multinomial. poisson is for "
						  "counts and other targets that are never negative: the score is the logarithm "
						  "of the prediction.",
						  "auto squared poisson" },
};

/* The loss that the task and the objective ask for. */
static PgmlStatus
choose_loss(PgmlError *err, PgmlTask task, int objective, PgmlLinearLoss *loss)
{
	if (task != PGML_TASK_REGRESSION)
	{
		if (objective != OBJECTIVE_AUTO)
			return pgml_fail(err, PGML_ERR_BADARG,
							 "objective \"%s\" predicts numbers, the target has classes",
							 objective == OBJECTIVE_POISSON ? "poisson" : "squared");
		*loss = task == PGML_TASK_BINARY ? PGML_LINEAR_LOGISTIC : PGML_LINEAR_SOFTMAX;
		return PGML_OK;
	}
	*loss = objective == OBJECTIVE_POISSON ? PGML_LINEAR_POISSON : PGML_LINEAR_SQUARED;
	return PGML_OK;
}

PgmlStatus
pgml_linear_check_params(const PgmlLearner *self, const PgmlParams *params, PgmlTask task,
						 int n_classes, PgmlError *err)
{
	PgmlLinearLoss loss;

	(void) self, (void) n_classes;
	return choose_loss(err, task, (int) params->v[PARAM_OBJECTIVE], &loss);
}

/* The share of the penalty on absolute values. */
static PgmlStatus
choose_ratio(const PgmlEnv *env, const PgmlParams *params, PgmlLinearConfig *config)
{
	int penalty = (int) params->v[PARAM_PENALTY];
	bool elastic = penalty == PENALTY_ELASTICNET;

	if (params->given[PARAM_L1_RATIO] && !params->given[PARAM_PENALTY])
		elastic = true;
	if (params->given[PARAM_L1_RATIO] && !elastic)
		return pgml_fail(env->error, PGML_ERR_BADARG,
						 "l1_ratio is a share of penalty \"elasticnet\", not of the penalty given");
	if (penalty == PENALTY_NONE)
	{
		if (params->given[PARAM_ALPHA] && config->alpha > 0)
			return pgml_fail(env->error, PGML_ERR_BADARG,
							 "alpha is the strength of a penalty, and penalty \"none\" has none");
		config->alpha = 0;
		config->alpha_given = true;
	}
	config->l1_ratio = elastic ? params->v[PARAM_L1_RATIO] : penalty == PENALTY_L1;
	return PGML_OK;
}

PgmlStatus
pgml_linear_read_config(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params,
						PgmlLinearConfig *config)
{
	const double *v = params->v;

	config->alpha = v[PARAM_ALPHA];
	config->alpha_given = params->given[PARAM_ALPHA];
	config->n_alphas = (int) v[PARAM_N_ALPHAS];
	config->position = (int) v[PARAM_PATH_POSITION];
	config->max_iter = (int) v[PARAM_MAX_ITER];
	config->tol = v[PARAM_TOL];
	PGML_TRY(choose_loss(env->error, data->task, (int) v[PARAM_OBJECTIVE], &config->loss));
	return choose_ratio(env, params, config);
}
