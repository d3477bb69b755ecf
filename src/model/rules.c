/*
 * rules.c - a model of one decision tree as rules.
 */
#include "model/rules.h"

#include <math.h>
#include <string.h>

#include "prep/recipe_sql.h"

/* The edge that leads to a node or a leaf. */
typedef struct Edge
{
	int32_t parent; /* node; -1: the root */
	bool left;
} Edge;

/* What writing rules takes. */
typedef struct Writer
{
	const PgmlEnv *env;
	PgmlArena *arena;
	const PgmlImage *image;
	const PgmlTrees *trees;
	const PgmlTree *tree;
	Edge *node;
	Edge *leaf;
	int32_t *path; /* nodes from the root to the leaf */
	bool *level_left;
	bool exact;
} Writer;

/* One tree, and nothing else, is what rules are made of. */
static PgmlStatus
check_image(const PgmlEnv *env, const PgmlImage *image)
{
	const PgmlMember *member = &image->members[0];

	if (image->n_members == 1 && member->learner == &pgml_learner_decision_tree)
		return PGML_OK;
	if (image->n_members > 1)
		pgml_fail(env->error, PGML_ERR_BADARG,
				  "the model is an average of %d fitted learners, only one decision_tree has rules",
				  image->n_members);
	else
		pgml_fail(env->error, PGML_ERR_BADARG,
				  "the model's learner is \"%s\", only a decision_tree has rules",
				  member->learner->name);
	pgml_fail_hint(env->error,
				   "Train with algorithms => '{decision_tree}', options => '{\"folds\": 1}'.");
	return PGML_ERR_BADARG;
}

/* Edges to all nodes and leaves. */
static PgmlStatus
find_edges(Writer *w)
{
	size_t n = (size_t) w->tree->n_nodes;
	int32_t most = 0;

	for (int32_t f = 0; f < w->image->shape.nfeatures; f++)
		most = w->image->shape.n_levels[f] > most ? w->image->shape.n_levels[f] : most;
	w->node = pgml_array(w->arena, n + 1, sizeof(Edge));
	w->leaf = pgml_array(w->arena, n + 1, sizeof(Edge));
	w->path = pgml_array(w->arena, n + 1, sizeof(int32_t));
	w->level_left = pgml_array(w->arena, (size_t) most + 1, sizeof(bool));
	if (!w->node || !w->leaf || !w->path || !w->level_left)
		return pgml_fail_nomem(w->env, "rules");
	w->node[0].parent = w->leaf[0].parent = -1;
	for (int32_t i = 0; i < w->tree->n_nodes; i++)
		for (int c = 0; c < 2; c++)
		{
			int32_t child = c == 0 ? w->tree->node[i].left : w->tree->node[i].right;

			*(child >= 0 ? &w->node[child] : &w->leaf[~child]) = (Edge){ i, c == 0 };
		}
	return PGML_OK;
}

/* The question of a node. */
static PgmlFeatureTest
test_of(const Writer *w, const PgmlTreeNode *node)
{
	PgmlFeatureTest test = { .threshold = node->threshold, .missing_left = node->missing_left };

	if (node->set == NULL)
		return test;
	test.level_left = w->level_left;
	test.missing_left = node->set[0] & 1;
	for (int32_t l = 0; l < w->image->shape.n_levels[node->feature]; l++)
	{
		uint32_t bin = (uint32_t) l < w->trees->max_bin - 1 ? (uint32_t) l + 1 : w->trees->max_bin;

		w->level_left[l] = node->set[bin / 32] >> bin % 32 & 1;
	}
	return test;
}

/* Did the path to the leaf go left at its at-th node? */
static bool
went_left(const Writer *w, int32_t n, int32_t at, Edge last)
{
	return at + 1 < n ? w->node[w->path[at + 1]].left : last.left;
}

/*
 * Questions to a number on the way are told together: each bound but the tightest is left out, and whether missing values pass is
 * what all of them say.  False when this one is left out, else *test may be changed.
 */
static bool
join_numbers(const Writer *w, int32_t n, int32_t at, Edge last, PgmlFeatureTest *test)
{
	const PgmlTreeNode *node = &w->tree->node[w->path[at]];
	bool left = went_left(w, n, at, last);
	bool missing = true;

	for (int32_t i = 0; i < n && node->set == NULL; i++)
	{
		const PgmlTreeNode *other = &w->tree->node[w->path[i]];
		bool other_left = went_left(w, n, i, last);

		if (other->feature != node->feature)
			continue;
		missing &= other->missing_left == other_left;
		/* "No number is" turned round only says that it is there, as the bounds then do. */
		if (isnan(node->threshold) && !left && !isnan(other->threshold))
			return false;
		if (i > at && other_left == left &&
			(left ? other->threshold <= node->threshold : other->threshold >= node->threshold))
			return false;
	}
	if (node->set == NULL)
		test->missing_left = missing == left;
	return true;
}

