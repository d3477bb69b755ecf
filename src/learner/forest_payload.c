/*
 * forest_payload.c - the stored form of a forest: write, verify.
 */
#include "learner/forest_payload.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Nodes between two looks at the stop flag. */
#define POLL_NODES 1000000

/* ---- write --------------------------------------------------------------------------------------- */

void
pgml_forest_write_begin(PgmlForestWriter *writer, PgmlBuf *out)
{
	writer->out = out;
	pgml_buf_init(&writer->word, out->budget);
	pgml_buf_init(&writer->start, out->budget);
	pgml_buf_init(&writer->cover, out->budget);
	pgml_buf_init(&writer->cover_end, out->budget);
	pgml_buf_put(out, NULL, sizeof(PgmlForestHeader));
	pgml_buf_put(&writer->start, NULL, 2 * sizeof(uint64_t));
}

void
pgml_forest_write_free(PgmlForestWriter *writer)
{
	pgml_buf_free(&writer->word);
	pgml_buf_free(&writer->start);
	pgml_buf_free(&writer->cover);
	pgml_buf_free(&writer->cover_end);
}

int64_t
pgml_forest_written(const PgmlForestWriter *writer)
{
	return (int64_t) (writer->start.len / (2 * sizeof(uint64_t))) - 1;
}

int64_t
pgml_forest_written_bytes(const PgmlForestWriter *writer)
{
	return (int64_t) (writer->out->len + writer->word.len + writer->start.len + writer->cover.len);
}

void
pgml_forest_write_cut(PgmlForestWriter *writer, int64_t n)
{
	const uint64_t *start = (const uint64_t *) writer->start.data;

	writer->out->len = sizeof(PgmlForestHeader) + start[2 * n] * sizeof(PgmlForestNode);
	writer->word.len = start[2 * n + 1] * sizeof(uint32_t);
	writer->start.len = ((size_t) n + 1) * 2 * sizeof(uint64_t);
	writer->cover_end.len = (size_t) n * sizeof(uint64_t);
	writer->cover.len = n > 0 ? ((const uint64_t *) writer->cover_end.data)[n - 1] : 0;
	writer->out->failed = writer->word.failed = writer->start.failed = false;
	writer->cover.failed = writer->cover_end.failed = false;
}

void
pgml_forest_put_cover(PgmlBuf *cover, double weight)
{
	float value = (float) fmax(fmin(weight, FLT_MAX), FLT_MIN);

	if (weight >= 1 && weight < PGML_FOREST_COVER && weight == floor(weight))
	{
		pgml_buf_put_u8(cover, (uint8_t) weight);
		return;
	}
	pgml_buf_put_u8(cover, PGML_FOREST_COVER);
	pgml_buf_put(cover, &value, sizeof(value));
}

bool
pgml_forest_write_tree(PgmlForestWriter *writer, const PgmlForestNode *node, size_t n_nodes,
					   const uint32_t *word, size_t n_words, const uint8_t *cover,
					   size_t cover_bytes)
{
	int64_t before = pgml_forest_written(writer);

	pgml_buf_put(writer->out, node, n_nodes * sizeof(*node));
	if (n_words > 0)
		pgml_buf_put(&writer->word, word, n_words * sizeof(*word));
	pgml_buf_put_u64(&writer->start,
					 (writer->out->len - sizeof(PgmlForestHeader)) / sizeof(PgmlForestNode));
	pgml_buf_put_u64(&writer->start, writer->word.len / sizeof(uint32_t));
	pgml_buf_put(&writer->cover, cover, cover_bytes);
	pgml_buf_put_u64(&writer->cover_end, writer->cover.len);
	if (!writer->out->failed && !writer->word.failed && !writer->start.failed &&
		!writer->cover.failed && !writer->cover_end.failed)
		return true;
	pgml_forest_write_cut(writer, before);
	return false;
}

/* What a line becomes. */
typedef struct LineMap
{
	bool used[256]; /* by cut, as trees were grown */
	uint8_t cut[256];
	bool any;
	uint16_t line;
} LineMap;

/* Which lines and cuts the nodes use; false when stopped. */
static bool
note_cuts(const PgmlEnv *env, const PgmlForestNode *node, uint64_t n, LineMap *map)
{
	for (uint64_t i = 0; i < n; i++)
	{
		if (i % POLL_NODES == 0 && pgml_stopped(env))
			return false;
		if (node[i].cut == 0)
			continue;
		map[node[i].line].used[node[i].cut] = true;
		map[node[i].line].any = true;
	}
	return true;
}

/*
 * Number the cuts of a number's two lines without gaps, the same in both, and append their thresholds.  Bytes begin at 1 where
 * missing is 0, else at 0; cut 1 of the former kind parts what is missing from all numbers.
 */
