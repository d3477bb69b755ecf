/*
 * oblivious_payload.c - the stored form of the model: encode, verify.
 */
#include "learner/oblivious_payload.h"

#include <math.h>
#include <string.h>

/* What there is up to the end of a tree. */
typedef struct End
{
	uint32_t splits;
	uint32_t values;
	uint32_t tables;
	uint32_t reserved;
	uint64_t slots; /* bytes */
} End;

void
pgml_obl_forest_init(PgmlOblForest *forest, PgmlBudget *budget)
{
	pgml_buf_init(&forest->init, budget);
	pgml_buf_init(&forest->split, budget);
	pgml_buf_init(&forest->value, budget);
	pgml_buf_init(&forest->cover, budget);
	pgml_buf_init(&forest->table, budget);
	pgml_buf_init(&forest->slots, budget);
	pgml_buf_init(&forest->end, budget);
	forest->given = NULL;
}

void
pgml_obl_forest_free(PgmlOblForest *forest)
{
	pgml_buf_free(&forest->init);
	pgml_buf_free(&forest->split);
	pgml_buf_free(&forest->value);
	pgml_buf_free(&forest->cover);
	pgml_buf_free(&forest->table);
	pgml_buf_free(&forest->slots);
	pgml_buf_free(&forest->end);
}

int64_t
pgml_obl_forest_bytes(const PgmlOblForest *forest)
{
	return (int64_t) (sizeof(PgmlOblHeader) + forest->init.len + forest->table.len +
					  (forest->end.len / sizeof(End) + 1) * 8 + forest->split.len +
					  forest->value.len + forest->cover.len + forest->slots.len) +
		   PGML_OBL_CTR_BINS;
}

bool
pgml_obl_forest_is_full(const PgmlOblForest *forest, uint32_t width, int64_t max_payload)
{
	size_t lines = forest->table.len / sizeof(PgmlOblTableHead) * width;

	/* A tree comes with some new tables. */
	return lines > PGML_OBL_MAX_LINES / 2 ||
		   (max_payload > 0 && forest->slots.len > (size_t) max_payload / 2);
}

/* A split as it is stored; CTR: its table must be there. */
static PgmlOblStored
store_split(const PgmlOblForest *forest, const PgmlOblSplit *split, const PgmlBins *bins,
			int32_t width)
{
	PgmlOblStored out = { .input = PGML_OBL_IS_FALSE };

	if (split->column < 0)
		return out;
	switch (split->kind)
	{
		case PGML_OBL_NUMBER:
			out.input = (uint32_t) split->column | PGML_OBL_IS_NUMBER;
			/* Bin 0 is missing, which is less than any number. */
			out.u.threshold =
				split->bin > 0 ? bins->edges[split->column][split->bin - 1] : -INFINITY;
			break;
		case PGML_OBL_LEVEL:
			out.input = (uint32_t) split->column | PGML_OBL_IS_LEVEL;
			out.u.value = (uint32_t) split->bin;
			break;
		case PGML_OBL_CTR:
			out.input =
				(uint32_t) (forest->given[split->column / width] * width + split->column % width) |
				PGML_OBL_IS_LINE;
			out.u.value = (uint32_t) split->bin;
			break;
	}
	return out;
}

/* Make the table of a projection unless it is there. */
static PgmlStatus
add_table(const PgmlEnv *env, PgmlOblForest *forest, PgmlOblCtr *ctr, int32_t p)
{
	uint32_t width = (uint32_t) pgml_obl_ctr_width(ctr);
	size_t number = forest->table.len / sizeof(PgmlOblTableHead);
	PgmlOblTableHead head;

	if (forest->given[p] >= 0)
		return PGML_OK;
	if ((number + 1) * width > PGML_OBL_MAX_LINES)
		return pgml_fail(env->error, PGML_ERR_LIMIT, "the trees need too many statistics");
	PGML_TRY(pgml_obl_ctr_table(env, ctr, p, &forest->slots, &head));
	pgml_buf_put(&forest->table, &head, sizeof(head));
	if (forest->table.failed)
		return pgml_fail_nomem(env, "statistics of categories");
	forest->given[p] = (int32_t) number;
	return PGML_OK;
}