/* The condition of a leaf. */
static PgmlStatus
write_condition(const Writer *w, int32_t leaf, const char **out)
{
	Edge last = w->leaf[leaf];
	int32_t n = 0, said = 0;
	PgmlStatus status = PGML_OK;
	PgmlBuf text;

	for (int32_t at = last.parent; at >= 0; at = w->node[at].parent)
		w->path[n++] = at;
	for (int32_t i = 0; i < n / 2; i++)
	{
		int32_t swap = w->path[i];

		w->path[i] = w->path[n - 1 - i];
		w->path[n - 1 - i] = swap;
	}
	pgml_buf_init(&text, w->env->budget);
	for (int32_t i = 0; i < n && status == PGML_OK; i++)
	{
		PgmlFeatureTest test = test_of(w, &w->tree->node[w->path[i]]);

		if (!join_numbers(w, n, i, last, &test))
			continue;
		if (said++ > 0)
			pgml_buf_put(&text, " AND ", 5);
		status = pgml_recipe_condition(&w->image->recipe, w->tree->node[w->path[i]].feature, &test,
									   went_left(w, n, i, last), w->exact, &text, w->env->error);
	}
	if (said == 0)
		pgml_buf_put(&text, "true", 4);
	pgml_buf_put_u8(&text, 0);
	if (status == PGML_OK)
		*out = text.failed ? NULL : pgml_strdup(w->arena, (const char *) text.data);
	pgml_buf_free(&text);
	if (status == PGML_OK && *out == NULL)
		return pgml_fail_nomem(w->env, "rules");
	return status;
}

/* Leaves from left to right. */
static PgmlStatus
order_leaves(const Writer *w, int32_t *order)
{
	int32_t *open = pgml_array(w->arena, (size_t) w->tree->n_nodes + 2, sizeof(int32_t));
	int32_t n_open = 0, n = 0;

	if (open == NULL)
		return pgml_fail_nomem(w->env, "rules");
	open[n_open++] = w->tree->n_nodes > 0 ? 0 : ~0;
	while (n_open > 0)
	{
		int32_t at = open[--n_open];

		if (at < 0)
		{
			order[n++] = ~at;
			continue;
		}
		open[n_open++] = w->tree->node[at].right;
		open[n_open++] = w->tree->node[at].left;
	}
	return PGML_OK;
}

PgmlStatus
pgml_image_rules(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image, bool exact,
				 PgmlRule **rules, int32_t *n)
{
	PgmlTrees trees;
	Writer w = { .env = env, .arena = arena, .image = image, .trees = &trees, .exact = exact };
	int32_t *order;

	PGML_TRY(check_image(env, image));
	PGML_TRY(image->members[0].learner->trees(env, arena, image->members[0].payload, &image->shape,
											  &trees));
	if (trees.n_trees != 1)
		return pgml_fail(env->error, PGML_ERR_CORRUPT, "the model's decision tree is damaged");
	w.tree = &trees.tree[0];
	*n = w.tree->n_nodes + 1;
	*rules = pgml_array(arena, (size_t) *n, sizeof(PgmlRule));
	order = pgml_array(arena, (size_t) *n, sizeof(int32_t));
	if (!*rules || !order)
		return pgml_fail_nomem(env, "rules");
	PGML_TRY(find_edges(&w));
	PGML_TRY(order_leaves(&w, order));
	for (int32_t i = 0; i < *n; i++)
	{
		PgmlRule *rule = &(*rules)[i];

		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		rule->rows = w.tree->cover[order[i]];
		rule->out = w.tree->value + (int64_t) order[i] * w.tree->n_values;
		PGML_TRY(write_condition(&w, order[i], &rule->condition));
	}
	return PGML_OK;
}

/* What a rule predicts. */
static void
put_result(const PgmlImage *image, const PgmlRule *rule, int class, PgmlBuf *out)
{
	const char *label;
	double v = rule->out[0];

	if (image->task != PGML_TASK_REGRESSION && class < 0)
	{
		label = image->classes[pgml_image_class(image, rule->out)];
		pgml_sql_literal(out, label, strlen(label));
		return;
	}
	if (image->task == PGML_TASK_BINARY)
		v = class == 1 ? v : 1 - v;
	else if (image->task == PGML_TASK_MULTICLASS)
		v = rule->out[class];
	pgml_sql_number(out, v);
}

PgmlStatus
pgml_image_tree_sql(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image, int class,
					PgmlBuf *out)
{
	static const char start[] = "CASE", when[] = "\n  WHEN ", then[] = " THEN ", end[] = "\nEND";
	static const char text[] = "::text";
	PgmlRule *rules;
	int32_t n;

	PGML_TRY(pgml_image_rules(env, arena, image, true, &rules, &n));
	pgml_buf_put(out, start, sizeof(start) - 1);
	for (int32_t i = 0; i < n; i++)
	{
		pgml_buf_put(out, when, sizeof(when) - 1);
		pgml_buf_put(out, rules[i].condition, strlen(rules[i].condition));
		pgml_buf_put(out, then, sizeof(then) - 1);
		put_result(image, &rules[i], class, out);
		if (image->task != PGML_TASK_REGRESSION && class < 0)
			pgml_buf_put(out, text, sizeof(text) - 1);
	}
	pgml_buf_put(out, end, sizeof(end) - 1);
	return out->failed ? pgml_fail_nomem(env, "the expression") : PGML_OK;
}