static void
number_cuts(LineMap *map, const float *edge, PgmlBuf *cuts, uint16_t *n)
{
	LineMap *low = &map[0], *high = &map[1];

	*n = 0;
	low->cut[1] = 1;
	for (int e = 0; e < PGML_FOREST_MAX_CUTS; e++)
	{
		if (!low->used[e + 2] && !high->used[e + 1])
			continue;
		low->cut[e + 2] = (uint8_t) (*n + 2);
		high->cut[e + 1] = (uint8_t) (*n + 1);
		pgml_buf_put(cuts, &edge[e], sizeof(float));
		++*n;
	}
}

/* Append the byte of each bin of a category. */
static void
put_table(LineMap *map, bool missing_high, const uint8_t *rank, uint32_t n_bins, PgmlBuf *table)
{
	for (int cut = 0; cut < 256; cut++)
		map->cut[cut] = (uint8_t) cut;
	for (uint32_t b = 0; b < n_bins; b++)
		pgml_buf_put_u8(table, (uint8_t) (rank[b] - missing_high));
}

/* Lines, cuts and tables of what is used. */
static void
make_lines(const PgmlForestLines *lines, int max_bin, LineMap *map, PgmlBuf *line, PgmlBuf *cuts,
		   PgmlBuf *table)
{
	uint16_t next = 0;

	for (int32_t j = 0; j < lines->n_features; j++)
	{
		LineMap *both = &map[2 * j];
		int32_t f = lines->feature[j];
		PgmlForestLine one = { .feature = (uint32_t) f, .categorical = lines->rank[j] != NULL };

		if (!one.categorical)
		{
			one.first = (uint32_t) (cuts->len / sizeof(float));
			number_cuts(both, lines->bins->edges[f], cuts, &one.n);
		}
		for (int high = 0; high < 2; high++)
		{
			if (!both[high].any)
				continue;
			if (one.categorical)
			{
				one.n = (uint16_t) pgml_forest_level_bins(lines->features[f].n_levels,
														  (uint32_t) max_bin);
				one.first = (uint32_t) table->len;
				put_table(&both[high], high == 1, lines->rank[j], one.n, table);
			}
			one.missing = high ? 255 : 0;
			both[high].line = next++;
			pgml_buf_put(line, &one, sizeof(one));
		}
	}
}