PgmlStatus
pgml_obl_forest_add(const PgmlEnv *env, PgmlOblForest *forest, const PgmlOblTree *tree,
					int n_outputs, const PgmlBins *bins, PgmlOblCtr *ctr)
{
	int32_t width = ctr ? pgml_obl_ctr_width(ctr) : 1;
	size_t values = ((size_t) 1 << tree->depth) * (size_t) n_outputs;
	End end = { 0 };

	for (int32_t i = 0; i < pgml_obl_tree_splits(tree); i++)
	{
		PgmlOblStored stored;

		if (tree->split[i].column >= 0 && tree->split[i].kind == PGML_OBL_CTR)
			PGML_TRY(add_table(env, forest, ctr, tree->split[i].column / width));
		stored = store_split(forest, &tree->split[i], bins, width);
		pgml_buf_put(&forest->split, &stored, sizeof(stored));
	}
	pgml_buf_put(&forest->value, tree->value, values * sizeof(double));
	pgml_buf_put(&forest->cover, tree->cover, ((size_t) 1 << tree->depth) * sizeof(float));
	if (forest->value.len / sizeof(double) > INT32_MAX ||
		forest->split.len / sizeof(PgmlOblStored) > INT32_MAX)
		return pgml_fail(env->error, PGML_ERR_LIMIT, "the trees have too many leaves");
	end.splits = (uint32_t) (forest->split.len / sizeof(PgmlOblStored));
	end.values = (uint32_t) (forest->value.len / sizeof(double));
	end.tables = (uint32_t) (forest->table.len / sizeof(PgmlOblTableHead));
	end.slots = forest->slots.len;
	pgml_buf_put(&forest->end, &end, sizeof(end));
	if (forest->split.failed || forest->value.failed || forest->cover.failed || forest->end.failed)
		return pgml_fail_nomem(env, "trees");
	return PGML_OK;
}

PgmlStatus
pgml_obl_encode(const PgmlEnv *env, const PgmlOblForest *forest, int64_t n_trees,
				const PgmlOblHeader *header, const uint8_t *unseen, PgmlBuf *out)
{
	static const End none = { 0 };
	const End *ends = (const End *) forest->end.data;
	const End *end = n_trees > 0 ? &ends[n_trees - 1] : &none;
	size_t leaves = end->values / header->n_outputs;
	PgmlOblHeader h = *header;

	h.format = PGML_OBL_FORMAT;
	h.n_trees = (uint32_t) n_trees;
	h.n_tables = end->tables;
	h.n_splits = end->splits;
	h.n_values = end->values;
	h.table_bytes = end->slots;
	pgml_buf_reserve(out, sizeof(h) + forest->init.len + end->tables * sizeof(PgmlOblTableHead) +
							  ((size_t) n_trees + 1) * 8 + end->splits * sizeof(PgmlOblStored) +
							  end->values * sizeof(double) + (h.width + 7) / 8 * 8 +
							  (leaves + 1) * sizeof(float) + end->slots);
	pgml_buf_put(out, &h, sizeof(h));
	pgml_buf_put(out, forest->init.data, forest->init.len);
	pgml_buf_put(out, forest->table.data, end->tables * sizeof(PgmlOblTableHead));
	for (int64_t t = 0; t <= n_trees; t++)
	{
		pgml_buf_put_u32(out, t > 0 ? ends[t - 1].splits : 0);
		pgml_buf_put_u32(out, t > 0 ? ends[t - 1].values : 0);
	}
	pgml_buf_put(out, forest->split.data, end->splits * sizeof(PgmlOblStored));
	pgml_buf_put(out, forest->value.data, end->values * sizeof(double));
	pgml_buf_put(out, unseen, h.width);
	pgml_buf_align(out, 8);
	pgml_buf_put(out, forest->cover.data, leaves * sizeof(float));
	pgml_buf_align(out, 8);
	pgml_buf_put(out, forest->slots.data, end->slots);
	return out->failed ? pgml_fail_nomem(env, "the model") : PGML_OK;
}

/* Leaves of all trees. */
static uint64_t
n_leaves(const PgmlOblHeader *h)
{
	return h->n_outputs > 0 ? h->n_values / h->n_outputs : 0;
}

