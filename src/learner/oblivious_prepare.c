/*
 * oblivious_prepare.c - from a stored model to the form in which blocks of rows are scored.
 */
#include "learner/oblivious_prepared.h"

#include <string.h>

#include "learner/pieces.h"

#define POLL_SPLITS 4096
#define NO_LINE     UINT32_MAX

/* A model being prepared. */
typedef struct Making
{
	const PgmlEnv *env;
	PgmlArena *arena;
	PgmlOblView view;
	const PgmlShape *shape;
	PgmlOblForm form;
	int32_t *number;
	PgmlGbmCuts **cuts;
	PgmlOblLevelLine *level;
	uint32_t *statistic;
	uint32_t *first;
	PgmlGbmTest *test;
	uint32_t *number_line;  /* per feature */
	uint32_t **level_line;  /* per feature, of each bin; NULL: none is asked for */
	uint32_t *statistic_of; /* per statistic of the payload */
} Making;

/* n numbers that say that there is no line. */
static uint32_t *
no_lines(PgmlArena *arena, size_t n)
{
	uint32_t *out = pgml_array(arena, n + 1, sizeof(uint32_t));

	if (out != NULL)
		memset(out, 0xff, (n + 1) * sizeof(uint32_t));
	return out;
}

/* Note a threshold; *fits is false when there are too many. */
static PgmlStatus
note_number(Making *m, uint32_t f, float threshold, bool *fits)
{
	PgmlGbmCuts *cuts;

	if (m->number_line[f] == NO_LINE)
	{
		cuts = pgml_zalloc(m->arena, 1, sizeof(PgmlGbmCuts));
		if (cuts == NULL)
			return pgml_fail_nomem(m->env, "a prepared model");
		m->number[m->form.n_numbers] = (int32_t) f;
		m->cuts[m->form.n_numbers] = cuts;
		m->number_line[f] = m->form.n_numbers++;
	}
	*fits = pgml_gbm_insert_cut(m->cuts[m->number_line[f]], threshold);
	return PGML_OK;
}

