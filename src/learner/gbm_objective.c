/*
 * gbm_objective.c - losses of regression besides squared error, and weights of classes.
 */
#include "learner/gbm_objective.h"

#define POLL_ROWS ((int64_t) 1 << 20) /* a few milliseconds */

static const char *const objective_names[] = {
	"auto",    "squared", "absolute", "quantile", "huber",
	"poisson", "gamma",   "tweedie",  "logistic", "softmax",
};

PgmlStatus
pgml_gbm_check_loss(PgmlGbmObjective objective, PgmlTask task, int n_classes, PgmlError *err)
{
	const char *name = objective_names[objective];
	bool regression = task == PGML_TASK_REGRESSION;
	bool of_classes = objective >= PGML_GBM_LOGISTIC;

	if (objective == PGML_GBM_AUTO)
		return PGML_OK;
	if (!regression && !of_classes)
		return pgml_fail(err, PGML_ERR_BADARG,
						 "objective \"%s\" predicts numbers, the target has classes", name);
	if (regression && of_classes)
		return pgml_fail(err, PGML_ERR_BADARG,
						 "objective \"%s\" predicts classes, the target is a number", name);
	if (objective != PGML_GBM_LOGISTIC || task == PGML_TASK_BINARY)
		return PGML_OK;
	pgml_fail(err, PGML_ERR_BADARG, "objective \"%s\" is for two classes, the target has %d", name,
			  n_classes);
	pgml_fail_hint(err, "For more than two classes it is softmax.");
	return PGML_ERR_BADARG;
}

PgmlStatus
pgml_gbm_check(const PgmlLearner *self, const PgmlParams *params, PgmlTask task, int n_classes,
			   PgmlError *err)
{
	PgmlGbmObjective objective = (PgmlGbmObjective) pgml_param(self, params, "objective");
	bool balanced = pgml_param(self, params, "class_weight") != 0;
	bool scaled = pgml_param(self, params, "scale_pos_weight") != 1;

	PGML_TRY(pgml_gbm_check_loss(objective, task, n_classes, err));
	if (task == PGML_TASK_REGRESSION && balanced)
		return pgml_fail(err, PGML_ERR_BADARG,
						 "class_weight is for classes, the target is a number");
	if (task != PGML_TASK_BINARY && scaled)
		return pgml_fail(err, PGML_ERR_BADARG, "scale_pos_weight is for targets with two classes");
	if (balanced && scaled)
		return pgml_fail(err, PGML_ERR_BADARG,
						 "class_weight \"balanced\" and scale_pos_weight exclude each other");
	return PGML_OK;
}

/* Is it what auto is, for the task that it fits? */
static bool
is_by_task(PgmlGbmObjective objective)
{
	return objective <= PGML_GBM_SQUARED || objective >= PGML_GBM_LOGISTIC;
}

PgmlStatus
pgml_gbm_set_objective(const PgmlEnv *env, const PgmlGbmConfig *config, PgmlGbmTarget *t)
{
	const char *name = objective_names[config->objective];

	t->objective = is_by_task(config->objective) ? PGML_GBM_AUTO : config->objective;
	t->alpha = config->alpha;
	t->delta = config->huber_delta;
	t->fixed_delta = config->huber_delta > 0;
	t->power = config->tweedie_power;
	t->h_factor = pgml_gbm_exp(config->max_delta_step);
	if (!pgml_gbm_is_log(t->objective))
		return PGML_OK;
	/* h may differ by orders of magnitude from row to row. */
	t->never_pack = true;
	for (int64_t i = 0; i < t->n; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (t->y[i] < 0)
			return pgml_fail(env->error, PGML_ERR_DATA,
							 "objective \"%s\" needs a target without negative values", name);
		if (t->objective == PGML_GBM_GAMMA && t->y[i] == 0)
			return pgml_fail(env->error, PGML_ERR_DATA,
							 "objective \"gamma\" needs a target without zeros");
	}
	return PGML_OK;
}

/* ---- quantiles ---- */

