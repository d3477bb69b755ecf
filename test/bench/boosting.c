/*
 * boosting.c - fit a learner to a table in a file and predict other rows of it; started by boosting.py, forests.py and shap.py.
 *
 * boosting FILE THREADS [learner=NAME] [NAME=VALUE ...]: the settings are those of the learner, gradient_boosting when none is named.
 * FILE is little-endian: int64 rows to learn from, rows to predict, features, classes (1: regression); int64 levels of each
 * feature (0: numeric); the columns one after another, float32; the targets of the rows to learn from, float64.  Prints the
 * seconds of the fit, CPU and wall, cutting into bins included; the CPU seconds of predicting, from rows and from blocks of
 * columns; the bytes of the model; and the CPU seconds of preparing it for blocks.  Writes the predictions to FILE.out, float64.
 * With seed=N and valid=N: so many of the rows to learn from, the last, are for early stopping.
 * With explain=1 the rows to predict are explained as well, by one thread: a second line has the CPU seconds of preparing and of
 * explaining, and FILE.phi the contributions, row after row with the base last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/par.h"
#include "learner/learner.h"
#include "learner/tree_shap.h"

/* The table and what is learned from it. */
typedef struct Bench
{
	int64_t head[4]; /* rows to learn from, to predict, features, classes */
	PgmlFeature *features;
	bool *categorical;
	int32_t *n_levels;
	float **col;
	double *y;
	int32_t *rows;
	PgmlMatrix x;
} Bench;

/* Leave with a message. */
static void
give_up(const char *what)
{
	fprintf(stderr, "boosting: %s\n", what);
	exit(1);
}

/* Read exactly so many bytes into new memory. */
static void *
read_bytes(FILE *file, size_t bytes)
{
	void *to = malloc(bytes + 1);

	if (to == NULL || fread(to, 1, bytes, file) != bytes)
		give_up("cannot read the table");
	return to;
}

static void
read_table(const char *name, Bench *b)
{
	FILE *file = fopen(name, "rb");
	int64_t *head, *levels;
	size_t n, nf;

	if (file == NULL)
		give_up("cannot open the table");
	head = read_bytes(file, sizeof(b->head));
	memcpy(b->head, head, sizeof(b->head));
	n = (size_t) (head[0] + head[1]);
	nf = (size_t) head[2];
	levels = read_bytes(file, nf * sizeof(int64_t));
	b->features = calloc(nf, sizeof(PgmlFeature));
	b->categorical = calloc(nf, sizeof(bool));
	b->n_levels = calloc(nf, sizeof(int32_t));
	b->col = calloc(nf, sizeof(float *));
	b->rows = calloc(n, sizeof(int32_t));
	for (size_t f = 0; f < nf; f++)
	{
		b->categorical[f] = b->features[f].categorical = levels[f] > 0;
		b->n_levels[f] = b->features[f].n_levels = (int32_t) levels[f];
		b->features[f].name = "x";
		b->col[f] = read_bytes(file, n * sizeof(float));
	}
	b->y = read_bytes(file, (size_t) head[0] * sizeof(double));
	for (size_t i = 0; i < n; i++)
		b->rows[i] = (int32_t) i;
	b->x = (PgmlMatrix){ (int64_t) n, (int32_t) nf, b->features, b->col };
	free(head);
	free(levels);
	fclose(file);
}

