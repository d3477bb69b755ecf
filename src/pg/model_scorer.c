/*
 * model_scorer.c - the scorer of a loaded model: made when it pays, and shared by all sessions where the image is.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "pg/driver.h"
#include "pg/model_cache.h"
#include "pg/shared_images.h"

#define ROWS_BEFORE_SCORER 200 /* about as many as save what making one costs */

/* Bytes of an image: a row must not wait long for a scorer. */
#define MAX_SCORED_SINGLY (8 * 1024 * 1024)

/* The scorer is this one, in this arena, from now on; the last one's memory is given back. */
static void
set_scorer(PgmlModel *model, PgmlArena *arena, const PgmlScorer *scorer)
{
	pgml_arena_destroy(model->scorer_arena);
	model->scorer_arena = arena;
	model->scorer = scorer;
	pgml_model_count_bytes(model, model->scorer_budget.used - model->scorer_bytes);
	model->scorer_bytes = model->scorer_budget.used;
}

/* Use the prepared form in a segment, which the model has from then on; false: there is no memory for the little it takes. */
static bool
use_form(PgmlModel *model, dsm_segment *form)
{
	PgmlArena *arena = pgml_arena_create(&model->scorer_budget);
	const PgmlScorer *scorer =
		arena == NULL ? NULL : pgml_scorer_attach(arena, &model->image, dsm_segment_address(form));

	if (scorer == NULL)
	{
		pgml_arena_destroy(arena);
		dsm_detach(form);
		return false;
	}
	model->form = form;
	set_scorer(model, arena, scorer);
	return true;
}

/* Use the prepared form that all sessions share, if there is one. */
static bool
attach_scorer(PgmlModel *model)
{
	dsm_segment *form = model->segment == NULL ? NULL : pgml_shared_form_map(model->slot);

	return form != NULL && use_form(model, form);
}

/* Share what the scorer has derived, if the image is shared, and use the shared copy. */
static void
share_scorer(PgmlModel *model)
{
	size_t size = model->segment == NULL ? 0 : pgml_scorer_form_size(model->scorer);
	dsm_segment *form = size == 0 ? NULL : pgml_shared_form_create(model->slot, size);

	if (form == NULL)
		return;
	pgml_scorer_form_write(model->scorer, dsm_segment_address(form));
	use_form(model, pgml_shared_form_offer(model->slot, form));
}

/* A scorer in the making. */
typedef struct ScorerJob
{
	PgmlModel *model;
	PgmlArena *arena;
	const PgmlScorer *scorer;
} ScorerJob;

static PgmlStatus
create_scorer(const PgmlEnv *env, void *arg)
{
	ScorerJob *job = arg;

	return pgml_scorer_create(env, job->arena, &job->model->image, &job->scorer);
}

/*
 * Make a scorer: in a thread when it takes long, so that a cancel is served.  Without a budget of its own: it is some times the
 * size of the image, which has its bound.
 */
static void
make_scorer(PgmlModel *model)
{
	ScorerJob job = { model, pgml_arena_create(&model->scorer_budget), NULL };

	if (job.arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PG_TRY();
	{
		pgml_driver_compute(create_scorer, &job, &model->scorer_budget,
							model->version.image_bytes > PGML_BYTES_AT_ONCE);
	}
	PG_CATCH();
	{
		pgml_arena_destroy(job.arena);
		PG_RE_THROW();
	}
	PG_END_TRY();
	set_scorer(model, job.arena, job.scorer);
}

const PgmlScorer *
pgml_model_scorer(PgmlModel *model)
{
	if (model->scorer != NULL || attach_scorer(model))
		return model->scorer;
	make_scorer(model);
	share_scorer(model);
	return model->scorer;
}

/* From here on single rows are predicted by the scorer. */
static void
use_scorer_for_rows(PgmlModel *model)
{
	const PgmlScorer *scorer = pgml_model_scorer(model);
	char *memory =
		MemoryContextAlloc(model->context, pgml_scorer_scratch(scorer) + PG_CACHE_LINE_SIZE);
	model->single_scratch = (void *) TYPEALIGN(PG_CACHE_LINE_SIZE, memory);
}

/* Whether n > 0 is a power of two. */
static bool
is_power_of_2(int n)
{
	return (n & (n - 1)) == 0;
}

/*
 * The next one of the first rows is to be predicted: by a scorer if there is one, which is looked for now and then, or it is time to
 * make it.
 */
static void
consider_scorer(PgmlModel *model)
{
	int rows = model->single_rows++;

	if (model->single_scratch != NULL)
		return;
	if ((is_power_of_2(rows + 1) && (model->scorer != NULL || attach_scorer(model))) ||
		(model->single_rows == ROWS_BEFORE_SCORER &&
		 model->version.image_bytes <= MAX_SCORED_SINGLY))
		use_scorer_for_rows(model);
}

void
pgml_model_predict_row(PgmlModel *model, const float *features, double *out, double *scratch)
{
	PgmlBlock row = { features, 1, 1 };

	if (model->single_rows < ROWS_BEFORE_SCORER)
		consider_scorer(model);
	if (model->single_scratch != NULL)
		pgml_scorer_predict(model->scorer, &row, out, model->single_scratch);
	else
		pgml_image_predict(&model->image, features, 1, out, scratch);
}