/* Append the parts behind the nodes and number the nodes' lines and cuts anew. */
static PgmlStatus
put_rest(const PgmlEnv *env, PgmlForestWriter *w, const LineMap *map, PgmlForestHeader *header,
		 const double *prior, PgmlBuf *const *rest)
{
	PgmlBuf *out = w->out;
	PgmlForestNode *node;

	pgml_buf_reserve(out, w->word.len + w->start.len + header->n_outputs * sizeof(double) +
							  rest[0]->len + rest[1]->len + rest[2]->len + w->cover.len + 64);
	if (out->failed)
		return pgml_fail_nomem(env, "the model");
	node = (PgmlForestNode *) (out->data + sizeof(*header));
	for (uint64_t i = 0; i < header->n_nodes; i++)
	{
		const LineMap *m = &map[node[i].line];

		if (i % POLL_NODES == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (node[i].cut == 0)
			continue;
		node[i].line = m->line;
		node[i].cut = m->cut[node[i].cut];
	}
	pgml_buf_put(out, w->word.data, w->word.len);
	pgml_buf_align(out, 8);
	pgml_buf_put(out, w->start.data, w->start.len);
	pgml_buf_put(out, prior, header->n_outputs * sizeof(double));
	for (int i = 0; i < 3; i++)
	{
		if (rest[i]->len > 0)
			pgml_buf_put(out, rest[i]->data, rest[i]->len);
		pgml_buf_align(out, 8);
	}
	pgml_buf_put(out, w->cover.data, w->cover.len);
	pgml_buf_align(out, 8);
	memcpy(out->data, header, sizeof(*header));
	return PGML_OK;
}

PgmlStatus
pgml_forest_write_end(const PgmlEnv *env, PgmlForestWriter *w, const PgmlForestLines *lines,
					  PgmlForestHeader header, const double *prior)
{
	PgmlArena *arena = pgml_arena_create(env->budget);
	LineMap *map =
		arena ? pgml_zalloc(arena, 2 * (size_t) lines->n_features + 1, sizeof(LineMap)) : NULL;
	PgmlBuf line, cuts, table;
	PgmlStatus status = PGML_OK;

	pgml_buf_init(&line, env->budget);
	pgml_buf_init(&cuts, env->budget);
	pgml_buf_init(&table, env->budget);
	header.format = PGML_FOREST_FORMAT;
	header.n_trees = (uint32_t) pgml_forest_written(w);
	header.n_nodes = (w->out->len - sizeof(header)) / sizeof(PgmlForestNode);
	header.n_words = w->word.len / sizeof(uint32_t);
	if (map == NULL)
		status = pgml_fail_nomem(env, "the model");
	else if (!note_cuts(env, (const PgmlForestNode *) (w->out->data + sizeof(header)),
						header.n_nodes, map))
		status = pgml_fail_cancelled(env);
	else
	{
		make_lines(lines, (int) header.max_bin, map, &line, &cuts, &table);
		header.n_lines = (uint32_t) (line.len / sizeof(PgmlForestLine));
		header.n_cuts = (uint32_t) (cuts.len / sizeof(float));
		header.n_bytes = (uint32_t) table.len;
		header.cover_words = (uint32_t) ((w->cover.len + 7) / 8);
		if (line.failed || cuts.failed || table.failed)
			status = pgml_fail_nomem(env, "the model");
		else if ((w->cover.len + 7) / 8 > UINT32_MAX)
			status = pgml_fail(env->error, PGML_ERR_LIMIT, "the trees have too many leaves");
		else
			status = put_rest(env, w, map, &header, prior, (PgmlBuf *[]){ &line, &cuts, &table });
	}
	pgml_buf_free(&line);
	pgml_buf_free(&cuts);
	pgml_buf_free(&table);
	pgml_arena_destroy(arena);
	return status;
}

/* ---- view ---------------------------------------------------------------------------------------- */

static uint64_t
align8(uint64_t size)
{
	return (size + 7) / 8 * 8;
}

PgmlForestView
pgml_forest_view(const uint8_t *payload)
{
	PgmlForestView v = { .header = (const PgmlForestHeader *) payload };
	const PgmlForestHeader *h = v.header;
	uint64_t at = sizeof(PgmlForestHeader);

	v.len = UINT64_MAX;
	/* So that no sum below exceeds 64 bits. */
	if (h->n_nodes >> 48 != 0 || h->n_words >> 48 != 0)
		return v;
	v.node = (const PgmlForestNode *) (payload + at);
	at += h->n_nodes * sizeof(PgmlForestNode);
	v.word = (const uint32_t *) (payload + at);
	at += align8(h->n_words * sizeof(uint32_t));
	v.start = (const uint64_t *) (payload + at);
	at += ((uint64_t) h->n_trees + 1) * 2 * sizeof(uint64_t);
	v.prior = (const double *) (payload + at);
	at += (uint64_t) h->n_outputs * sizeof(double);
	v.line = (const PgmlForestLine *) (payload + at);
	at += (uint64_t) h->n_lines * sizeof(PgmlForestLine);
	v.cut = (const float *) (payload + at);
	at += align8((uint64_t) h->n_cuts * sizeof(float));
	v.table = payload + at;
	at += align8(h->n_bytes);
	if (h->format != PGML_FOREST_FORMAT_NO_COVERS)
	{
		v.cover = payload + at;
		at += (uint64_t) h->cover_words * 8;
	}
	v.len = at;
	return v;
}

/* ---- verify -------------------------------------------------------------------------------------- */

/* Refuse a payload, saying why. */
static PgmlStatus
corrupt(PgmlError *err, const char *what)
{
	return pgml_fail(err, PGML_ERR_CORRUPT, "the stored forest is damaged: %s", what);
}

static inline float
float_of(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline bool
is_share(float x)
{
	return x >= 0 && x <= 1.001f;
}

static PgmlStatus
verify_line(const PgmlForestView *v, const PgmlForestLine *line, const PgmlShape *shape,
			PgmlError *err)
{
	uint64_t end = (uint64_t) line->first + line->n;

	if (line->feature >= (uint32_t) shape->nfeatures)
		return corrupt(err, "a line has a feature that does not exist");
	if (line->categorical != shape->categorical[line->feature] ||
		(line->missing != 0 && line->missing != 255))
		return corrupt(err, "a line treats a feature as of another kind");
	if (line->categorical)
	{
		if (end > v->header->n_bytes ||
			line->n != pgml_forest_level_bins(shape->n_levels[line->feature], v->header->max_bin))
			return corrupt(err, "a table of levels lies out of bounds");
		return PGML_OK;
	}
	if (end > v->header->n_cuts || line->n > PGML_FOREST_MAX_CUTS)
		return corrupt(err, "cuts lie out of bounds");
	for (uint64_t i = line->first; i < end; i++)
		if (isnan(v->cut[i]) || (i > line->first && v->cut[i] < v->cut[i - 1]))
			return corrupt(err, "cuts are not in order");
	return PGML_OK;
}

/* Bound a leaf of a tree with n_words words. */
static bool
leaf_is_good(const PgmlForestNode *node, const uint32_t *word, uint64_t n_words,
			 const PgmlShape *shape)
{
	float value = float_of(node->link);
	uint32_t n;

	if (node->line != 0 || node->flag > 1)
		return false;
	if (shape->task == PGML_TASK_REGRESSION)
		return isfinite(value);
	if (shape->task == PGML_TASK_BINARY)
		return is_share(value);
	if (node->flag & PGML_FOREST_PURE)
		return node->link < (uint32_t) shape->n_classes;
	if ((uint64_t) node->link + 2 > n_words)
		return false;
	n = word[node->link];
	if (node->link + 2 + 2 * (uint64_t) n > n_words || !is_share(float_of(word[node->link + 1])))
		return false;
	for (const uint32_t *w = word + node->link + 2; n > 0; w += 2, n--)
		if (w[0] >= (uint32_t) shape->n_classes || !is_share(float_of(w[1])))
			return false;
	return true;
}

/* Bound the nodes of tree t: children come later in the tree, so every walk ends in a leaf. */
static PgmlStatus
verify_tree(const PgmlForestView *v, uint32_t t, const PgmlShape *shape, PgmlError *err)
{
	const uint64_t *start = v->start + 2 * (uint64_t) t;
	const PgmlForestNode *node = v->node + start[0];
	uint64_t n = start[2] - start[0];

	for (uint64_t i = 0; i < n; i++)
	{
		if (node[i].cut == 0)
		{
			if (!leaf_is_good(&node[i], v->word + start[1], start[3] - start[1], shape))
				return corrupt(err, "a leaf is out of bounds");
		}
		else if (node[i].line >= v->header->n_lines || i + 1 >= n || node[i].link <= i ||
				 node[i].link >= n || node[i].flag > 1)
			return corrupt(err, "a node is out of bounds");
	}
	return PGML_OK;
}

/* Bound the header, the directory of trees and the shares of the classes. */
static PgmlStatus
verify_frame(const PgmlForestView *v, size_t len, const PgmlShape *shape, PgmlError *err)
{
	const PgmlForestHeader *h = v->header;
	double sum = 0;

	if (h->format != PGML_FOREST_FORMAT && h->format != PGML_FOREST_FORMAT_NO_COVERS)
		return corrupt(err, "the format is of another version");
	if (h->n_outputs != (uint32_t) pgml_task_outputs(shape->task, shape->n_classes) ||
		h->n_trees < 1 || h->n_lines > PGML_FOREST_MAX_LINES || h->max_bin < 2 ||
		h->max_bin > 255 || !isfinite(h->center) || !isfinite(h->scale))
		return corrupt(err, "the header is damaged");
	if (v->len != len)
		return corrupt(err, "the length is wrong");
	if (v->start[0] != 0 || v->start[1] != 0 || v->start[2 * (uint64_t) h->n_trees] != h->n_nodes ||
		v->start[2 * (uint64_t) h->n_trees + 1] != h->n_words)
		return corrupt(err, "the directory of trees is damaged");
	for (uint64_t t = 0; t < h->n_trees; t++)
		if (v->start[2 * t] >= v->start[2 * t + 2] || v->start[2 * t + 1] > v->start[2 * t + 3] ||
			v->start[2 * t + 2] > h->n_nodes || v->start[2 * t + 3] > h->n_words ||
			v->start[2 * t + 2] - v->start[2 * t] > UINT32_MAX)
			return corrupt(err, "the directory of trees is damaged");
	for (uint32_t k = 0; k < h->n_outputs; k++)
	{
		if (!(v->prior[k] >= 0 && v->prior[k] <= 1.001))
			return corrupt(err, "a share of a class is not one");
		sum += v->prior[k];
	}
	if (shape->task == PGML_TASK_MULTICLASS && !(sum > 0.9))
		return corrupt(err, "the shares of the classes do not add up");
	return PGML_OK;
}

PgmlStatus
pgml_forest_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	PgmlForestView v;

	if (len < sizeof(PgmlForestHeader) || (uintptr_t) payload % 8 != 0)
		return corrupt(err, "the payload is too short or not aligned");
	v = pgml_forest_view(payload);
	PGML_TRY(verify_frame(&v, len, shape, err));
	for (uint32_t l = 0; l < v.header->n_lines; l++)
		PGML_TRY(verify_line(&v, &v.line[l], shape, err));
	for (uint32_t t = 0; t < v.header->n_trees; t++)
		PGML_TRY(verify_tree(&v, t, shape, err));
	return PGML_OK;
}
