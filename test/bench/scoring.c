/*
 * scoring.c - what scoring costs without PostgreSQL: a library that scoring.py loads.
 *
 * A model is trained on a table of numbers by the program's own recipe and learner, and made into an image; what is timed is
 * what a query would call for its rows.  Times are CPU seconds of the calling thread.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/par.h"
#include "learner/gbm_block.h"
#include "model/scorer.h"

#define BLOCK 1024 /* rows that a query would collect */

typedef struct Bench
{
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env;
	PgmlArena *arena;
	PgmlBuf recipe_bytes;
	PgmlFit fit;
	PgmlBuf bytes;
	PgmlImage image;
	const PgmlScorer *scorer;
	void *scratch;
	double prepare_seconds;
} Bench;

extern void *scoring_train(double *const *columns, const double *y, int64_t n, int d, int trees,
						   int leaves, int threads);
extern void scoring_free(void *bench);
extern double scoring_prepare_seconds(void *bench);
extern int64_t scoring_image_bytes(void *bench);
extern double scoring_blocks(void *bench, double *const *columns, int64_t n, double *out,
							 double *recipe_seconds);
extern double scoring_rows(void *bench, const float *x, int64_t n, int64_t at_once, double *out);
extern double scoring_kernel(void *bench, int kernel, double *const *columns, int64_t n,
							 double *out);
extern const char *scoring_kernel_name(int kernel);

/* The names of the columns; the recipe finds nothing in them. */
static PgmlColumn *
name_columns(PgmlArena *arena, double *const *columns, int d)
{
	PgmlColumn *cols = pgml_zalloc(arena, (size_t) d, sizeof(*cols));

	for (int f = 0; f < d; f++)
	{
		char name[16];

		snprintf(name, sizeof(name), "x%d", f);
		cols[f] = (PgmlColumn){ .name = pgml_strdup(arena, name),
								.type_name = "double precision",
								.kind = PGML_KIND_NUMBER,
								.num = columns[f] };
	}
	return cols;
}

/* Fit the recipe and the learner and write the image. */
static PgmlStatus
train(Bench *b, double *const *columns, const double *y, int64_t n, int d, int trees, int leaves)
{
	static const char *const classes[] = { "0", "1" };
	const PgmlLearner *learner = &pgml_learner_gradient_boosting;
	PgmlTable table = { .nrows = n, .nrows_total = n, .ncols = d };
	PgmlDataset data = { .y = y, .task = PGML_TASK_BINARY, .n_classes = 2, .n = n };
	PgmlMember member = { .learner = learner, .weight = 1 };
	PgmlImageSpec spec = { .task = PGML_TASK_BINARY, .n_classes = 2, .classes = classes };
	int32_t *rows = pgml_array(b->arena, (size_t) n, sizeof(int32_t));
	PgmlRecipeSpec recipe_spec = { .rows = rows, .n = n };
	PgmlRecipe recipe;
	PgmlMatrix x;
	PgmlParams params;

	for (int64_t i = 0; i < n; i++)
		rows[i] = (int32_t) i;
	table.cols = name_columns(b->arena, columns, d);
	PGML_TRY(pgml_recipe_fit(&b->env, &table, &recipe_spec, &b->recipe_bytes));
	PGML_TRY(pgml_recipe_open(b->recipe_bytes.data, b->recipe_bytes.len, &recipe, &b->error));
	PGML_TRY(pgml_recipe_apply_table(&b->env, &recipe, &table, b->arena, &x));
	data.x = &x;
	data.rows = rows;
	pgml_params_default(learner, &params);
	PGML_TRY(pgml_params_set(learner, &params, "n_estimators", trees, &b->error));
	PGML_TRY(pgml_params_set(learner, &params, "num_leaves", leaves, &b->error));
	PGML_TRY(pgml_params_set(learner, &params, "min_data_in_leaf", 2, &b->error));
	PGML_TRY(learner->fit(&b->env, &data, &params, &b->fit));
	member.payload = b->fit.payload.data;
	member.payload_len = b->fit.payload.len;
	spec.target = "y";
	spec.metric = "log_loss";
	spec.recipe = b->recipe_bytes.data;
	spec.recipe_len = b->recipe_bytes.len;
	spec.members = &member;
	spec.n_members = 1;
	PGML_TRY(pgml_image_encode(&b->env, &spec, &b->bytes));
	return pgml_image_open(b->bytes.data, b->bytes.len, b->arena, &b->image, &b->error);
}