/* Follow the header's counts: 32 bits each, so that only table_bytes could overflow the sum. */
PgmlOblView
pgml_obl_view(const uint8_t *payload)
{
	PgmlOblView v = { .header = (const PgmlOblHeader *) payload };
	const PgmlOblHeader *h = v.header;
	uint64_t at = sizeof(*h);

	v.init = (const double *) (payload + at);
	at += h->n_outputs * sizeof(double);
	v.table = (const PgmlOblTableHead *) (payload + at);
	at += h->n_tables * sizeof(PgmlOblTableHead);
	v.first = (const uint32_t *) (payload + at);
	at += ((uint64_t) h->n_trees + 1) * 8;
	v.split = (const PgmlOblStored *) (payload + at);
	at += h->n_splits * sizeof(PgmlOblStored);
	v.value = (const double *) (payload + at);
	at += h->n_values * sizeof(double);
	v.unseen = payload + at;
	at += ((uint64_t) h->width + 7) / 8 * 8;
	if (h->format != PGML_OBL_FORMAT_NO_COVERS)
	{
		v.cover = (const float *) (payload + at);
		at += (n_leaves(h) * sizeof(float) + 7) / 8 * 8;
	}
	v.slots = payload + at;
	v.len = h->table_bytes > UINT64_MAX / 2 ? UINT64_MAX : at + h->table_bytes;
	return v;
}

/* ---- verify ---- */

/* Refuse a payload, saying why. */
static PgmlStatus
corrupt(PgmlError *err, const char *what)
{
	return pgml_fail(err, PGML_ERR_CORRUPT, "oblivious_boosting: %s", what);
}

/* Bound the header and all numbers. */
static PgmlStatus
verify_frame(const PgmlOblView *v, size_t len, const PgmlShape *shape, PgmlError *err)
{
	const PgmlOblHeader *h = v->header;

	if (h->format != PGML_OBL_FORMAT && h->format != PGML_OBL_FORMAT_NO_COVERS)
		return corrupt(err, "the format is of another version");
	if (h->n_outputs != (uint32_t) pgml_task_outputs(shape->task, shape->n_classes) ||
		h->depthwise > 1 || h->max_bin < 2 || h->max_bin > 255 || h->width < 1 ||
		h->width > PGML_OBL_CTR_BINS || (uint64_t) h->n_tables * h->width > PGML_OBL_MAX_LINES)
		return corrupt(err, "the header is damaged");
	if (v->len != len)
		return corrupt(err, "the length is wrong");
	for (uint32_t k = 0; k < h->n_outputs; k++)
		if (!isfinite(v->init[k]))
			return corrupt(err, "an initial score is not finite");
	for (uint32_t i = 0; i < h->n_values; i++)
		if (!isfinite(v->value[i]))
			return corrupt(err, "a leaf value is not finite");
	for (uint64_t i = 0; v->cover && i < n_leaves(h); i++)
		if (!(v->cover[i] >= 0) || !isfinite(v->cover[i]))
			return corrupt(err, "the cover of a leaf is no number");
	return PGML_OK;
}

/* Bound the features of a table; *keys: how many buckets could be told apart. */
static PgmlStatus
verify_features(const PgmlOblTableHead *t, const PgmlShape *shape, uint64_t *keys, PgmlError *err)
{
	*keys = 1;
	if (t->n_features < 1 || t->n_features > PGML_OBL_MAX_COMBINED)
		return corrupt(err, "a table has a wrong number of features");
	for (uint32_t i = 0; i < t->n_features; i++)
	{
		uint64_t digits;

		if (t->feature[i] >= (uint32_t) shape->nfeatures || !shape->categorical[t->feature[i]])
			return corrupt(err, "a table is of a feature that is not categorical");
		digits = (uint64_t) shape->n_levels[t->feature[i]] + 1;
		if (digits > INT32_MAX || *keys > (UINT64_C(1) << 62) / digits)
			return corrupt(err, "a table has too many keys");
		*keys *= digits;
	}
	return PGML_OK;
}

