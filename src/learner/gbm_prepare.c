/*
 * gbm_prepare.c - from a stored boosted model to the form in which blocks of rows are scored.
 */
#include "learner/gbm_block.h"

#include <math.h>
#include <string.h>

#include "learner/pieces.h"

/* Trees between two looks at the stop flag. */
#define POLL_TREES 64
#define POLL_STEPS 16384

const PgmlGbmKernel *const *
pgml_gbm_kernels(int *n)
{
	static const PgmlGbmKernel *const kernels[] = {
#if defined(__x86_64__) && defined(__GNUC__)
		&pgml_gbm_kernel_avx512vbmi,
		&pgml_gbm_kernel_avx512,
		&pgml_gbm_kernel_avx2,
#endif
		&pgml_gbm_kernel_plain,
	};

	*n = (int) (sizeof(kernels) / sizeof(kernels[0]));
	return kernels;
}

const PgmlGbmKernel *
pgml_gbm_best_kernel(void)
{
	int n;
	const PgmlGbmKernel *const *kernel = pgml_gbm_kernels(&n);

	while (!(*kernel)->runs_here())
		kernel++;
	return *kernel;
}

/* ---- preparing: features ------------------------------------------------------------------- */

#define NO_LINE UINT32_MAX

/* What is known of a feature while a model is prepared. */
typedef struct Feature
{
	PgmlGbmCuts
		*cuts;    /* as pieces; while thresholds are collected: sorted; NULL: no numeric node yet */
	bool used[2]; /* numeric: by nodes where missing goes right; left.  Categorical: [0] */
	uint32_t line[2];
} Feature;

/* A model being prepared. */
typedef struct Making
{
	const PgmlEnv *env;
	PgmlArena *arena; /* of the pieces */
	PgmlGbmPrepared *p;
	Feature *features;
	uint32_t n_cuts;
	uint32_t n_lines;
	uint32_t n_tests; /* made so far */
	uint32_t n_sets;
	uint32_t n_values;
	size_t n_steps;
	PgmlGbmTest *test;
	PgmlGbmSet *set;
	double *value;
} Making;

bool
pgml_gbm_insert_cut(PgmlGbmCuts *cuts, float threshold)
{
	int32_t low = 0; /* of them less than the threshold, at least */

	/* Without branches, which would be guessed wrong half of the time. */
	for (int32_t size = cuts->n; size > 0; size /= 2)
	{
		int32_t half = (size + 1) / 2;

		low += half * (cuts->at[low + half - 1] < threshold);
	}
	if (low < cuts->n && cuts->at[low] == threshold)
		return true;
	if (cuts->n == PGML_GBM_BLOCK_CUTS)
		return false;
	memmove(&cuts->at[low + 1], &cuts->at[low], (size_t) (cuts->n - low) * sizeof(float));
	cuts->at[low] = threshold;
	cuts->n++;
	return true;
}

/* Note the feature of a node and, if it is numeric, its threshold; *fits is false when there are too many. */
static PgmlStatus
note_node(Making *m, const PgmlGbmNode16 *node, bool *fits)
{
	Feature *f = &m->features[node->feature & PGML_GBM_FEATURE];

	if (node->feature & PGML_GBM_CATEGORICAL)
	{
		f->used[0] = true;
		return PGML_OK;
	}
	f->used[(node->feature & PGML_GBM_MISSING_LEFT) != 0] = true;
	if (f->cuts == NULL)
	{
		f->cuts = pgml_zalloc(m->arena, 1, sizeof(PgmlGbmCuts));
		if (f->cuts == NULL)
			return pgml_fail_nomem(m->env, "a prepared model");
		m->n_cuts++;
	}
	*fits = pgml_gbm_insert_cut(f->cuts, node->u.threshold);
	return PGML_OK;
}

