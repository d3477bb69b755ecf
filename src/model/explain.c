/*
 * explain.c - explanations of an image's predictions; explain.h says on which scale.
 */
#include "model/explain.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "model/column_shap.h"

/* Points, less one, at which the slope of a prediction is looked at on the way from the expected scores; even. */
#define SLOPE_STEPS 64

/* Predictions no farther apart than this are as good as equal. */
#define NO_WAY 1e-12

/* A member and how it is explained. */
typedef struct Part
{
	const PgmlMember *member;
	const PgmlTreeShap *shap; /* NULL: by contributions(), or */
	const PgmlColumnShap *sampled;
	bool log_link; /* it predicts the exponential function of what is explained */
	bool carried;  /* from scores to probabilities, from logarithms to values */
} Part;

struct PgmlExplainer
{
	const PgmlImage *image;
	int outputs;
	PgmlScale scale;
	size_t part_scratch; /* the largest that a part needs; a multiple of 64 */
	Part parts[];
};

/* Scratch memory: numbers of features are feature by feature, those of scores class by class, rows next to each other. */
typedef struct Work
{
	const PgmlEnv *env;
	const PgmlExplainer *explainer;
	const PgmlBlock *block;
	int output; /* that is explained */
	void *part;
	double *phi;     /* of all members so far */
	double *single;  /* of one member and output */
	double *carried; /* of one member, in probability or value */
	double *score;
	double *expected; /* score, by output */
	double *slope;    /* of the prediction in each score, mean over the way */
	double *point;    /* scores and probabilities of a place on the way, by output */
	double base;      /* of the mean of the members */
} Work;

/* ---- preparation ---------------------------------------------------------------------------- */

static PgmlStatus
prepare_part(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image, int i, Part *part)
{
	const PgmlShape *shape = &image->shape;
	const PgmlLearner *learner = part->member->learner;
	PgmlTrees *trees;

	if (!pgml_learner_is_sum(learner))
		return pgml_column_shap_create(env, arena, image, i, &part->sampled);
	if (learner->trees == NULL)
	{
		part->log_link = learner->log_link != NULL && learner->log_link(part->member->payload);
		return PGML_OK;
	}
	trees = pgml_array(arena, 1, sizeof(*trees));
	if (trees == NULL)
		return pgml_fail_nomem(env, "an explanation");
	PGML_TRY(learner->trees(env, arena, part->member->payload, shape, trees));
	part->log_link = trees->log_link;
	return pgml_tree_shap_create(env, arena, trees, shape, &part->shap);
}

/* Whether scores are explained; what is sampled is the prediction. */
static bool
explains_scores(const Part *part)
{
	return part->sampled == NULL && part->member->learner->explains_scores;
}

/* Bytes that a part needs, a multiple of 64. */
static size_t
scratch_of(const Part *part)
{
	size_t size = part->shap    ? pgml_tree_shap_scratch(part->shap) :
				  part->sampled ? pgml_column_shap_scratch(part->sampled) :
								  0;

	return (size + 63) / 64 * 64;
}

PgmlStatus
pgml_explainer_create(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image,
					  const PgmlExplainer **out)
{
	PgmlExplainer *e = pgml_zalloc(arena, 1, sizeof(*e) + (size_t) image->n_members * sizeof(Part));
	bool regression = image->task == PGML_TASK_REGRESSION;
	int scores = 0, logs = 0;

	if (e == NULL)
		return pgml_fail_nomem(env, "an explanation");
	e->image = image;
	e->outputs = pgml_image_outputs(image);
	for (int i = 0; i < image->n_members; i++)
	{
		Part *part = &e->parts[i];
		size_t size;

		part->member = &image->members[i];
		PGML_TRY(prepare_part(env, arena, image, i, part));
		size = scratch_of(part);
		e->part_scratch = size > e->part_scratch ? size : e->part_scratch;
		scores += explains_scores(part);
		logs += part->log_link;
	}
	if (regression)
		e->scale = logs == image->n_members ? PGML_SCALE_LOG : PGML_SCALE_VALUE;
	else
		e->scale = image->stacked || scores == image->n_members ? PGML_SCALE_SCORE :
																  PGML_SCALE_PROBABILITY;
	for (int i = 0; i < image->n_members; i++)
	{
		Part *part = &e->parts[i];

		part->carried = (e->scale == PGML_SCALE_PROBABILITY && explains_scores(part)) ||
						(e->scale == PGML_SCALE_VALUE && part->log_link);
	}
	*out = e;
	return PGML_OK;
}

