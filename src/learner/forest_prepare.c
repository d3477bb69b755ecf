/*
 * forest_prepare.c - make the prepared form of a forest; forest_block.h says what it is.
 *
 * A payload was verified, but a damaged one may let several nodes lead to the same one.  Where that would make more nodes than there
 * are in trees there is no form.
 */
#include "learner/forest_block.h"
#include "learner/pieces.h"

/* Rows times trees of a block: some 50 ms at most, after which a caller looks at its interrupts. */
#define WALKS 2048000

/* Values that are looked for before another one is added. */
#define KNOWN 1024

/* A node of the upper part of a tree. */
typedef struct Upper
{
	uint32_t node, end; /* of the payload: the nodes of its subtree */
	int32_t left;       /* for bytes less than the cut; -1: not opened, an exit */
	int32_t right;
	int32_t exits; /* below it */
	uint8_t first; /* of them */
} Upper;

/* A form on its way. */
typedef struct Making
{
	const PgmlEnv *env;
	PgmlForestView v;
	bool several;
	PgmlForestForm *form;
	PgmlForestFormTree *tree;
	PgmlGbmTest *test;
	uint32_t *exit;
	uint32_t *word;
	/* the tree at hand */
	const PgmlForestNode *node;
	uint64_t n_splits;
	uint64_t most_words; /* of its nodes */
	uint64_t n_words;
	Upper upper[2 * PGML_FOREST_TESTS + 1];
	int n_upper;
	uint32_t n_values;
	uint32_t known[KNOWN]; /* 1 + number of a value, by its hash */
	PgmlBuf waiting;       /* children whose turn has not come: node and place, u64 each */
} Making;

/* ---- the upper part ------------------------------------------------------------------------------ */

static uint32_t
size_of(const Upper *u)
{
	return u->end > u->node ? u->end - u->node : 1;
}

/* Open an exit: its children become exits. */
static void
open_exit(Making *m, int at)
{
	Upper *u = &m->upper[at];
	const PgmlForestNode *split = &m->node[u->node];
	bool shared = m->node[split->link].cut == 0;
	uint32_t next_end = shared || split->link > u->end ? u->end : split->link;
	Upper next = { u->node + 1, next_end, .left = -1 };
	Upper other = { split->link, shared ? split->link + 1 : u->end, .left = -1 };

	u->left = m->n_upper++;
	u->right = m->n_upper++;
	m->upper[split->flag ? u->right : u->left] = next;
	m->upper[split->flag ? u->left : u->right] = other;
}

/* Open the exits with the largest subtrees, as many as there can be tests. */
static void
choose_upper(Making *m, uint32_t n_nodes)
{
	m->upper[0] = (Upper){ 0, n_nodes, .left = -1 };
	m->n_upper = 1;
	while (m->n_upper < 2 * PGML_FOREST_TESTS + 1)
	{
		int best = -1;

		for (int i = 0; i < m->n_upper; i++)
			if (m->upper[i].left < 0 && m->node[m->upper[i].node].cut != 0 &&
				(best < 0 || size_of(&m->upper[i]) > size_of(&m->upper[best])))
				best = i;
		if (best < 0)
			break;
		open_exit(m, best);
	}
}

/* Number the exits from left to right, and write the tests, parents first; how many. */
static uint32_t
write_tests(Making *m, PgmlGbmTest *test)
{
	uint32_t n = 0;

	for (int i = m->n_upper - 1; i >= 0; i--)
	{
		Upper *u = &m->upper[i];

		u->exits = u->left < 0 ? 1 : m->upper[u->left].exits + m->upper[u->right].exits;
	}
	m->upper[0].first = 0;
	for (int i = 0; i < m->n_upper; i++)
	{
		const Upper *u = &m->upper[i];
		const PgmlForestNode *split = &m->node[u->node];
		uint8_t right;

		if (u->left < 0)
			continue;
		right = (uint8_t) (u->first + m->upper[u->left].exits);
		m->upper[u->left].first = u->first;
		m->upper[u->right].first = right;
		test[n++] = (PgmlGbmTest){ .line = split->line,
								   .rank = (int8_t) (split->cut - 1 - PGML_GBM_RANK_BIAS),
								   .from = u->first,
								   .to = right };
	}
	return n;
}