/* Bound a table; a hashed one must have an empty slot, at which every search ends. */
static PgmlStatus
verify_table(const PgmlOblView *v, const PgmlOblTableHead *t, const PgmlShape *shape,
			 PgmlError *err)
{
	const PgmlOblHeader *h = v->header;
	const uint64_t *key;
	uint64_t keys;
	bool ends = false;

	PGML_TRY(verify_features(t, shape, &keys, err));
	if (t->hashed > 1 || t->n_slots < 1 || t->n_slots > h->table_bytes || t->at % 8 != 0 ||
		t->at > h->table_bytes ||
		pgml_obl_table_bytes(t->n_slots, t->hashed, h->width) > h->table_bytes - t->at)
		return corrupt(err, "a table lies out of bounds");
	if (!t->hashed)
		return t->n_slots == keys ? PGML_OK : corrupt(err, "a table has a wrong size");
	if ((t->n_slots & (t->n_slots - 1)) != 0)
		return corrupt(err, "a table has a wrong size");
	key = (const uint64_t *) (v->slots + t->at);
	for (uint64_t i = 0; i < t->n_slots && !ends; i++)
		ends = key[i] == PGML_OBL_NO_KEY;
	return ends ? PGML_OK : corrupt(err, "a table is full");
}

/* Bound one split. */
static PgmlStatus
verify_split(const PgmlOblView *v, const PgmlOblStored *split, const PgmlShape *shape,
			 PgmlError *err)
{
	uint32_t kind = split->input & PGML_OBL_KIND;
	uint32_t input = split->input & PGML_OBL_INPUT;

	if (kind == PGML_OBL_IS_FALSE)
		return PGML_OK;
	if (kind == PGML_OBL_IS_LINE)
		return input < v->header->n_tables * v->header->width ?
				   PGML_OK :
				   corrupt(err, "a split uses a statistic that does not exist");
	if (input >= (uint32_t) shape->nfeatures)
		return corrupt(err, "a split uses a feature that does not exist");
	if ((kind == PGML_OBL_IS_LEVEL) != shape->categorical[input])
		return corrupt(err, "a split treats a feature as of another kind");
	if (kind == PGML_OBL_IS_NUMBER && isnan(split->u.threshold))
		return corrupt(err, "a threshold is not a number");
	return PGML_OK;
}

/* Bound the directory of trees. */
static PgmlStatus
verify_trees(const PgmlOblView *v, PgmlError *err)
{
	const PgmlOblHeader *h = v->header;

	if (v->first[0] != 0 || v->first[1] != 0 || v->first[2 * (size_t) h->n_trees] != h->n_splits ||
		v->first[2 * (size_t) h->n_trees + 1] != h->n_values)
		return corrupt(err, "the directory of trees is damaged");
	for (size_t t = 0; t < h->n_trees; t++)
	{
		const uint32_t *first = v->first + 2 * t;
		uint32_t n = first[2] - first[0];
		uint32_t most = h->depthwise ? (1u << PGML_OBL_MAX_DEPTH) - 1 : PGML_OBL_MAX_DEPTH;
		uint64_t leaves;

		if (first[2] < first[0] || first[3] < first[1] || n > most)
			return corrupt(err, "the directory of trees is damaged");
		leaves = UINT64_C(1) << pgml_obl_depth(v, n);
		if ((h->depthwise && leaves - 1 != n) || first[3] - first[1] != leaves * h->n_outputs)
			return corrupt(err, "a tree has a wrong number of leaves");
	}
	return PGML_OK;
}

PgmlStatus
pgml_obl_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	PgmlOblView v;

	if (len < sizeof(PgmlOblHeader) || (uintptr_t) payload % 8 != 0)
		return corrupt(err, "the payload is too short or not aligned");
	v = pgml_obl_view(payload);
	PGML_TRY(verify_frame(&v, len, shape, err));
	PGML_TRY(verify_trees(&v, err));
	for (uint32_t t = 0; t < v.header->n_tables; t++)
		PGML_TRY(verify_table(&v, &v.table[t], shape, err));
	for (uint32_t i = 0; i < v.header->n_splits; i++)
		PGML_TRY(verify_split(&v, &v.split[i], shape, err));
	return PGML_OK;
}