PgmlScale
pgml_explainer_scale(const PgmlExplainer *explainer)
{
	return explainer->scale;
}

double
pgml_explainer_work(const PgmlExplainer *e)
{
	double work = 0, sampled = 0;

	for (int i = 0; i < e->image->n_members; i++)
	{
		if (e->parts[i].shap)
			work += pgml_tree_shap_work(e->parts[i].shap);
		if (e->parts[i].sampled)
			sampled += pgml_column_shap_work(e->parts[i].sampled);
	}
	return sampled + (e->scale == PGML_SCALE_PROBABILITY ? 2 * work : work);
}

size_t
pgml_explainer_scratch(const PgmlExplainer *e)
{
	size_t features = (size_t) e->image->shape.nfeatures;
	size_t outputs = (size_t) e->outputs;

	return e->part_scratch +
		   (3 * features * PGML_SHAP_ROWS + 2 * outputs * PGML_SHAP_ROWS + 2 * outputs) *
			   sizeof(double);
}

/* Lay the scratch memory out. */
static void
lay_out(Work *w, void *scratch)
{
	size_t features = (size_t) w->explainer->image->shape.nfeatures * PGML_SHAP_ROWS;
	size_t outputs = (size_t) w->explainer->outputs;

	w->part = scratch;
	w->phi = (double *) ((char *) scratch + w->explainer->part_scratch);
	w->single = w->phi + features;
	w->carried = w->single + features;
	w->score = w->carried + features;
	w->slope = w->score + outputs * PGML_SHAP_ROWS;
	w->expected = w->slope + outputs * PGML_SHAP_ROWS;
	w->point = w->expected + outputs;
}

/* ---- members -------------------------------------------------------------------------------- */

/* Add factor * contributions of one member to phi; *base is not multiplied. */
static PgmlStatus
add_part(const Work *w, const Part *part, int output, double factor, double *base, double *phi)
{
	if (part->sampled)
	{
		*base = pgml_column_shap_base(part->sampled, output);
		return pgml_column_shap_block(w->env, part->sampled, w->block, output, factor, phi,
									  PGML_SHAP_ROWS, w->part);
	}
	if (part->shap == NULL)
		return part->member->learner->contributions(w->env, part->member->payload,
													&w->explainer->image->shape, w->block, output,
													factor, base, phi, PGML_SHAP_ROWS);
	*base = pgml_tree_shap_base(part->shap, output);
	return pgml_tree_shap_block(w->env, part->shap, w->block, output, factor, phi, PGML_SHAP_ROWS,
								w->part);
}

/* The contributions of one member to one output alone, into w->single. */
static PgmlStatus
find_single(const Work *w, const Part *part, int output)
{
	size_t features = (size_t) w->explainer->image->shape.nfeatures;

	memset(w->single, 0, features * PGML_SHAP_ROWS * sizeof(double));
	return add_part(w, part, output, 1, &w->expected[output], w->single);
}

/* Probability of the output that is explained, or the value, where the scores of row i are `share` of the way from the expected ones. */
static double
prediction_at(const Work *w, int64_t i, double share)
{
	for (int c = 0; c < w->explainer->outputs; c++)
		w->point[c] = w->expected[c] + share * (w->score[c * PGML_SHAP_ROWS + i] - w->expected[c]);
	if (w->explainer->image->task == PGML_TASK_REGRESSION)
		return exp(w->point[0]);
	pgml_stack_finish(w->explainer->image->task, w->explainer->image->n_classes, 1, w->point);
	return w->point[w->output];
}

