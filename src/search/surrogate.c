/*
 * surrogate.c - a random forest on the history of a search, see surrogate.h.
 */
#include "search/surrogate.h"

#include <math.h>
#include <string.h>

#define N_TREES      50
#define MAX_FEATURES 0.8 /* share of the features looked at for each split */
#define LEAST_LEAF   1

struct PgmlSurrogate
{
	const PgmlSearch *search;
	PgmlMatrix x;
	PgmlTrees trees;
	int first[PGML_MAX_SPACES]; /* feature of dimension 0 of each space */
	float *row;                 /* one, for predictions */
	double best;
};

/* What is learned from. */
typedef struct Cases
{
	int n;
	int *told; /* places in the history */
	double *y; /* normal scores */
	int32_t *rows;
} Cases;

/* The features of a point, missing where they are of another space. */
static void
make_row(const PgmlSurrogate *s, int space, const double *u, float *row)
{
	const PgmlSpace *sp = &s->search->space[space];

	for (int32_t f = 1; f < s->x.nfeatures; f++)
		row[f] = NAN;
	row[0] = (float) space;
	for (int d = 0; d < sp->n_dims; d++)
	{
		bool list = sp->dim[d].n_values > 0 && !sp->dim[d].ordered;

		row[s->first[space] + d] =
			(float) (list && !isnan(u[d]) ? floor(u[d] * sp->dim[d].n_values) : u[d]);
	}
}

/* One feature for the learner, and one for every dimension of every space. */
static PgmlStatus
make_features(PgmlSurrogate *s, PgmlArena *arena, int64_t n)
{
	const PgmlSearch *search = s->search;
	int32_t nf = 1;
	PgmlFeature *features;
	float **col;

	for (int i = 0; i < search->n_spaces; i++)
	{
		s->first[i] = nf;
		nf += search->space[i].n_dims;
	}
	features = pgml_zalloc(arena, (size_t) nf, sizeof(PgmlFeature));
	col = pgml_zalloc(arena, (size_t) nf, sizeof(float *));
	s->row = pgml_array(arena, (size_t) nf, sizeof(float));
	if (!features || !col || !s->row)
		return pgml_fail_nomem(search->env, "a search");
	features[0] = (PgmlFeature){ .categorical = true, .n_levels = search->n_spaces };
	for (int i = 0; i < search->n_spaces; i++)
		for (int d = 0; d < search->space[i].n_dims; d++)
		{
			const PgmlDomain *dim = &search->space[i].dim[d];

			if (dim->n_values > 0 && !dim->ordered)
				features[s->first[i] + d] =
					(PgmlFeature){ .categorical = true, .n_levels = dim->n_values };
		}
	for (int32_t f = 0; f < nf; f++)
	{
		col[f] = pgml_array(arena, (size_t) n, sizeof(float));
		if (col[f] == NULL)
			return pgml_fail_nomem(search->env, "a search");
	}
	s->x = (PgmlMatrix){ .nrows = n, .nfeatures = nf, .features = features, .col = col };
	return PGML_OK;
}

/* Is a worse than b?  Failed ones are worst. */
static bool
worse(const PgmlProposal *a, const PgmlProposal *b)
{
	return isnan(a->loss) ? !isnan(b->loss) : !isnan(b->loss) && a->loss > b->loss;
}

/* Quantile of the normal distribution, to about 4.5e-4 (Hastings 1955; Abramowitz and Stegun 26.2.23). */
static double
normal_quantile(double p)
{
	double q = p < 0.5 ? p : 1 - p;
	double t = sqrt(-2 * log(q));
	double x = t - (2.515517 + 0.802853 * t + 0.010328 * t * t) /
					   (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t);

	return p < 0.5 ? -x : x;
}

/* The whole trials with the normal scores of their ranks, ties sharing theirs. */
static PgmlStatus
make_cases(const PgmlSearch *search, PgmlArena *arena, Cases *c)
{
	size_t room = (size_t) search->n_told + 1;

	c->told = pgml_array(arena, room, sizeof(int));
	c->y = pgml_array(arena, room, sizeof(double));
	c->rows = pgml_array(arena, room, sizeof(int32_t));
	if (!c->told || !c->y || !c->rows)
		return pgml_fail_nomem(search->env, "a search");
	for (int i = 0; i < search->n_told; i++)
		if (search->told[i].share == 1)
		{
			c->rows[c->n] = c->n;
			c->told[c->n++] = i;
		}
	for (int i = 0; i < c->n; i++)
	{
		const PgmlProposal *p = &search->told[c->told[i]];
		double below = 0, same = 0;

		for (int j = 0; j < c->n; j++)
		{
			const PgmlProposal *other = &search->told[c->told[j]];

			below += worse(p, other);
			same += !worse(p, other) && !worse(other, p);
		}
		c->y[i] = normal_quantile((below + same / 2) / c->n);
	}
	return PGML_OK;
}