/* CPU seconds that blocks of columns take, the predictions of which must be those in `expected`, and those of preparing. */
static double
time_blocks(const PgmlLearner *learner, const Bench *b, const PgmlShape *shape, const PgmlFit *fit,
			const PgmlEnv *env, const double *expected, double *preparing)
{
	int64_t n = b->head[1], nf = b->head[2], most = PGML_BLOCK_ROWS;
	size_t outputs = b->head[3] > 2 ? (size_t) b->head[3] : 1;
	PgmlArena *arena = pgml_arena_create(env->budget);
	const void *prepared;
	double *out;
	float *x;
	void *scratch;
	double seconds = 0, begun = pgml_thread_cpu();

	*preparing = 0;
	if (learner->prepare == NULL ||
		learner->prepare(env, arena, fit->payload.data, shape, &prepared) || prepared == NULL)
		return 0;
	*preparing = pgml_thread_cpu() - begun;
	if (learner->block_rows != NULL)
		most = learner->block_rows(prepared);
	x = pgml_array(arena, (size_t) (most * nf) + 1, sizeof(float));
	out = pgml_array(arena, (size_t) most * outputs, sizeof(double));
	scratch = pgml_alloc(arena, learner->scratch(prepared) + 64);
	scratch = (void *) (((uintptr_t) scratch + 63) / 64 * 64);
	for (int64_t from = 0; from < n; from += most)
	{
		int64_t size = n - from < most ? n - from : most;
		double start;

		for (int64_t f = 0; f < nf; f++)
			memcpy(x + f * most, b->col[f] + b->head[0] + from, (size_t) size * sizeof(float));
		start = pgml_thread_cpu();
		learner->predict_block(prepared, fit->payload.data, shape, &(PgmlBlock){ x, most, size },
							   out, scratch);
		seconds += pgml_thread_cpu() - start;
		if (memcmp(out, expected + from * (int64_t) outputs,
				   (size_t) size * outputs * sizeof(double)))
			give_up("a block is predicted differently");
	}
	pgml_arena_destroy(arena);
	return seconds;
}

/* Predict the rows after those learned from, print how long that takes, and write the predictions. */
static void
write_predictions(const PgmlLearner *learner, const char *name, const Bench *b,
				  const PgmlShape *shape, const PgmlFit *fit, const PgmlEnv *env)
{
	int64_t n = b->head[1], nf = b->head[2];
	size_t outputs = b->head[3] > 2 ? (size_t) b->head[3] : 1;
	float *x = malloc((size_t) (n * nf) * sizeof(float) + 1);
	double *out = malloc((size_t) n * outputs * sizeof(double) + 1);
	char path[4096];
	FILE *file;
	double start, blocks, preparing;

	for (int64_t i = 0; i < n; i++)
		for (int64_t f = 0; f < nf; f++)
			x[i * nf + f] = b->col[f][b->head[0] + i];
	start = pgml_thread_cpu();
	learner->predict(fit->payload.data, shape, x, n, out);
	start = pgml_thread_cpu() - start;
	blocks = time_blocks(learner, b, shape, fit, env, out, &preparing);
	printf(" %.6f %.6f %zu %.6f\n", start, blocks, fit->payload.len, preparing);
	snprintf(path, sizeof(path), "%s.out", name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(out, sizeof(double) * outputs, (size_t) n, file) != (size_t) n)
		give_up("cannot write the predictions");
	fclose(file);
	free(x);
	free(out);
}

/* Explain the rows after those learned from (output 0), and write the contributions. */
static void
write_contributions(const PgmlEnv *env, const char *name, const Bench *b, const PgmlShape *shape,
					const PgmlFit *fit)
{
	int64_t n = b->head[1], nf = b->head[2];
	PgmlArena *arena = pgml_arena_create(env->budget);
	double *phi = calloc((size_t) (n * nf) + 1, sizeof(double));
	double start = pgml_thread_cpu(), ready;
	const PgmlTreeShap *shap;
	PgmlTrees trees;
	float *x;
	void *scratch;
	char path[4096];
	FILE *file;

	if (pgml_learner_gradient_boosting.trees(env, arena, fit->payload.data, shape, &trees) ||
		pgml_tree_shap_create(env, arena, &trees, shape, &shap))
		give_up(env->error->message);
	scratch = pgml_alloc(arena, pgml_tree_shap_scratch(shap));
	x = pgml_array(arena, (size_t) nf * PGML_SHAP_ROWS, sizeof(float));
	ready = pgml_thread_cpu();
	for (int64_t from = 0; from < n; from += PGML_SHAP_ROWS)
	{
		PgmlBlock block = { x, PGML_SHAP_ROWS,
							n - from < PGML_SHAP_ROWS ? n - from : PGML_SHAP_ROWS };

		for (int64_t f = 0; f < nf; f++)
			memcpy(x + f * PGML_SHAP_ROWS, b->col[f] + b->head[0] + from,
				   (size_t) block.n * sizeof(float));
		if (pgml_tree_shap_block(env, shap, &block, 0, 1, phi + from, n, scratch))
			give_up("explaining failed");
	}
	printf("%.4f %.4f\n", ready - start, pgml_thread_cpu() - ready);
	snprintf(path, sizeof(path), "%s.phi", name);
	file = fopen(path, "wb");
	for (int64_t i = 0; file && i < n; i++)
	{
		double base = pgml_tree_shap_base(shap, 0);

		for (int64_t f = 0; f < nf; f++)
			fwrite(&phi[f * n + i], sizeof(double), 1, file);
		fwrite(&base, sizeof(double), 1, file);
	}
	if (file == NULL || fclose(file) != 0)
		give_up("cannot write the contributions");
	pgml_arena_destroy(arena);
	free(phi);
}