/* Mean slopes of the prediction in the scores on the way, for row i: by Simpson's rule, with one output exactly. */
static void
find_slopes(const Work *w, int64_t i)
{
	int outputs = w->explainer->outputs;
	bool regression = w->explainer->image->task == PGML_TASK_REGRESSION;
	double way = w->score[i] - w->expected[0];

	for (int c = 0; c < outputs; c++)
		w->slope[c * PGML_SHAP_ROWS + i] = 0;
	if (outputs == 1 && fabs(way) > 1e-6)
	{
		w->slope[i] = (prediction_at(w, i, 1) - prediction_at(w, i, 0)) / way;
		return;
	}
	for (int step = 0; step <= SLOPE_STEPS; step++)
	{
		double p = prediction_at(w, i, (double) step / SLOPE_STEPS);
		double weight = (step == 0 || step == SLOPE_STEPS ? 1 :
						 step % 2 == 1                    ? 4 :
															2) /
						(3.0 * SLOPE_STEPS);

		if (outputs == 1)
			w->slope[i] += weight * p * (regression ? 1 : 1 - p);
		for (int c = 0; outputs > 1 && c < outputs; c++)
			w->slope[c * PGML_SHAP_ROWS + i] += weight * p * ((c == w->output) - w->point[c]);
	}
}

/* What rounding and the rule left over is given to the features by the size of what they have. */
static void
close_gap(const Work *w, int64_t i)
{
	int32_t features = w->explainer->image->shape.nfeatures;
	double gap = prediction_at(w, i, 1) - prediction_at(w, i, 0);
	double size = 0;

	for (int32_t f = 0; f < features; f++)
	{
		gap -= w->carried[f * PGML_SHAP_ROWS + i];
		size += fabs(w->carried[f * PGML_SHAP_ROWS + i]);
	}
	for (int32_t f = 0; size > 0 && f < features; f++)
		w->carried[f * PGML_SHAP_ROWS + i] += gap * fabs(w->carried[f * PGML_SHAP_ROWS + i]) / size;
}

/* Add a member whose scores or logarithms are explained, in probability or value. */
static PgmlStatus
add_carried(const Work *w, const Part *part, double factor, double *base)
{
	int32_t features = w->explainer->image->shape.nfeatures;
	int outputs = w->explainer->outputs;

	for (int c = 0; c < outputs; c++)
	{
		PGML_TRY(find_single(w, part, c));
		for (int64_t i = 0; i < w->block->n; i++)
		{
			double *score = &w->score[c * PGML_SHAP_ROWS + i];

			*score = w->expected[c];
			for (int32_t f = 0; f < features; f++)
				*score += w->single[f * PGML_SHAP_ROWS + i];
		}
	}
	for (int64_t i = 0; i < w->block->n; i++)
		find_slopes(w, i);
	memset(w->carried, 0, (size_t) features * PGML_SHAP_ROWS * sizeof(double));
	for (int c = 0; c < outputs; c++)
	{
		if (outputs > 1)
			PGML_TRY(find_single(w, part, c));
		for (int32_t f = 0; f < features; f++)
			for (int64_t i = 0; i < w->block->n; i++)
				w->carried[f * PGML_SHAP_ROWS + i] +=
					w->slope[c * PGML_SHAP_ROWS + i] * w->single[f * PGML_SHAP_ROWS + i];
	}
	for (int64_t i = 0; i < w->block->n; i++)
		close_gap(w, i);
	for (int64_t j = 0; j < features * (int64_t) PGML_SHAP_ROWS; j++)
		w->phi[j] += factor * w->carried[j];
	*base = prediction_at(w, 0, 0);
	return PGML_OK;
}

/* ---- stacks --------------------------------------------------------------------------------- */

/* The logarithm of the probability that a member predicts for the explained class of row i. */
static double
log_predicted(const Work *w, const Part *part, int64_t i)
{
	const PgmlShape *shape = &w->explainer->image->shape;
	float *x = (float *) w->carried;

	for (int32_t f = 0; f < shape->nfeatures; f++)
		x[f] = w->block->x[f * w->block->stride + i];
	part->member->learner->predict(part->member->payload, shape, x, 1, w->point);
	return log(fmax(w->point[w->output], DBL_MIN));
}

/*
 * What the stack sums up, for a member that predicts u, or whose score is u.  Scores of several classes are logarithms but for what is the same for
 * all classes; with them `log_p`, the logarithm itself, says what the least probability cuts off.
 */