/* Note a level. */
static PgmlStatus
note_level(Making *m, uint32_t f, uint32_t bin)
{

	if (bin >= PGML_GBM_BINS)
		return PGML_OK;
	if (m->level_line[f] == NULL)
		m->level_line[f] = no_lines(m->arena, PGML_GBM_BINS);
	if (m->level_line[f] == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	if (m->level_line[f][bin] != NO_LINE)
		return PGML_OK;
	m->level[m->form.n_levels] = (PgmlOblLevelLine){ (int32_t) f, bin };
	m->level_line[f][bin] = m->form.n_levels++;
	return PGML_OK;
}

/* Note what all splits ask about; *fits: the model has a prepared form. */
static PgmlStatus
note_splits(Making *m, bool *fits)
{

	*fits = true;
	for (uint32_t i = 0; *fits && i < m->view.header->n_splits; i++)
	{
		const PgmlOblStored *split = &m->view.split[i];
		uint32_t input = split->input & PGML_OBL_INPUT;

		if (i % POLL_SPLITS == 0 && pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		if ((split->input & PGML_OBL_KIND) == PGML_OBL_IS_NUMBER)
			PGML_TRY(note_number(m, input, split->u.threshold, fits));
		else if ((split->input & PGML_OBL_KIND) == PGML_OBL_IS_LEVEL)
			PGML_TRY(note_level(m, input, split->u.value));
		else if ((split->input & PGML_OBL_KIND) == PGML_OBL_IS_LINE &&
				 m->statistic_of[input] == NO_LINE)
		{
			m->statistic[m->form.n_statistics] = input;
			m->statistic_of[input] = m->form.n_statistics++;
		}
	}
	for (uint32_t k = 0; k < m->form.n_numbers; k++)
		pgml_gbm_plant_cuts(m->cuts[k]);
	return PGML_OK;
}

/* The test that a split is. */
static PgmlGbmTest
make_test(const Making *m, const PgmlOblStored *split)
{
	uint32_t input = split->input & PGML_OBL_INPUT;
	PgmlGbmTest never = { .rank = INT8_MAX };
	PgmlGbmTest test = { 0 };

	switch (split->input & PGML_OBL_KIND)
	{
		case PGML_OBL_IS_NUMBER:
			test.line = m->number_line[input];
			test.rank = (int8_t) (pgml_gbm_rank(m->cuts[test.line], split->u.threshold) -
								  PGML_GBM_RANK_BIAS);
			return test;
		case PGML_OBL_IS_LEVEL:
			if (split->u.value >= PGML_GBM_BINS)
				return never;
			test.line = m->form.n_numbers + m->level_line[input][split->u.value];
			test.rank = -1;
			return test;
		case PGML_OBL_IS_LINE:
			test.line = m->form.n_numbers + m->form.n_levels + m->statistic_of[input];
			test.rank = (int8_t) ((split->u.value < 255 ? (int) split->u.value : 255) - 128);
			return test;
		default:
			return never;
	}
}

/* The tests of all trees: of an oblivious one a level each, of a depth-wise one a node each, where anything is asked. */
static PgmlStatus
make_tests(Making *m)
{
	const PgmlOblView *v = &m->view;
	uint32_t n = 0;

	for (uint32_t t = 0; t < v->header->n_trees; t++)
	{
		uint32_t from = v->first[2 * (size_t) t], count = v->first[2 * (size_t) t + 2] - from;
		uint32_t leaves = 1u << pgml_obl_depth(v, count);
		uint32_t row = 1, below = leaves; /* nodes of a level, and leaves below each */

		if (t % 64 == 0 && pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		m->first[t] = n;
		for (uint32_t i = 0; i < count; i++)
		{
			PgmlGbmTest test = make_test(m, &v->split[from + i]);

			if (v->header->depthwise)
			{
				if (i == 2 * row - 1)
				{
					row *= 2;
					below /= 2;
				}
				test.from = (uint8_t) ((i - (row - 1)) * below);
				test.to = (uint8_t) (test.from + below / 2);
				if ((v->split[from + i].input & PGML_OBL_KIND) == PGML_OBL_IS_FALSE)
					continue;
			}
			m->test[n++] = test;
		}
	}
	m->first[v->header->n_trees] = n;
	return PGML_OK;
}

/* Room for everything. */
static PgmlStatus
make_room(Making *m)
{
	const PgmlOblHeader *h = m->view.header;
	size_t d = (size_t) m->shape->nfeatures;
	size_t lines = (size_t) h->n_tables * h->width;

	m->number_line = no_lines(m->arena, d);
	m->level_line = pgml_zalloc(m->arena, d + 1, sizeof(uint32_t *));
	m->statistic_of = no_lines(m->arena, lines);
	m->number = pgml_array(m->arena, d + 1, sizeof(int32_t));
	m->cuts = pgml_array(m->arena, d + 1, sizeof(PgmlGbmCuts *));
	m->level = pgml_array(m->arena, (size_t) h->n_splits + 1, sizeof(PgmlOblLevelLine));
	m->statistic = pgml_array(m->arena, lines + 1, sizeof(uint32_t));
	m->first = pgml_array(m->arena, (size_t) h->n_trees + 1, sizeof(uint32_t));
	m->test = pgml_array(m->arena, (size_t) h->n_splits + 1, sizeof(PgmlGbmTest));
	if (!m->number_line || !m->level_line || !m->statistic_of || !m->number || !m->cuts ||
		!m->level || !m->statistic || !m->first || !m->test)
		return pgml_fail_nomem(m->env, "a prepared model");
	return PGML_OK;
}

/* Leaves of depth-wise trees are numbered in a byte. */
static bool
leaves_fit(const PgmlOblView *v)
{
	for (uint32_t t = 0; v->header->depthwise && t < v->header->n_trees; t++)
		if (v->first[2 * (size_t) t + 2] - v->first[2 * (size_t) t] >= PGML_GBM_BLOCK_LEAVES)
			return false;
	return true;
}

/* ---- the whole ---- */

/* Put the pieces together, without pointers. */
static PgmlStatus
assemble(Making *m, PgmlArena *arena, const void **prepared)
{
	PgmlOblForm *form = &m->form;
	size_t n_trees = (size_t) m->view.header->n_trees + 1;
	size_t n_tests = m->first[n_trees - 1];
	char *base;

	pgml_piece_place(&form->size, 1, sizeof(*form));
	form->number = pgml_piece_place(&form->size, form->n_numbers, sizeof(int32_t));
	form->cuts = pgml_piece_place(&form->size, form->n_numbers, sizeof(PgmlGbmCuts));
	form->level = pgml_piece_place(&form->size, form->n_levels, sizeof(PgmlOblLevelLine));
	form->statistic = pgml_piece_place(&form->size, form->n_statistics, sizeof(uint32_t));
	form->first = pgml_piece_place(&form->size, n_trees, sizeof(uint32_t));
	form->test = pgml_piece_place(&form->size, n_tests, sizeof(PgmlGbmTest));
	base = pgml_zalloc(arena, 1, form->size);
	if (base == NULL)
		return pgml_fail_nomem(m->env, "a prepared model");
	pgml_piece_fill(base, 0, form, 1, sizeof(*form));
	pgml_piece_fill(base, form->number, m->number, form->n_numbers, sizeof(int32_t));
	for (uint32_t k = 0; k < form->n_numbers; k++)
		pgml_piece_fill(base, form->cuts + k * sizeof(PgmlGbmCuts), m->cuts[k], 1,
						sizeof(PgmlGbmCuts));
	pgml_piece_fill(base, form->level, m->level, form->n_levels, sizeof(PgmlOblLevelLine));
	pgml_piece_fill(base, form->statistic, m->statistic, form->n_statistics, sizeof(uint32_t));
	pgml_piece_fill(base, form->first, m->first, n_trees, sizeof(uint32_t));
	pgml_piece_fill(base, form->test, m->test, n_tests, sizeof(PgmlGbmTest));
	*prepared = base;
	return PGML_OK;
}

/* Make the pieces in m's arena, and of them the whole in another one. */
static PgmlStatus
make(Making *m, PgmlArena *arena, const void **prepared)
{
	bool fits;

	if (!leaves_fit(&m->view))
		return PGML_OK;
	PGML_TRY(make_room(m));
	PGML_TRY(note_splits(m, &fits));
	if (!fits)
		return PGML_OK;
	PGML_TRY(make_tests(m));
	return assemble(m, arena, prepared);
}

PgmlStatus
pgml_obl_prepare_for(const PgmlEnv *env, PgmlArena *arena, const PgmlOblKernel *kernel,
					 const uint8_t *payload, const PgmlShape *shape, const void **prepared)
{
	int n;
	Making m = { .env = env, .shape = shape, .view = pgml_obl_view(payload) };
	PgmlStatus status;

	*prepared = NULL;
	m.form.kernel = (uint32_t) (kernel - pgml_obl_kernels(&n));
	m.arena = pgml_arena_create(env->budget);
	if (m.arena == NULL)
		return pgml_fail_nomem(env, "a prepared model");
	status = make(&m, arena, prepared);
	pgml_arena_destroy(m.arena);
	return status;
}

PgmlStatus
pgml_obl_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
				 const PgmlShape *shape, const void **prepared)
{
	int n;
	const PgmlOblKernel *kernel = pgml_obl_kernels(&n);

	while (!kernel->gbm->runs_here())
		kernel++;
	return pgml_obl_prepare_for(env, arena, kernel, payload, shape, prepared);
}

size_t
pgml_obl_prepared_size(const void *prepared)
{
	return ((const PgmlOblForm *) prepared)->size;
}