/* ---- subtrees ------------------------------------------------------------------------------------ */

/* Number of a leaf's value, which is added unless it is known; false when there are too many. */
static bool
number_value(Making *m, uint32_t *word, const PgmlForestNode *leaf, uint32_t *number)
{
	uint32_t *values = word + m->most_words;
	uint32_t value = leaf->link;
	uint32_t *known;

	if (m->several && leaf->flag & PGML_FOREST_PURE)
		value |= PGML_FOREST_VALUE_PURE;
	else if (m->several && value >= PGML_FOREST_VALUE_PURE)
		return false;
	known = &m->known[value * 2654435761u >> 22];
	if (*known == 0 || values[*known - 1] != value)
	{
		if (m->n_values > PGML_FOREST_MAX_LEAVES || m->n_values > m->n_splits)
			return false;
		values[m->n_values++] = value;
		*known = m->n_values;
	}
	*number = *known - 1;
	return true;
}

/*
 * Write a leaf, or a split whose children then wait in two places, the first of which is *children; 0: a leaf.  False when there is no
 * form.
 */
static bool
write_node(Making *m, uint32_t *word, uint32_t node, uint64_t at, uint64_t *children)
{
	const PgmlForestNode *n = &m->node[node];
	uint32_t number;

	*children = 0;
	if (n->cut == 0)
	{
		if (!number_value(m, word, n, &number))
			return false;
		word[at] = (number >> 8) << 16 | (number & 0xff);
		return true;
	}
	if (m->n_words + 2 > m->most_words || m->n_words - at > PGML_FOREST_MAX_AWAY)
		return false;
	*children = m->n_words;
	m->n_words += 2;
	word[at] = (uint32_t) (*children - at) << 16 | (uint32_t) n->cut << 8 | n->line;
	return true;
}

/* Write the subtree of a node; of two children first the one that comes next in the payload.  False when there is no form. */
static bool
write_subtree(Making *m, uint32_t *word, uint32_t node)
{
	uint64_t at = m->n_words++;

	if (at >= m->most_words)
		return false;
	for (;;)
	{
		const PgmlForestNode *n = &m->node[node];
		uint64_t children;

		if (!write_node(m, word, node, at, &children))
			return false;
		if (children != 0)
		{
			pgml_buf_put_u64(&m->waiting, n->link);
			pgml_buf_put_u64(&m->waiting, children + !n->flag);
			if (m->waiting.failed)
				return false;
			at = children + n->flag;
			node++;
			continue;
		}
		if (m->waiting.len == 0)
			return true;
		m->waiting.len -= 2 * sizeof(uint64_t);
		memcpy(&at, m->waiting.data + m->waiting.len + sizeof(at), sizeof(at));
		node = (uint32_t) * (const uint64_t *) (m->waiting.data + m->waiting.len);
	}
}

/* ---- all ------------------------------------------------------------------------------------------ */

static uint64_t
count_splits(const PgmlForestView *v, uint32_t t)
{
	uint64_t n = 0;

	for (uint64_t i = v->start[2 * (uint64_t) t]; i < v->start[2 * (uint64_t) t + 2]; i++)
		n += v->node[i].cut != 0;
	return n;
}

/* Write tree t behind the ones before it; false when there is no form. */
static bool
write_tree(Making *m, uint32_t t)
{
	const uint64_t *start = m->v.start + 2 * (uint64_t) t;
	PgmlForestFormTree *tree = &m->tree[t];
	uint32_t *exit = m->exit + tree->test + t;
	uint32_t *word = m->word + tree->word;
	uint32_t tests;

	m->node = m->v.node + start[0];
	m->n_splits = count_splits(&m->v, t);
	choose_upper(m, (uint32_t) (start[2] - start[0]));
	tests = (uint32_t) m->n_upper / 2;
	if (tests > m->n_splits)
		return false;
	write_tests(m, m->test + tree->test);
	/* Below the tests each split has two children, and each exit is one node more. */
	m->most_words = 2 * m->n_splits - tests + 1;
	m->n_words = 0;
	m->n_values = 0;
	memset(m->known, 0, sizeof(m->known));
	for (int i = 0; i < m->n_upper; i++)
		if (m->upper[i].left < 0)
			exit[m->upper[i].first] = m->upper[i].node;
	for (uint32_t e = 0; e <= tests; e++)
	{
		uint32_t node = exit[e];

		exit[e] = (uint32_t) m->n_words;
		m->waiting.len = 0;
		if (pgml_stopped(m->env) || !write_subtree(m, word, node))
			return false;
	}
	if (m->n_words != m->most_words)
		return false;
	tree->value = (uint32_t) m->n_words;
	tree[1] = (PgmlForestFormTree){ .word = tree->word + m->n_words + m->n_values,
									.test = tree->test + tests };
	return true;
}