/* Grow the forest. */
static PgmlStatus
fit(PgmlSurrogate *s, PgmlArena *arena, const Cases *c, uint64_t seed)
{
	const PgmlLearner *learner = &pgml_learner_random_forest;
	PgmlEnv env = *s->search->env;
	PgmlDataset data = { .x = &s->x,
						 .y = c->y,
						 .task = PGML_TASK_REGRESSION,
						 .n_classes = 1,
						 .rows = c->rows,
						 .n = c->n };
	bool *categorical = pgml_array(arena, (size_t) s->x.nfeatures, sizeof(bool));
	int32_t *n_levels = pgml_array(arena, (size_t) s->x.nfeatures, sizeof(int32_t));
	PgmlShape shape = { PGML_TASK_REGRESSION, 1, s->x.nfeatures, categorical, n_levels };
	PgmlFit out = { 0 };
	PgmlParams params;
	uint8_t *payload;
	PgmlStatus status;

	if (!categorical || !n_levels)
		return pgml_fail_nomem(s->search->env, "a search");
	for (int32_t f = 0; f < s->x.nfeatures; f++)
	{
		categorical[f] = s->x.features[f].categorical;
		n_levels[f] = s->x.features[f].n_levels;
	}
	env.pool = NULL;
	env.deadline = 0;
	env.seed = seed;
	pgml_params_default(learner, &params);
	PGML_TRY(pgml_params_set(learner, &params, "n_estimators", N_TREES, env.error));
	PGML_TRY(pgml_params_set(learner, &params, "max_features", MAX_FEATURES, env.error));
	PGML_TRY(pgml_params_set(learner, &params, "min_samples_leaf", LEAST_LEAF, env.error));
	PGML_TRY(pgml_params_set(learner, &params, "leaf_smoothing", 0, env.error));
	pgml_buf_init(&out.payload, env.budget);
	status = learner->fit(&env, &data, &params, &out);
	/* The trees point into the payload, which has to last as long as they do. */
	payload = status == PGML_OK ? pgml_alloc(arena, out.payload.len) : NULL;
	if (payload != NULL)
		memcpy(payload, out.payload.data, out.payload.len);
	else if (status == PGML_OK)
		status = pgml_fail_nomem(&env, "a search");
	pgml_buf_free(&out.payload);
	PGML_TRY(status);
	return learner->trees(&env, arena, payload, &shape, &s->trees);
}

PgmlStatus
pgml_surrogate_create(const PgmlSearch *search, PgmlArena *arena, uint64_t seed,
					  PgmlSurrogate **surrogate)
{
	PgmlSurrogate *s = pgml_zalloc(arena, 1, sizeof(PgmlSurrogate));
	Cases c = { 0 };

	if (s == NULL)
		return pgml_fail_nomem(search->env, "a search");
	s->search = search;
	*surrogate = s;
	PGML_TRY(make_cases(search, arena, &c));
	PGML_TRY(make_features(s, arena, c.n));
	s->best = INFINITY;
	for (int i = 0; i < c.n; i++)
	{
		const PgmlProposal *p = &search->told[c.told[i]];

		make_row(s, p->space, p->u, s->row);
		for (int32_t f = 0; f < s->x.nfeatures; f++)
			s->x.col[f][i] = s->row[f];
		s->best = fmin(s->best, c.y[i]);
	}
	return fit(s, arena, &c, seed);
}

/* Value of a tree for the row. */
static double
tree_value(const PgmlTree *tree, const PgmlMatrix *m, const float *row)
{
	int32_t at = tree->n_nodes > 0 ? 0 : ~0;

	while (at >= 0)
	{
		const PgmlTreeNode *node = &tree->node[at];
		float x = row[node->feature];
		bool left;

		if (m->features[node->feature].categorical)
		{
			uint32_t bin = isnan(x) ? 0 : (uint32_t) x + 1;

			left = (node->set[bin / 32] >> bin % 32) & 1;
		}
		else
			left = isnan(x) ? node->missing_left : x <= node->threshold;
		at = left ? node->left : node->right;
	}
	return tree->value[~at];
}

void
pgml_surrogate_predict(const PgmlSurrogate *s, int space, const double *u, double *mean,
					   double *variance)
{
	double factor = s->trees.scale * (double) s->trees.n_trees;
	double sum = 0, squares = 0;
	double n = (double) s->trees.n_trees;

	make_row(s, space, u, s->row);
	for (int64_t i = 0; i < s->trees.n_trees; i++)
	{
		double value = s->trees.offset[0] + factor * tree_value(&s->trees.tree[i], &s->x, s->row);

		sum += value;
		squares += value * value;
	}
	*mean = sum / n;
	*variance = fmax(squares / n - *mean * *mean, 0);
}

double
pgml_surrogate_best(const PgmlSurrogate *s)
{
	return s->best;
}
