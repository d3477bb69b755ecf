/*
 * scorer.c - score blocks of rows: each member by its block form, or row by row when it has none.
 */
#include "model/scorer.h"

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

PgmlStatus
pgml_scorer_create(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image,
				   const PgmlScorer **out)
{
	PgmlScorer *scorer =
		pgml_alloc(arena, sizeof(*scorer) + (size_t) image->n_members * sizeof(Part));

	if (scorer == NULL)
		return pgml_fail_nomem(env, "a prepared model");
	scorer->image = image;
	scorer->outputs = pgml_image_outputs(image);
	scorer->member_scratch = 0;
	for (int i = 0; i < image->n_members; i++)
	{
		Part *part = &scorer->parts[i];
		size_t size;

		part->member = &image->members[i];
		PGML_TRY(prepare_part(env, arena, &image->shape, part));
		size = align_up(part_scratch(part, image->shape.nfeatures));
		if (size > scorer->member_scratch)
			scorer->member_scratch = size;
	}
	*out = scorer;
	return PGML_OK;
}

size_t
pgml_scorer_scratch(const PgmlScorer *scorer)
{
	size_t outputs = scorer->image->n_members > 1 ?
						 PGML_BLOCK_ROWS * (size_t) scorer->outputs * sizeof(double) :
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

/* Predict with one member. */
static void
predict_part(const PgmlScorer *scorer, const Part *part, const PgmlBlock *block, double *out,
			 void *scratch)
{
	const PgmlLearner *learner = part->member->learner;
	const PgmlShape *shape = &scorer->image->shape;

	if (part->prepared != NULL)
	{
		learner->predict_block(part->prepared, block, out, scratch);
		return;
	}
	transpose(block, shape->nfeatures, scratch);
	learner->predict(part->member->payload, shape, scratch, block->n, out);
}

/* Predict at most PGML_BLOCK_ROWS rows: in the order of pgml_image_predict(), so that the bits are the same. */
static void
predict_rows(const PgmlScorer *scorer, const PgmlBlock *block, double *out, void *scratch)
{
	int64_t size = block->n * scorer->outputs;
	double *single = (double *) ((char *) scratch + scorer->member_scratch);

	predict_part(scorer, &scorer->parts[0], block, out, scratch);
	if (scorer->image->n_members == 1)
		return;
	for (int64_t j = 0; j < size; j++)
		out[j] *= scorer->parts[0].member->weight;
	for (int i = 1; i < scorer->image->n_members; i++)
	{
		double weight = scorer->parts[i].member->weight;

		predict_part(scorer, &scorer->parts[i], block, single, scratch);
		for (int64_t j = 0; j < size; j++)
			out[j] += weight * single[j];
	}
}

void
pgml_scorer_predict(const PgmlScorer *scorer, const PgmlBlock *block, double *out, void *scratch)
{
	for (int64_t from = 0; from < block->n; from += PGML_BLOCK_ROWS)
	{
		PgmlBlock rows = { block->x + from, block->stride, block->n - from };

		if (rows.n > PGML_BLOCK_ROWS)
			rows.n = PGML_BLOCK_ROWS;
		predict_rows(scorer, &rows, out + from * scorer->outputs, scratch);
	}
}