/* Note all nodes; *fits: the model has a prepared form as far as this tells. */
static PgmlStatus
note_nodes(Making *m, bool *fits)
{
	const PgmlGbmView *v = &m->p->view;

	*fits = true;
	for (uint32_t t = 0; *fits && t < v->header->n_trees; t++)
	{
		*fits = pgml_gbm_tree_nodes(v, t) < PGML_GBM_BLOCK_LEAVES;
		if (t % POLL_TREES == 0 && pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		for (uint32_t i = v->first[t]; *fits && i < v->first[t + 1]; i++)
			PGML_TRY(note_node(m, &v->node[i], fits));
	}
	return PGML_OK;
}

void
pgml_gbm_plant_cuts(PgmlGbmCuts *cuts)
{
	for (int32_t i = 0; i <= PGML_GBM_BLOCK_CUTS; i++)
		cuts->sorted[i] = i < cuts->n ? cuts->at[i] : INFINITY;
	for (int32_t i = 0; i < 16; i++)
		cuts->last[i] = cuts->sorted[16 * i + 15];
	cuts->depth = 0;
	while ((1 << cuts->depth) - 1 < cuts->n)
		cuts->depth++;
	for (int32_t level = 0; level < cuts->depth; level++)
	{
		int32_t half = 1 << (cuts->depth - level - 1);

		for (int32_t node = 0; node < 1 << level; node++)
			cuts->at[(1 << level) - 1 + node] = cuts->sorted[2 * half * node + half - 1];
	}
	for (int32_t i = (1 << cuts->depth) - 1; i <= PGML_GBM_BLOCK_CUTS; i++)
		cuts->at[i] = INFINITY;
}

/* Lines of the numeric features. */
static PgmlStatus
make_number_lines(Making *m)
{
	int32_t d = m->p->shape->nfeatures;
	PgmlGbmNumberLine *line = pgml_zalloc(m->arena, 2 * (size_t) d + 1, sizeof(PgmlGbmNumberLine));
	PgmlGbmCuts *cuts = pgml_array(m->arena, m->n_cuts + 1, sizeof(PgmlGbmCuts));
	uint32_t k = 0;

	if (line == NULL || cuts == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	m->p->number = line;
	m->p->cuts = cuts;
	for (int32_t f = 0; f < d; f++)
	{
		Feature *feature = &m->features[f];

		if (feature->cuts == NULL)
			continue;
		for (int left = 0; left < 2; left++)
		{
			/* Ranks are compared with those of thresholds, 0 to n - 1: n is beyond all, 0 beyond none. */
			int32_t rank = left ? 0 : feature->cuts->n;

			if (!feature->used[left])
				continue;
			feature->line[left] = m->n_lines;
			line[m->n_lines].feature = f;
			line[m->n_lines].cuts = k;
			line[m->n_lines++].missing = (int8_t) (rank - PGML_GBM_RANK_BIAS);
		}
		pgml_gbm_plant_cuts(feature->cuts);
		cuts[k++] = *feature->cuts;
	}
	m->p->n_numbers = m->n_lines;
	return PGML_OK;
}

/* Lines of the categorical features. */
static PgmlStatus
make_category_lines(Making *m)
{
	const PgmlShape *shape = m->p->shape;
	int32_t *category = pgml_array(m->arena, (size_t) shape->nfeatures + 1, sizeof(int32_t));

	if (category == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	m->p->category = category;
	for (int32_t f = 0; f < shape->nfeatures; f++)
	{
		if (!shape->categorical[f] || !m->features[f].used[0])
			continue;
		m->features[f].line[0] = m->n_lines;
		m->n_lines += 2;
		category[m->p->n_categories++] = f;
	}
	return PGML_OK;
}

/* ---- preparing: trees ---------------------------------------------------------------------- */

/* A subtree still to be laid out: a node, or a leaf; and the test that leads there when it is a right one. */
typedef struct Pending
{
	int32_t child;
	int32_t test; /* -1: none */
} Pending;

/* Append the test of a node; what satisfies it goes to *right. */
static PgmlGbmTest
make_test(Making *m, const PgmlGbmNode16 *node, uint32_t first_set, int32_t *left, int32_t *right)
{
	const PgmlGbmView *v = &m->p->view;
	uint32_t f = node->feature & PGML_GBM_FEATURE;
	bool missing_left = (node->feature & PGML_GBM_MISSING_LEFT) != 0;
	PgmlGbmTest test = { 0 };

	if (!(node->feature & PGML_GBM_CATEGORICAL))
	{
		test.line = m->features[f].line[missing_left];
		test.rank =
			(int8_t) (pgml_gbm_rank(m->features[f].cuts, node->u.threshold) - PGML_GBM_RANK_BIAS);
		*left = node->left;
		*right = node->right;
		return test;
	}
	PgmlGbmSet *set = &m->set[m->n_sets];
	uint32_t words = pgml_gbm_set_words(m->p->shape->n_levels[f], v->header->max_bin);

	memset(set, 0, sizeof(*set));
	set->line = m->features[f].line[0];
	memcpy(set->bits, v->word + node->u.word, words * sizeof(uint32_t));
	test.line = m->n_lines + (m->n_sets++ - first_set);
	test.rank = -1; /* 0, contained, is greater */
	*left = node->right;
	*right = node->left;
	return test;
}

/*
 * Lay out tree t.  Verified nodes may share children: false when it is no tree.
 */
static bool
make_tree(Making *m, uint32_t t)
{
	const PgmlGbmView *v = &m->p->view;
	const PgmlGbmNode16 *node = v->node + v->first[t];
	const double *value = pgml_gbm_leaf_values(v, t);
	PgmlGbmTest *test = m->test + m->n_tests;
	uint32_t first_set = m->n_sets;
	Pending pending[PGML_GBM_BLOCK_LEAVES + 1];
	bool seen[PGML_GBM_BLOCK_LEAVES] = { false };
	int32_t n_pending = 1;
	int32_t n_tests = 0;
	int32_t n_leaves = 0;

	pending[0] = (Pending){ pgml_gbm_tree_nodes(v, t) > 0 ? 0 : ~0, -1 };
	while (n_pending > 0)
	{
		Pending p = pending[--n_pending];
		int32_t left, right;

		if (p.test >= 0)
			test[p.test].to = (uint8_t) n_leaves;
		if (p.child < 0)
		{
			m->value[m->n_values + (uint32_t) n_leaves++] = value[~p.child];
			continue;
		}
		if (seen[p.child])
			return false;
		seen[p.child] = true;
		test[n_tests] = make_test(m, &node[p.child], first_set, &left, &right);
		test[n_tests].from = (uint8_t) n_leaves;
		pending[n_pending++] = (Pending){ right, n_tests++ };
		pending[n_pending++] = (Pending){ left, -1 };
	}
	if (m->n_sets - first_set > m->p->most_sets)
		m->p->most_sets = m->n_sets - first_set;
	m->n_tests += (uint32_t) n_tests;
	m->n_values += (uint32_t) n_leaves;
	return true;
}

/* Memory for the trees. */
static PgmlStatus
make_room(Making *m, PgmlGbmTreeStart **tree)
{
	const PgmlGbmView *v = &m->p->view;
	size_t n_sets = 0;

	for (uint32_t i = 0; i < v->header->n_nodes; i++)
		n_sets += (v->node[i].feature & PGML_GBM_CATEGORICAL) != 0;
	*tree = pgml_array(m->arena, (size_t) v->header->n_trees + 1, sizeof(PgmlGbmTreeStart));
	m->test = pgml_array(m->arena, (size_t) v->header->n_nodes + 1, sizeof(PgmlGbmTest));
	m->set = pgml_array(m->arena, n_sets + 1, sizeof(PgmlGbmSet));
	m->value =
		pgml_array(m->arena, (size_t) v->header->n_nodes + v->header->n_trees + 1, sizeof(double));
	if (*tree == NULL || m->test == NULL || m->set == NULL || m->value == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	return PGML_OK;
}

/* Lay out all trees, those of an output together. */
static PgmlStatus
make_trees(Making *m, bool *fits)
{
	uint32_t n_trees = m->p->view.header->n_trees;
	uint32_t outputs = m->p->view.header->n_outputs;
	PgmlGbmTreeStart *tree;
	uint32_t k = 0;

	PGML_TRY(make_room(m, &tree));
	for (uint32_t o = 0; o < outputs; o++)
		for (uint32_t t = o; *fits && t < n_trees; t += outputs)
		{
			if (k % POLL_TREES == 0 && pgml_stopped(m->env))
				return pgml_fail_cancelled(m->env);
			tree[k++] = (PgmlGbmTreeStart){ m->n_tests, m->n_sets };
			*fits = make_tree(m, t);
		}
	tree[k] = (PgmlGbmTreeStart){ m->n_tests, m->n_sets };
	m->p->tree = tree;
	m->p->test = m->test;
	m->p->set = m->set;
	m->p->value = m->value;
	return PGML_OK;
}

/* Steps of the trees from `first` on that one row passes through together: the most tests that one of them has. */
static uint32_t
count_steps(const PgmlGbmPrepared *p, uint32_t first)
{
	uint32_t most = 0;

	for (uint32_t t = first; t < first + PGML_GBM_STEP_TREES && t < p->view.header->n_trees; t++)
		if (p->tree[t + 1].test - p->tree[t].test > most)
			most = p->tree[t + 1].test - p->tree[t].test;
	return most;
}

/* Times that 64 trees, or less, are passed through together. */
static size_t
step_groups(const PgmlGbmPrepared *p)
{
	return ((size_t) p->view.header->n_trees + PGML_GBM_STEP_TREES - 1) / PGML_GBM_STEP_TREES;
}

/* One tree's tests in the steps. */
static void
enter_steps(PgmlGbmPrepared *p, PgmlGbmSet *set, uint32_t t, PgmlGbmStep *step)
{
	uint32_t lane = t % PGML_GBM_STEP_TREES;
	uint32_t first_set = p->n_numbers + 2 * p->n_categories;

	set += p->tree[t].set;
	for (uint32_t i = p->tree[t].test; i < p->tree[t + 1].test; i++, step++)
	{
		const PgmlGbmTest *test = &p->test[i];
		uint32_t place = (i - p->tree[t].test) * PGML_GBM_STEP_TREES + lane;

		if (test->line >= first_set)
			set[test->line - first_set].place = place;
		step->line[lane] = test->line >= first_set ? PGML_GBM_STEP_SET : (uint8_t) test->line;
		step->rank[lane] = test->rank;
		step->from[lane] = test->from;
		step->to[lane] = test->to;
	}
}

/* The steps of all trees, if one row can be passed through them here. */
static PgmlStatus
make_steps(Making *m)
{
	PgmlGbmPrepared *p = m->p;
	uint32_t n_trees = p->view.header->n_trees;
	size_t n = 0;
	uint32_t *n_steps;
	PgmlGbmStep *step;

	if (p->kernel->find_row == NULL || p->n_numbers > PGML_GBM_STEP_LINES)
		return PGML_OK;
	n_steps = pgml_array(m->arena, step_groups(p) + 1, sizeof(uint32_t));
	if (n_steps == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	for (uint32_t t = 0; t < n_trees; t += PGML_GBM_STEP_TREES)
		n += n_steps[t / PGML_GBM_STEP_TREES] = count_steps(p, t);
	step = pgml_array(m->arena, n + 1, sizeof(PgmlGbmStep));
	if (step == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	p->n_steps = n_steps;
	p->step = step;
	m->n_steps = n;
	for (size_t k = 0; k < n; k++)
	{
		if (k % POLL_STEPS == 0 && pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		memset(&step[k], 0, sizeof(step[k]));
		memset(step[k].rank, INT8_MAX, sizeof(step[k].rank)); /* nothing is greater */
	}
	for (uint32_t t = 0; t < n_trees; t++)
	{
		if (t % POLL_TREES == 0 && pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		enter_steps(p, m->set, t, step);
		if (t % PGML_GBM_STEP_TREES == PGML_GBM_STEP_TREES - 1)
			step += n_steps[t / PGML_GBM_STEP_TREES];
	}
	return PGML_OK;
}

/* ---- preparing: the whole ------------------------------------------------------------------ */

/* Number of a kernel. */
static uint32_t
number_of(const PgmlGbmKernel *kernel)
{
	int n;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n);
	uint32_t k = 0;

	while (kernels[k] != kernel)
		k++;
	return k;
}

/* Put the pieces together, without pointers. */
static PgmlStatus
assemble(const Making *m, PgmlArena *arena, const void **prepared)
{
	const PgmlGbmPrepared *p = m->p;
	size_t n_trees = p->view.header->n_trees + 1;
	PgmlGbmForm form = { .kernel = number_of(p->kernel),
						 .n_numbers = p->n_numbers,
						 .n_categories = p->n_categories,
						 .most_sets = p->most_sets };
	char *base;

	pgml_piece_place(&form.size, 1, sizeof(PgmlGbmForm));
	/* What a row alone needs lies together. */
	form.number = pgml_piece_place(&form.size, p->n_numbers, sizeof(PgmlGbmNumberLine));
	form.category = pgml_piece_place(&form.size, p->n_categories, sizeof(int32_t));
	form.cuts = pgml_piece_place(&form.size, m->n_cuts, sizeof(PgmlGbmCuts));
	form.tree = pgml_piece_place(&form.size, n_trees, sizeof(PgmlGbmTreeStart));
	form.set = pgml_piece_place(&form.size, m->n_sets, sizeof(PgmlGbmSet));
	form.value = pgml_piece_place(&form.size, m->n_values, sizeof(double));
	form.n_steps =
		pgml_piece_place(&form.size, p->step == NULL ? 0 : step_groups(p), sizeof(uint32_t));
	form.step = p->step == NULL ? 0 : pgml_piece_place(&form.size, m->n_steps, sizeof(PgmlGbmStep));
	form.test = pgml_piece_place(&form.size, m->n_tests, sizeof(PgmlGbmTest));
	base = pgml_zalloc(arena, 1, form.size);
	if (base == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	pgml_piece_fill(base, 0, &form, 1, sizeof(PgmlGbmForm));
	pgml_piece_fill(base, form.number, p->number, p->n_numbers, sizeof(PgmlGbmNumberLine));
	pgml_piece_fill(base, form.category, p->category, p->n_categories, sizeof(int32_t));
	pgml_piece_fill(base, form.cuts, p->cuts, m->n_cuts, sizeof(PgmlGbmCuts));
	pgml_piece_fill(base, form.tree, p->tree, n_trees, sizeof(PgmlGbmTreeStart));
	pgml_piece_fill(base, form.set, m->set, m->n_sets, sizeof(PgmlGbmSet));
	pgml_piece_fill(base, form.value, m->value, m->n_values, sizeof(double));
	pgml_piece_fill(base, form.n_steps, p->n_steps, p->step == NULL ? 0 : step_groups(p),
					sizeof(uint32_t));
	pgml_piece_fill(base, form.step, p->step, m->n_steps, sizeof(PgmlGbmStep));
	pgml_piece_fill(base, form.test, m->test, m->n_tests, sizeof(PgmlGbmTest));
	*prepared = base;
	return PGML_OK;
}

/* Make the pieces in m's arena, and of them the whole in another one. */
static PgmlStatus
make(Making *m, PgmlArena *arena, const void **prepared)
{
	bool fits;

	m->features = pgml_zalloc(m->arena, (size_t) m->p->shape->nfeatures + 1, sizeof(Feature));
	if (m->features == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	PGML_TRY(note_nodes(m, &fits));
	if (!fits)
		return PGML_OK;
	PGML_TRY(make_number_lines(m));
	PGML_TRY(make_category_lines(m));
	PGML_TRY(make_trees(m, &fits));
	if (!fits)
		return PGML_OK;
	PGML_TRY(make_steps(m));
	return assemble(m, arena, prepared);
}

PgmlStatus
pgml_gbm_prepare_for(const PgmlEnv *env, PgmlArena *arena, const PgmlGbmKernel *kernel,
					 const uint8_t *payload, const PgmlShape *shape, const void **prepared)
{
	PgmlGbmPrepared p = { .kernel = kernel, .shape = shape, .view = pgml_gbm_view(payload) };
	Making m = { .env = env, .arena = pgml_arena_create(env->budget), .p = &p };
	PgmlStatus status;

	*prepared = NULL;
	if (m.arena == NULL)
		return pgml_fail_nomem(env, "a prepared model");
	status = make(&m, arena, prepared);
	pgml_arena_destroy(m.arena);
	return status;
}

PgmlStatus
pgml_gbm_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
				 const PgmlShape *shape, const void **prepared)
{
	return pgml_gbm_prepare_for(env, arena, pgml_gbm_best_kernel(), payload, shape, prepared);
}

size_t
pgml_gbm_prepared_size(const void *prepared)
{
	return ((const PgmlGbmForm *) prepared)->size;
}