/* Divide memory for so many tests and words into the form's arrays. */
static PgmlStatus
allocate(Making *m, PgmlArena *arena, uint64_t n_tests, uint64_t n_words)
{
	uint64_t n = m->v.header->n_trees;
	PgmlForestForm form = { .tree = pgml_piece_align(sizeof(PgmlForestForm)) };
	int64_t rows = WALKS / (int64_t) n / PGML_BLOCK_ROWS * PGML_BLOCK_ROWS;
	uint8_t *memory;

	form.test = form.tree + pgml_piece_align((n + 1) * sizeof(PgmlForestFormTree));
	form.exit = form.test + pgml_piece_align(n_tests * sizeof(PgmlGbmTest));
	form.word = form.exit + pgml_piece_align((n_tests + n) * sizeof(uint32_t));
	form.stride = (uint32_t) pgml_forest_row_bytes(&m->v);
	form.block_rows = (int32_t) (rows < PGML_BLOCK_ROWS        ? PGML_BLOCK_ROWS :
								 rows > PGML_FOREST_BLOCK_ROWS ? PGML_FOREST_BLOCK_ROWS :
																 rows);
	memory = pgml_alloc(arena, form.word + n_words * sizeof(uint32_t) + PGML_PIECE_ALIGNMENT);
	if (memory == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	memory = (uint8_t *) pgml_piece_align((uintptr_t) memory);
	m->form = (PgmlForestForm *) memory;
	*m->form = form;
	m->tree = (PgmlForestFormTree *) (memory + form.tree);
	m->test = (PgmlGbmTest *) (memory + form.test);
	m->exit = (uint32_t *) (memory + form.exit);
	m->word = (uint32_t *) (memory + form.word);
	m->tree[0] = (PgmlForestFormTree){ 0 };
	return PGML_OK;
}

/* Make the form; *prepared stays NULL when there is none. */
static PgmlStatus
make(Making *m, PgmlArena *arena, const void **prepared)
{
	uint32_t n = m->v.header->n_trees;
	uint64_t n_tests = 0, n_words = 0;

	for (uint32_t t = 0; t < n; t++)
	{
		uint64_t splits = count_splits(&m->v, t);

		if (pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		n_tests += splits < PGML_FOREST_TESTS ? splits : PGML_FOREST_TESTS;
		n_words += 3 * splits + 2;
	}
	if (n_tests > UINT32_MAX)
		return PGML_OK;
	PGML_TRY(allocate(m, arena, n_tests, n_words));
	for (uint32_t t = 0; t < n; t++)
	{
		if (write_tree(m, t))
			continue;
		if (pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		return m->waiting.failed ? pgml_fail_nomem(m->env, "a prepared model") : PGML_OK;
	}
	m->form->size = m->form->word + m->tree[n].word * sizeof(uint32_t);
	*prepared = m->form;
	return PGML_OK;
}

PgmlStatus
pgml_forest_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
					const PgmlShape *shape, const void **prepared)
{
	Making *m = pgml_zalloc(arena, 1, sizeof(Making));
	PgmlStatus status;

	*prepared = NULL;
	if (m == NULL)
		return pgml_fail_nomem(env, "a prepared model");
	m->env = env;
	m->v = pgml_forest_view(payload);
	m->several = shape->task == PGML_TASK_MULTICLASS;
	if (m->v.header->n_lines > PGML_FOREST_BLOCK_LINES)
		return PGML_OK;
	pgml_buf_init(&m->waiting, env->budget);
	status = make(m, arena, prepared);
	pgml_buf_free(&m->waiting);
	return status;
}
