/*
 * scorer.c - score blocks of rows: each member by its block form, or row by row when it has none.
 */
#include "model/scorer.h"

#include <string.h>

/* A member and what its learner prepared; NULL: predict() is used. */
typedef struct Part
{
	const PgmlMember *member;
	const void *prepared;
} Part;

struct PgmlScorer
{
	const PgmlImage *image;
	int outputs;
	int64_t rows;          /* that pass all members before the next ones do */
	size_t member_scratch; /* the largest that a member needs; a multiple of 64 */
	Part parts[];
};

#define ALIGNMENT 64

static size_t
align_up(size_t size)
{
	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Scratch memory of a part: rows by rows for predict(), or what the block form asks for. */
static size_t
part_scratch(const Part *part, int32_t nfeatures)
{
	if (part->prepared == NULL)
		return PGML_BLOCK_ROWS * (size_t) nfeatures * sizeof(float);
	return part->member->learner->scratch(part->prepared);
}

/* Rows that a part takes at once. */
static int64_t
part_rows(const Part *part)
{
	const PgmlLearner *learner = part->member->learner;

	if (part->prepared == NULL || learner->block_rows == NULL)
		return PGML_BLOCK_ROWS;
	return learner->block_rows(part->prepared);
}

/* Prepare a member, unless memory is short: then it is predicted as it is stored. */
static PgmlStatus
prepare_part(const PgmlEnv *env, PgmlArena *arena, const PgmlShape *shape, Part *part)
{
	const PgmlLearner *learner = part->member->learner;
	PgmlStatus status;

	part->prepared = NULL;
	if (learner->prepare == NULL)
		return PGML_OK;
	status = learner->prepare(env, arena, part->member->payload, shape, &part->prepared);
	if (status == PGML_OK || status == PGML_ERR_CANCELLED)
		return status;
	part->prepared = NULL;
	return PGML_OK;
}

/* A scorer without its parts; NULL: no memory. */
static PgmlScorer *
create_empty(PgmlArena *arena, const PgmlImage *image)
{
	PgmlScorer *scorer =
		pgml_alloc(arena, sizeof(*scorer) + (size_t) image->n_members * sizeof(Part));

	if (scorer == NULL)
		return NULL;
	scorer->image = image;
	scorer->outputs = pgml_image_outputs(image);
	scorer->rows = PGML_BLOCK_ROWS;
	scorer->member_scratch = 0;
	for (int i = 0; i < image->n_members; i++)
		scorer->parts[i] = (Part){ &image->members[i], NULL };
	return scorer;
}

/* Find out the rows and the scratch memory that the parts need. */
static void
measure_parts(PgmlScorer *scorer)
{
	const PgmlImage *image = scorer->image;

	for (int i = 0; i < image->n_members; i++)
	{
		size_t size = align_up(part_scratch(&scorer->parts[i], image->shape.nfeatures));

		if (size > scorer->member_scratch)
			scorer->member_scratch = size;
		if (part_rows(&scorer->parts[i]) > scorer->rows)
			scorer->rows = part_rows(&scorer->parts[i]);
	}
}

PgmlStatus
pgml_scorer_create(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image,
				   const PgmlScorer **out)
{
	PgmlScorer *scorer = create_empty(arena, image);

	if (scorer == NULL)
		return pgml_fail_nomem(env, "a prepared model");
	for (int i = 0; i < image->n_members; i++)
		PGML_TRY(prepare_part(env, arena, &image->shape, &scorer->parts[i]));
	measure_parts(scorer);
	*out = scorer;
	return PGML_OK;
}

/* ---- a form for several processes ----------------------------------------------------------- */

/* The form: where each part's prepared form begins (u64, 0: it has none), and those, at multiples of ALIGNMENT. */
static size_t
directory_size(const PgmlScorer *scorer)
{
	return align_up((size_t) scorer->image->n_members * sizeof(uint64_t));
}

size_t
pgml_scorer_form_size(const PgmlScorer *scorer)
{
	size_t directory = directory_size(scorer);
	size_t size = directory;

	for (int i = 0; i < scorer->image->n_members; i++)
	{
		const Part *part = &scorer->parts[i];

		if (part->prepared != NULL)
			size += align_up(part->member->learner->prepared_size(part->prepared));
	}
	return size > directory ? size : 0;
}

void
pgml_scorer_form_write(const PgmlScorer *scorer, uint8_t *form)
{
	uint64_t *start = (uint64_t *) form;
	size_t at = directory_size(scorer);

	for (int i = 0; i < scorer->image->n_members; i++)
	{
		const Part *part = &scorer->parts[i];
		size_t size;

		start[i] = 0;
		if (part->prepared == NULL)
			continue;
		size = part->member->learner->prepared_size(part->prepared);
		memcpy(form + at, part->prepared, size);
		start[i] = at;
		at += align_up(size);
	}
}

const PgmlScorer *
pgml_scorer_attach(PgmlArena *arena, const PgmlImage *image, const uint8_t *form)
{
	const uint64_t *start = (const uint64_t *) form;
	PgmlScorer *scorer = create_empty(arena, image);

	if (scorer == NULL)
		return NULL;
	for (int i = 0; i < image->n_members; i++)
		if (start[i] != 0)
			scorer->parts[i].prepared = form + start[i];
	measure_parts(scorer);
	return scorer;
}

/* ---- predicting ----------------------------------------------------------------------------- */

int64_t
pgml_scorer_rows(const PgmlScorer *scorer)
{
	return scorer->rows;
}

int64_t
pgml_scorer_rows_at_once(const PgmlScorer *scorer)
{
	double share = 0; /* of the time, that a row takes */
	int64_t rows;

	for (int i = 0; i < scorer->image->n_members; i++)
	{
		const Part *part = &scorer->parts[i];

		share +=
			1.0 / (double) pgml_learner_rows_at_once(part->member->learner, part->member->payload,
													 part->member->payload_len, part->prepared);
	}
	rows = share * (double) scorer->rows > 1 ? (int64_t) (1 / share) : scorer->rows;
	return rows > 1 ? rows : 1;
}

size_t
pgml_scorer_scratch(const PgmlScorer *scorer)
{
	size_t outputs = scorer->image->n_members > 1 ?
						 (size_t) scorer->rows * (size_t) scorer->outputs * sizeof(double) :
						 0;

	return scorer->member_scratch + outputs;
}

/* The rows of a block one after the other. */
static void
transpose(const PgmlBlock *block, int32_t nfeatures, float *rows)
{
	for (int32_t f = 0; f < nfeatures; f++)
		for (int64_t i = 0; i < block->n; i++)
			rows[i * nfeatures + f] = block->x[f * block->stride + i];
}

/* Predict with one member, as many rows at once as it takes. */
static void
predict_part(const PgmlScorer *scorer, const Part *part, const PgmlBlock *block, double *out,
			 void *scratch)
{
	const PgmlLearner *learner = part->member->learner;
	const PgmlShape *shape = &scorer->image->shape;
	int64_t most = part_rows(part);

	for (int64_t from = 0; from < block->n; from += most)
	{
		PgmlBlock rows = { block->x + from, block->stride, block->n - from };
		double *to = out + from * scorer->outputs;

		if (rows.n > most)
			rows.n = most;
		if (part->prepared != NULL)
		{
			learner->predict_block(part->prepared, part->member->payload, shape, &rows, to,
								   scratch);
			continue;
		}
		transpose(&rows, shape->nfeatures, scratch);
		learner->predict(part->member->payload, shape, scratch, rows.n, to);
	}
}

/* Predict at most scorer->rows rows: in the order of pgml_image_predict(), so that the bits are the same. */
static void
predict_rows(const PgmlScorer *scorer, const PgmlBlock *block, double *out, void *scratch)
{
	const PgmlImage *image = scorer->image;
	double *single = (double *) ((char *) scratch + scorer->member_scratch);

	predict_part(scorer, &scorer->parts[0], block, out, scratch);
	pgml_image_begin(image, block->n, out);
	for (int i = 1; i < image->n_members; i++)
	{
		predict_part(scorer, &scorer->parts[i], block, single, scratch);
		pgml_image_add(image, i, block->n, single, out);
	}
	pgml_image_finish(image, block->n, out);
}

void
pgml_scorer_predict(const PgmlScorer *scorer, const PgmlBlock *block, double *out, void *scratch)
{
	for (int64_t from = 0; from < block->n; from += scorer->rows)
	{
		PgmlBlock rows = { block->x + from, block->stride, block->n - from };

		if (rows.n > scorer->rows)
			rows.n = scorer->rows;
		predict_rows(scorer, &rows, out + from * scorer->outputs, scratch);
	}
}
