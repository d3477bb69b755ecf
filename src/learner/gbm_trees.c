/*
 * gbm_trees.c - a boosted model as the trees that explanations are made from.
 */
#include "learner/gbm_payload.h"

/* One node as it is stored. */
static PgmlTreeNode
unpack(const PgmlGbmView *v, const PgmlGbmNode16 *from)
{
	bool categorical = (from->feature & PGML_GBM_CATEGORICAL) != 0;

	return (PgmlTreeNode){ .set = categorical ? v->word + from->u.word : NULL,
						   .threshold = categorical ? 0 : from->u.threshold,
						   .missing_left = (from->feature & PGML_GBM_MISSING_LEFT) != 0,
						   .feature = (int32_t) (from->feature & PGML_GBM_FEATURE),
						   .left = from->left,
						   .right = from->right };
}

PgmlStatus
pgml_gbm_trees(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload, const PgmlShape *shape,
			   PgmlTrees *out)
{
	PgmlGbmView v = pgml_gbm_view(payload);
	size_t n_trees = v.header->n_trees, n_nodes = v.header->n_nodes;
	PgmlTree *tree = pgml_array(arena, n_trees + 1, sizeof(PgmlTree));
	PgmlTreeNode *node = pgml_array(arena, n_nodes + 1, sizeof(PgmlTreeNode));
	double *cover = pgml_array(arena, n_nodes + n_trees + 1, sizeof(double));

	(void) shape;
	if (v.cover == NULL)
		return pgml_fail_unexplained(env->error, pgml_learner_gradient_boosting.name);
	if (!tree || !node || !cover)
		return pgml_fail_nomem(env, "the trees of the model");
	for (size_t i = 0; i < n_nodes; i++)
		node[i] = unpack(&v, &v.node[i]);
	for (size_t i = 0; i < n_nodes + n_trees; i++)
		cover[i] = v.cover[i];
	for (uint32_t t = 0; t < n_trees; t++)
		tree[t] = (PgmlTree){ .n_nodes = (int32_t) pgml_gbm_tree_nodes(&v, t),
							  .first_output = (int32_t) (t % v.header->n_outputs),
							  .n_values = 1,
							  .node = node + v.first[t],
							  .cover = cover + v.first[t] + t,
							  .value = pgml_gbm_leaf_values(&v, t) };
	*out = (PgmlTrees){ .n_trees = (int64_t) n_trees,
						.tree = tree,
						.n_outputs = (int) v.header->n_outputs,
						.offset = v.init,
						.scale = 1,
						.max_bin = v.header->max_bin,
						.log_link = v.header->link == PGML_GBM_LINK_LOG };
	return PGML_OK;
}