int
main(int argc, char **argv)
{
	const PgmlLearner *learner = &pgml_learner_gradient_boosting;
	Bench b;
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &error, .seed = 1 };
	PgmlParams params;
	PgmlFit fit = { 0 };
	PgmlBlas blas;
	double cpu, wall;
	bool explain = false;
	int first = 3;

	if (argc < 3)
		give_up("usage: boosting FILE THREADS [learner=NAME] [NAME=VALUE ...]");
	read_table(argv[1], &b);
	PgmlTask task = b.head[3] == 1 ? PGML_TASK_REGRESSION :
					b.head[3] == 2 ? PGML_TASK_BINARY :
									 PGML_TASK_MULTICLASS;
	PgmlDataset set = { .x = &b.x,
						.y = b.y,
						.task = task,
						.n_classes = (int) b.head[3],
						.rows = b.rows,
						.n = b.head[0] };
	PgmlShape shape = { task, (int) b.head[3], (int32_t) b.head[2], b.categorical, b.n_levels };

	pgml_budget_init(&budget, 0);
	if (argc > 3 && strncmp(argv[3], "learner=", 8) == 0)
	{
		learner = pgml_learner_find(argv[3] + 8);
		first++;
	}
	if (learner == NULL)
		give_up("no such learner");
	if (learner->needs_blas)
	{
		setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
		if (pgml_blas_load(&blas, NULL, &error))
			give_up(error.message);
		set.blas = &blas;
	}
	pgml_params_default(learner, &params);
	for (int i = first; i < argc; i++)
	{
		char *value = strchr(argv[i], '=');

		if (value == NULL)
			give_up("a setting is NAME=VALUE");
		*value++ = 0;
		if (strcmp(argv[i], "seed") == 0)
			env.seed = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "valid") == 0)
		{
			set.n_valid = atoll(value);
			set.n -= set.n_valid;
			set.valid_rows = b.rows + set.n;
		}
		else if (strcmp(argv[i], "explain") == 0)
			explain = strcmp(value, "1") == 0;
		else if (pgml_params_set_text(learner, &params, argv[i], value, NULL) &&
				 pgml_params_set(learner, &params, argv[i], strtod(value, NULL), &error))
			give_up(error.message);
	}
	env.pool = pgml_pool_create(atoi(argv[2]));
	pgml_buf_init(&fit.payload, &budget);
	cpu = pgml_process_cpu();
	wall = pgml_now();
	if (learner->fit(&env, &set, &params, &fit))
		give_up(error.message);
	printf("%.6f %.4f", pgml_process_cpu() - cpu, pgml_now() - wall);
	pgml_pool_destroy(env.pool);
	env.pool = NULL;
	write_predictions(learner, argv[1], &b, &shape, &fit, &env);
	if (explain)
		write_contributions(&env, argv[1], &b, &shape, &fit);
	pgml_buf_free(&fit.payload);
	return 0;
}
