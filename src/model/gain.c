/*
 * gain.c - gain of splits; gain.h says what it is.
 */
#include "model/gain.h"

#include <math.h>
#include <string.h>

/* Mean values and covers of the nodes of a tree. */
typedef struct Nodes
{
	double *cover;
	double *mean; /* nodes x values */
} Nodes;

/* Cover and mean values of what hangs below. */
static const double *
look_up(const PgmlTree *tree, const Nodes *nodes, int32_t child, double *cover)
{
	*cover = child >= 0 ? nodes->cover[child] : tree->cover[~child];
	return child >= 0 ? nodes->mean + (int64_t) child * tree->n_values :
						tree->value + (int64_t) ~child * tree->n_values;
}

/* Add the gains of a tree to those of the players; children come after their parents. */
static void
add_tree(const PgmlTrees *trees, const PgmlTree *tree, int32_t nfeatures, const Nodes *nodes,
		 double *gain)
{
	for (int32_t i = tree->n_nodes - 1; i >= 0; i--)
	{
		const PgmlTreeNode *node = &tree->node[i];
		double *mean = nodes->mean + (int64_t) i * tree->n_values;
		double left, right;
		const double *a = look_up(tree, nodes, node->left, &left);
		const double *b = look_up(tree, nodes, node->right, &right);
		double share = left / (left + right);
		int32_t player = pgml_trees_player(trees, nfeatures, node->feature);

		nodes->cover[i] = left + right;
		for (int32_t k = 0; k < tree->n_values; k++)
		{
			mean[k] = b[k] + share * (a[k] - b[k]);
			gain[player] += left * (1 - share) * (a[k] - b[k]) * (a[k] - b[k]);
		}
	}
}

/* Gains of the features in one member's trees; a set's are shared by its features. */
static PgmlStatus
member_gain(const PgmlEnv *env, PgmlArena *arena, const PgmlMember *member, const PgmlShape *shape,
			double *gain)
{
	size_t nodes = 0, means = 0, players;
	double *of_player;
	PgmlTrees trees;
	PgmlStatus status;
	Nodes room;

	memset(gain, 0, (size_t) shape->nfeatures * sizeof(double));
	status = member->learner->trees(env, arena, member->payload, shape, &trees);
	if (status != PGML_OK)
		return status == PGML_ERR_BADARG ? PGML_OK : status;
	for (int64_t t = 0; t < trees.n_trees; t++)
	{
		size_t n = (size_t) trees.tree[t].n_nodes, k = (size_t) trees.tree[t].n_values;

		nodes = n > nodes ? n : nodes;
		means = n * k > means ? n * k : means;
	}
	room.cover = pgml_array(arena, nodes + 1, sizeof(double));
	room.mean = pgml_array(arena, means + 1, sizeof(double));
	players = (size_t) pgml_trees_players(&trees, shape->nfeatures);
	of_player = pgml_zalloc(arena, players + 1, sizeof(double));
	if (!room.cover || !room.mean || !of_player)
		return pgml_fail_nomem(env, "the importance of columns");
	for (int64_t t = 0; t < trees.n_trees; t++)
	{
		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		add_tree(&trees, &trees.tree[t], shape->nfeatures, &room, of_player);
	}
	pgml_trees_share(&trees, shape->nfeatures, of_player, 1);
	memcpy(gain, of_player, (size_t) shape->nfeatures * sizeof(double));
	return PGML_OK;
}

/* Add a member's gains, as shares times its weight, to those of the inputs. */
static void
add_member(const PgmlRecipe *recipe, const double *of_feature, double weight, double *gain)
{
	double total = 0;

	for (int32_t f = 0; f < recipe->n_features; f++)
		total += of_feature[f];
	if (!(total > 0))
		return;
	for (int32_t i = 0; i < recipe->n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(recipe, i);

		for (int32_t j = 0; input.used && j < input.n_features; j++)
			gain[i] += weight * of_feature[input.first_feature + j] / total;
	}
}

PgmlStatus
pgml_image_gain(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image, double *gain)
{
	const PgmlRecipe *recipe = &image->recipe;
	double *of_feature = pgml_array(arena, (size_t) recipe->n_features + 1, sizeof(double));
	double total = 0;

	if (!of_feature)
		return pgml_fail_nomem(env, "the importance of columns");
	memset(gain, 0, (size_t) recipe->n_inputs * sizeof(double));
	for (int m = 0; m < image->n_members; m++)
	{
		const PgmlMember *member = &image->members[m];

		if (member->learner->trees == NULL || !(member->weight > 0))
			continue;
		PGML_TRY(member_gain(env, arena, member, &image->shape, of_feature));
		add_member(recipe, of_feature, member->weight, gain);
	}
	for (int32_t i = 0; i < recipe->n_inputs; i++)
		total += gain[i];
	for (int32_t i = 0; i < recipe->n_inputs; i++)
		gain[i] = total > 0 ? gain[i] / total : NAN;
	return PGML_OK;
}