/* Part points lo .. hi-1 by a pivot: less, equal from *equal, greater from *greater; the weights of the first two. */
static PgmlStatus
part_points(const PgmlEnv *env, PgmlGbmPoint *p, int64_t lo, int64_t hi, double pivot,
			int64_t *equal, int64_t *greater, double *less_weight, double *equal_weight)
{
	int64_t less = lo, at = lo, end = hi;

	*less_weight = *equal_weight = 0;
	for (int64_t steps = 1; at < end; steps++)
	{
		PgmlGbmPoint point = p[at];

		if (steps % POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (point.value < pivot)
		{
			*less_weight += point.weight;
			p[at++] = p[less];
			p[less++] = point;
		}
		else if (point.value > pivot)
		{
			p[at] = p[--end];
			p[end] = point;
		}
		else
		{
			*equal_weight += point.weight;
			at++;
		}
	}
	*equal = less;
	*greater = end;
	return PGML_OK;
}

/*
 * The least value up to which the points weigh at least `share` of all; where they weigh exactly that, the mean of it
 * and the next greater value (definition 2 of Hyndman and Fan 1996).  By selection (Hoare 1961), which reorders the points.
 */
static PgmlStatus
find_quantile(const PgmlEnv *env, PgmlGbmPoint *p, int64_t n, double share, double *quantile)
{
	int64_t lo = 0, hi = n;
	double total = 0, below = 0;

	for (int64_t i = 0; i < n; i++)
		total += p[i].weight;
	*quantile = n > 0 ? p[0].value : 0;
	while (lo < hi)
	{
		uint64_t noise = pgml_gbm_row_noise((uint32_t) lo, (uint32_t) hi);
		double pivot = p[lo + (int64_t) (noise * (uint64_t) (hi - lo) >> 32)].value;
		double less_weight, equal_weight, next = INFINITY;
		int64_t equal, greater;

		if (pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		PGML_TRY(part_points(env, p, lo, hi, pivot, &equal, &greater, &less_weight, &equal_weight));
		*quantile = pivot;
		if (equal > lo && below + less_weight >= share * total)
		{
			hi = equal;
			continue;
		}
		below += less_weight + equal_weight;
		if (below < share * total)
		{
			lo = greater;
			continue;
		}
		for (int64_t i = greater; below == share * total && i < n; i++)
			next = p[i].weight > 0 && p[i].value < next ? p[i].value : next;
		if (next < INFINITY)
			*quantile = pivot + (next - pivot) / 2;
		break;
	}
	return PGML_OK;
}

/* ---- before the first tree ---- */

PgmlStatus
pgml_gbm_objective_init(const PgmlEnv *env, const PgmlGbmTarget *t, PgmlGbmPoint *points,
						double *init)
{
	double mean = 0;

	if (!pgml_gbm_is_log(t->objective))
	{
		for (int64_t i = 0; i < t->n; i++)
			points[i] = (PgmlGbmPoint){ t->y[i], t->w ? t->w[i] : 1 };
		return find_quantile(env, points, t->n, t->objective == PGML_GBM_QUANTILE ? t->alpha : 0.5,
							 init);
	}
	for (int64_t i = 0; i < t->n; i++)
		mean += (t->w ? t->w[i] : 1) * (t->y[i] / t->weight);
	if (!(mean > 0))
		return pgml_fail(env->error, PGML_ERR_DATA,
						 "objective \"%s\" needs a target that is not always zero",
						 objective_names[t->objective]);
	*init = log(mean);
	return PGML_OK;
}

PgmlStatus
pgml_gbm_set_delta(const PgmlEnv *env, PgmlGbmTarget *t, PgmlGbmPoint *points)
{
	double delta, most = 0;

	if (t->objective != PGML_GBM_HUBER || t->fixed_delta)
		return PGML_OK;
	for (int64_t i = 0; i < t->n; i++)
	{
		points[i] = (PgmlGbmPoint){ fabs(t->y[i] - t->score[i]), t->w ? t->w[i] : 1 };
		most = points[i].value > most ? points[i].value : most;
	}
	PGML_TRY(find_quantile(env, points, t->n, t->alpha, &delta));
	/* Most rows are fitted exactly: all others count as they are. */
	t->delta = delta > 0 ? delta : most > 0 ? most : 1;
	return PGML_OK;
}

/* ---- gradients and losses ---- */

/* Distances from y that are limited to some delta. */
static inline double
limit(double d, double delta)
{
	return d > delta ? delta : d < -delta ? -delta : d;
}

PGML_CLONES void
pgml_gbm_objective_gradients(const PgmlGbmTarget *t, int64_t from, int n, double *g, double *h)
{
	const double *s = t->score + from;
	const double *y = t->y + from;
	double alpha = t->alpha, delta = t->delta, offset = t->offset;
	double low = 1 - t->power, high = 2 - t->power;

	for (int i = 0; i < n; i++)
		h[i] = 1;
	if (t->objective == PGML_GBM_ABSOLUTE)
		for (int i = 0; i < n; i++)
			g[i] = (double) ((s[i] > y[i]) - (s[i] < y[i]));
	else if (t->objective == PGML_GBM_QUANTILE)
		for (int i = 0; i < n; i++)
			g[i] = s[i] >= y[i] ? 1 - alpha : -alpha;
	else if (t->objective == PGML_GBM_HUBER)
		for (int i = 0; i < n; i++)
			g[i] = limit(s[i] - y[i], delta);
	else if (t->objective == PGML_GBM_POISSON)
		for (int i = 0; i < n; i++)
		{
			double mean = pgml_gbm_exp(s[i] + offset);

			g[i] = mean - y[i];
			h[i] = mean * t->h_factor;
		}
	else if (t->objective == PGML_GBM_GAMMA)
		for (int i = 0; i < n; i++)
		{
			h[i] = y[i] * pgml_gbm_exp(-(s[i] + offset));
			g[i] = 1 - h[i];
		}
	else
		for (int i = 0; i < n; i++)
		{
			double a = y[i] * pgml_gbm_exp(low * (s[i] + offset));
			double b = pgml_gbm_exp(high * (s[i] + offset));

			g[i] = b - a;
			h[i] = high * b - low * a;
		}
}

double
pgml_gbm_objective_loss(const PgmlGbmTarget *t, int64_t row)
{
	double y = t->y[row], s = t->score[row] + t->offset;
	double r = y - s, a = fabs(r);
	double low = 1 - t->power, high = 2 - t->power;

	switch (t->objective)
	{
		case PGML_GBM_ABSOLUTE:
			return a;
		case PGML_GBM_QUANTILE:
			return r >= 0 ? t->alpha * r : (t->alpha - 1) * r;
		case PGML_GBM_HUBER:
			return a <= t->delta ? a * a / 2 : t->delta * (a - t->delta / 2);
		case PGML_GBM_POISSON:
			return pgml_gbm_exp(s) - y * s;
		case PGML_GBM_GAMMA:
			return y * pgml_gbm_exp(-s) + s;
		case PGML_GBM_TWEEDIE:
			return pgml_gbm_exp(high * s) / high - y * pgml_gbm_exp(low * s) / low;
		default:
			return r * r / 2;
	}
}

/* ---- leaves ---- */

PgmlStatus
pgml_gbm_renew_leaf(const PgmlEnv *env, const PgmlGbmTarget *t, const int32_t *index, int64_t n,
					PgmlGbmPoint *points, double *value)
{
	double sum = 0, weight = 0;

	for (int64_t i = 0; i < n; i++)
	{
		int32_t row = index[i];

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		points[i] = (PgmlGbmPoint){ t->y[row] - t->score[row], t->w ? t->w[row] : 1 };
	}
	PGML_TRY(
		find_quantile(env, points, n, t->objective == PGML_GBM_QUANTILE ? t->alpha : 0.5, value));
	if (t->objective != PGML_GBM_HUBER)
		return PGML_OK;
	for (int64_t i = 0; i < n; i++)
	{
		sum += points[i].weight * limit(points[i].value - *value, t->delta);
		weight += points[i].weight;
	}
	*value += weight > 0 ? sum / weight : 0;
	return PGML_OK;
}

/* ---- weights of classes ---- */

/* Factor of each class. */
static PgmlStatus
find_factors(const PgmlEnv *env, const PgmlDataset *data, const PgmlGbmConfig *config,
			 double *factor)
{
	double total = 0;

	for (int k = 0; k < data->n_classes; k++)
		factor[k] = config->balanced ? 0 : 1;
	if (!config->balanced)
	{
		factor[1] = config->scale_pos_weight;
		return PGML_OK;
	}
	for (int64_t i = 0; i < data->n; i++)
	{
		double y = data->y[data->rows[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (!(y >= 0 && y < data->n_classes))
			return pgml_fail(env->error, PGML_ERR_DATA,
							 "a target value is missing or out of range");
		factor[(int) y] += data->w ? data->w[data->rows[i]] : 1;
	}
	for (int k = 0; k < data->n_classes; k++)
		total += factor[k];
	for (int k = 0; k < data->n_classes; k++)
		factor[k] = factor[k] > 0 ? total / (data->n_classes * factor[k]) : 1;
	return PGML_OK;
}

PgmlStatus
pgml_gbm_class_weights(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
					   const PgmlGbmConfig *config, PgmlDataset *out)
{
	double *factor, *w;

	*out = *data;
	if (!pgml_gbm_weighs_classes(config))
		return PGML_OK;
	factor = pgml_array(arena, (size_t) data->n_classes, sizeof(double));
	w = pgml_array(arena, (size_t) data->x->nrows, sizeof(double));
	if (factor == NULL || w == NULL)
		return pgml_fail_nomem(env, "weights of classes");
	PGML_TRY(find_factors(env, data, config, factor));
	for (int64_t i = 0; i < data->x->nrows; i++)
	{
		double y = data->y[i];
		bool known = y >= 0 && y < data->n_classes;

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		w[i] = (data->w ? data->w[i] : 1) * (known ? factor[(int) y] : 1);
	}
	out->w = w;
	return PGML_OK;
}