static double
stacked_value(const Work *w, const Part *part, double u, double log_p)
{
	PgmlTask task = w->explainer->image->task;
	double most;

	if (!explains_scores(part))
		return pgml_stack_log(task, u);
	if (task != PGML_TASK_BINARY)
		return u + fmax(pgml_stack_log(task, 0) - log_p, 0);
	most = pgml_stack_log(task, 1);
	return fmin(fmax(u, -most), most);
}

/* Mean slope of the stacked value on the way from the base to row i, where a member's score or probability is `to`. */
static double
stacked_slope(const Work *w, const Part *part, int64_t i, double from, double to)
{
	bool several = explains_scores(part) && w->explainer->outputs > 1;
	double log_p = several ? log_predicted(w, part, i) : 0;

	if (fabs(to - from) < NO_WAY && explains_scores(part))
		return 1;
	if (fabs(to - from) < NO_WAY)
	{
		from = fmax(to - NO_WAY, 0);
		to = fmin(to + NO_WAY, 1);
	}
	return (stacked_value(w, part, to, log_p) - stacked_value(w, part, from, 0)) / (to - from);
}

/* Add a member of a stack: contributions to its score or probability, carried to what is summed up by the rescale rule. */
static PgmlStatus
add_stacked(const Work *w, const Part *part, double *base)
{
	int32_t features = w->explainer->image->shape.nfeatures;
	double from;

	PGML_TRY(find_single(w, part, w->output));
	from = w->expected[w->output];
	*base = stacked_value(w, part, from, 0);
	for (int64_t i = 0; i < w->block->n; i++)
	{
		double to = from, factor;

		for (int32_t f = 0; f < features; f++)
			to += w->single[f * PGML_SHAP_ROWS + i];
		factor = part->member->stack * stacked_slope(w, part, i, from, to);
		for (int32_t f = 0; f < features; f++)
			w->phi[f * PGML_SHAP_ROWS + i] += factor * w->single[f * PGML_SHAP_ROWS + i];
	}
	return PGML_OK;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Add up the features of each input; for the other of two classes turned round. */
static void
sum_inputs(const Work *w, bool turned, double *contribution, int64_t stride)
{
	const PgmlRecipe *recipe = &w->explainer->image->recipe;

	for (int32_t i = 0; i < recipe->n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(recipe, i);
		int32_t end = input.used ? input.first_feature + input.n_features : 0;

		for (int64_t row = 0; row < w->block->n; row++)
		{
			double sum = 0;

			for (int32_t f = input.used ? input.first_feature : 0; f < end; f++)
				sum += w->phi[f * PGML_SHAP_ROWS + row];
			contribution[i * stride + row] = turned ? -sum : sum;
		}
	}
}

PgmlStatus
pgml_explain(const PgmlEnv *env, const PgmlExplainer *explainer, const PgmlBlock *block, int class,
			 double *base, double *contribution, int64_t stride, void *scratch)
{
	const PgmlImage *image = explainer->image;
	bool turned = image->task == PGML_TASK_BINARY && class == 0;
	Work w = { .env = env, .explainer = explainer, .block = block };

	w.output = image->task == PGML_TASK_MULTICLASS ? class : 0;
	lay_out(&w, scratch);
	memset(w.phi, 0, (size_t) image->shape.nfeatures * PGML_SHAP_ROWS * sizeof(double));
	for (int i = 0; i < image->n_members; i++)
	{
		const Part *part = &explainer->parts[i];
		double weight = image->stacked ? part->member->stack : part->member->weight, own;

		if (image->stacked)
			PGML_TRY(add_stacked(&w, part, &own));
		else if (part->carried)
			PGML_TRY(add_carried(&w, part, weight, &own));
		else
			PGML_TRY(add_part(&w, part, w.output, weight, &own, w.phi));
		w.base += weight * own;
	}
	if (turned)
		w.base = explainer->scale == PGML_SCALE_SCORE ? -w.base : 1 - w.base;
	for (int64_t i = 0; i < block->n; i++)
		base[i] = w.base;
	sum_inputs(&w, turned, contribution, stride);
	return PGML_OK;
}