/* Train on d columns of n numbers; y is 0 or 1.  NULL after a failure, which is printed. */
void *
scoring_train(double *const *columns, const double *y, int64_t n, int d, int trees, int leaves,
			  int threads)
{
	Bench *b = calloc(1, sizeof(*b));
	PgmlStatus status;
	double start;

	pgml_budget_init(&b->budget, 0);
	b->env = (PgmlEnv){ .budget = &b->budget, .error = &b->error, .seed = 1 };
	b->env.pool = pgml_pool_create(threads);
	b->arena = pgml_arena_create(&b->budget);
	pgml_buf_init(&b->recipe_bytes, &b->budget);
	pgml_buf_init(&b->fit.payload, &b->budget);
	pgml_buf_init(&b->bytes, &b->budget);
	status = train(b, columns, y, n, d, trees, leaves);
	pgml_pool_destroy(b->env.pool);
	b->env.pool = NULL;
	start = pgml_thread_cpu();
	if (status == PGML_OK)
		status = pgml_scorer_create(&b->env, b->arena, &b->image, &b->scorer);
	b->prepare_seconds = pgml_thread_cpu() - start;
	if (status != PGML_OK)
	{
		fprintf(stderr, "%s\n", b->error.message);
		scoring_free(b);
		return NULL;
	}
	b->scratch = pgml_alloc(b->arena, pgml_scorer_scratch(b->scorer));
	return b;
}

void
scoring_free(void *bench)
{
	Bench *b = bench;

	pgml_buf_free(&b->recipe_bytes);
	pgml_buf_free(&b->fit.payload);
	pgml_buf_free(&b->bytes);
	pgml_arena_destroy(b->arena);
	free(b);
}

double
scoring_prepare_seconds(void *bench)
{
	return ((Bench *) bench)->prepare_seconds;
}

int64_t
scoring_image_bytes(void *bench)
{
	return (int64_t) ((Bench *) bench)->bytes.len;
}

/* Seconds that recipe and model take for n rows of numbers, and those of the recipe alone. */
double
scoring_blocks(void *bench, double *const *columns, int64_t n, double *out, double *recipe_seconds)
{
	Bench *b = bench;
	int32_t d = b->image.recipe.n_inputs;
	float *x = calloc((size_t) b->image.recipe.n_features * BLOCK, sizeof(float));
	double start = pgml_thread_cpu();
	double seconds;

	*recipe_seconds = 0;
	for (int64_t from = 0; from < n; from += BLOCK)
	{
		int64_t size = n - from < BLOCK ? n - from : BLOCK;
		double before = pgml_thread_cpu();

		for (int32_t i = 0; i < d; i++)
			(void) pgml_recipe_apply_numbers(&b->image.recipe, i, PGML_KIND_NUMBER,
											 columns[i] + from, size, x, BLOCK, NULL);
		*recipe_seconds += pgml_thread_cpu() - before;
		pgml_scorer_predict(b->scorer, &(PgmlBlock){ x, BLOCK, size }, out + from, b->scratch);
	}
	seconds = pgml_thread_cpu() - start;
	free(x);
	return seconds;
}

/* Seconds that the kernels of that number take for the trees alone; negative when they do not run here. */
double
scoring_kernel(void *bench, int kernel, double *const *columns, int64_t n, double *out)
{
	Bench *b = bench;
	int n_kernels;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n_kernels);
	int32_t d = b->image.recipe.n_features;
	float *x;
	const void *prepared;
	void *scratch;
	double start;

	if (kernel >= n_kernels || !kernels[kernel]->runs_here() || d != b->image.recipe.n_inputs ||
		pgml_gbm_prepare_for(&b->env, b->arena, kernels[kernel], b->image.members[0].payload,
							 &b->image.shape, &prepared) != PGML_OK)
		return -1;
	x = calloc((size_t) d * (size_t) n, sizeof(float));
	scratch = pgml_alloc(b->arena, pgml_gbm_scratch(prepared));
	for (int32_t f = 0; f < d; f++)
		(void) pgml_recipe_apply_numbers(&b->image.recipe, f, PGML_KIND_NUMBER, columns[f], n, x, n,
										 NULL);
	start = pgml_thread_cpu();
	for (int64_t from = 0; from < n; from += PGML_BLOCK_ROWS)
		pgml_gbm_predict_block(
			prepared, b->image.members[0].payload, &b->image.shape,
			&(PgmlBlock){ x + from, n, n - from < PGML_BLOCK_ROWS ? n - from : PGML_BLOCK_ROWS },
			out + from, scratch);
	free(x);
	return pgml_thread_cpu() - start;
}

const char *
scoring_kernel_name(int kernel)
{
	int n;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n);

	return kernel < n ? kernels[kernel]->name : "";
}

/* Seconds that the stored form takes for n rows of features, row-major, so many at once; 0: the prepared form, one by one. */
double
scoring_rows(void *bench, const float *x, int64_t n, int64_t at_once, double *out)
{
	Bench *b = bench;
	double start = pgml_thread_cpu();

	for (int64_t i = 0; at_once == 0 && i < n; i++)
		pgml_scorer_predict(b->scorer, &(PgmlBlock){ x + i * b->image.recipe.n_features, 1, 1 },
							out + i, b->scratch);
	for (int64_t from = 0; at_once > 0 && from < n; from += at_once)
		pgml_image_predict(&b->image, x + from * b->image.recipe.n_features,
						   n - from < at_once ? n - from : at_once, out + from, NULL);
	return pgml_thread_cpu() - start;
}
