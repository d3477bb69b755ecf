/*
 * linear.c - fit learner `linear` to a table in a file, and write the design that it saw; started by linear.py.
 *
 * linear FILE ROUNDS [NAME=VALUE ...]: FILE as boosting.c reads it, with no rows to predict.  Prints for every round the CPU seconds of the
 * whole fit, and those from the first call of OpenBLAS on, which is the optimisation, less those of taking the means for
 * explanations, which are timed apart.  Writes FILE.design (float32, a row of the dense columns after the other), FILE.levels (int32,
 * the coefficient row of each category), and FILE.coef (int64 coefficient rows and outputs, then the coefficients on the scale of the fit,
 * float64, then unit, mean and deviation of the target).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/linear_internal.h"

/* The table and what is learned from it. */
typedef struct Bench
{
	int64_t head[4]; /* rows to learn from, to predict, features, classes */
	PgmlFeature *features;
	float **col;
	double *y;
	int32_t *rows;
	PgmlMatrix x;
} Bench;

/* Leave with a message. */
static void
give_up(const char *what)
{
	fprintf(stderr, "linear: %s\n", what);
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
	n = (size_t) head[0];
	nf = (size_t) head[2];
	levels = read_bytes(file, nf * sizeof(int64_t));
	b->features = calloc(nf, sizeof(PgmlFeature));
	b->col = calloc(nf, sizeof(float *));
	b->rows = calloc(n, sizeof(int32_t));
	for (size_t f = 0; f < nf; f++)
	{
		b->features[f].categorical = levels[f] > 0;
		b->features[f].n_levels = (int32_t) levels[f];
		b->features[f].name = "x";
		b->col[f] = read_bytes(file, n * sizeof(float));
	}
	b->y = read_bytes(file, n * sizeof(double));
	for (size_t i = 0; i < n; i++)
		b->rows[i] = (int32_t) i;
	b->x = (PgmlMatrix){ (int64_t) n, (int32_t) nf, b->features, b->col };
	free(head);
	free(levels);
	fclose(file);
}

/* Write bytes to FILE with another ending. */
static void
write_bytes(const char *name, const char *ending, const char *mode, const void *bytes, size_t n)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s.%s", name, ending);
	file = fopen(path, mode);
	if (file == NULL || fwrite(bytes, 1, n, file) != n || fclose(file) != 0)
		give_up("cannot write the results");
}

/* When OpenBLAS was called first, by the clock of the thread; 0: not yet. */
static double first_call;
static PgmlBlas loaded;

static void
note_call(void)
{
	if (first_call == 0)
		first_call = pgml_thread_cpu();
}

static void
noting_dgemv(int order, int trans, int m, int n, double alpha, const double *a, int lda,
			 const double *x, int incx, double beta, double *y, int incy)
{
	note_call();
	loaded.dgemv(order, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}

static void
noting_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
			 const double *b, int ldb, double beta, double *c, int ldc)
{
	note_call();
	loaded.dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void
noting_dsyrk(int order, int uplo, int trans, int n, int k, double alpha, const double *a, int lda,
			 double beta, double *c, int ldc)
{
	note_call();
	loaded.dsyrk(order, uplo, trans, n, k, alpha, a, lda, beta, c, ldc);
}

/* CPU seconds of taking the means; with `name` the design is written as well. */
static double
time_means(const PgmlEnv *env, const PgmlDataset *set, const PgmlLinearConfig *config,
		   const PgmlFit *fit, const char *name)
{
	PgmlArena *arena = pgml_arena_create(env->budget);
	PgmlLinearDesign design;
	PgmlLinearRows rows;
	double *mean;
	double seconds;

	if (pgml_linear_design(env, arena, set, config->loss, &design))
		give_up(env->error->message);
	design.cache_bytes = INT64_MAX;
	if (pgml_linear_rows(env, arena, &design, set->rows, set->n, &rows))
		give_up(env->error->message);
	mean = pgml_array(arena, (size_t) design.n_rows, sizeof(double));
	seconds = pgml_thread_cpu();
	if (pgml_linear_means(env, &design, &rows, mean))
		give_up(env->error->message);
	seconds = pgml_thread_cpu() - seconds;
	if (name != NULL)
	{
		const PgmlLinearHeader *header = (const PgmlLinearHeader *) fit->payload.data;
		const double *stored =
			(const double *) ((const PgmlLinearFeature *) (header + 1) + header->nfeatures);
		int64_t shape[2] = { design.n_rows, design.outputs };
		double target[3] = { design.y_unit, design.y_mean, design.y_sd };

		write_bytes(name, "design", "wb", rows.dense,
					(size_t) (set->n * design.n_dense) * sizeof(float));
		write_bytes(name, "levels", "wb", rows.level,
					(size_t) (set->n * design.n_categories) * sizeof(int32_t));
		write_bytes(name, "coef", "wb", shape, sizeof(shape));
		write_bytes(name, "coef", "ab", stored,
					(size_t) (design.n_rows * design.outputs) * sizeof(double));
		write_bytes(name, "coef", "ab", target, sizeof(target));
	}
	pgml_arena_destroy(arena);
	return seconds;
}

/* Set NAME=VALUE, a number or a word. */
static void
set_param(const PgmlEnv *env, PgmlParams *params, char *setting)
{
	char *value = strchr(setting, '=');
	char *end;
	double number;

	if (value == NULL)
		give_up("a setting is NAME=VALUE");
	*value++ = 0;
	number = strtod(value, &end);
	if (*end == 0 ? pgml_params_set(&pgml_learner_linear, params, setting, number, env->error) :
					pgml_params_set_text(&pgml_learner_linear, params, setting, value, env->error))
		give_up(env->error->message);
}

int
main(int argc, char **argv)
{
	Bench b;
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &error, .seed = 1 };
	PgmlLinearConfig config;
	PgmlParams params;

	if (argc < 3)
		give_up("usage: linear FILE ROUNDS [NAME=VALUE ...]");
	read_table(argv[1], &b);
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	if (pgml_blas_load(&loaded, NULL, &error))
		give_up(error.message);
	PgmlBlas blas = loaded;
	PgmlDataset set = { .x = &b.x,
						.y = b.y,
						.task = b.head[3] == 1 ? PGML_TASK_REGRESSION :
								b.head[3] == 2 ? PGML_TASK_BINARY :
												 PGML_TASK_MULTICLASS,
						.n_classes = (int) b.head[3],
						.rows = b.rows,
						.n = b.head[0],
						.blas = &blas };

	blas.dgemv = noting_dgemv;
	blas.dgemm = noting_dgemm;
	blas.dsyrk = noting_dsyrk;
	pgml_budget_init(&budget, 0);
	pgml_params_default(&pgml_learner_linear, &params);
	for (int i = 3; i < argc; i++)
		set_param(&env, &params, argv[i]);
	if (pgml_linear_read_config(&env, &set, &params, &config))
		give_up(error.message);
	for (int round = atoi(argv[2]); round > 0; round--)
	{
		double start = pgml_thread_cpu(), end;
		PgmlFit fit = { 0 };

		pgml_buf_init(&fit.payload, &budget);
		first_call = 0;
		if (pgml_learner_linear.fit(&env, &set, &params, &fit))
			give_up(error.message);
		end = pgml_thread_cpu();
		printf("%.5f %.5f\n", end - start,
			   end - first_call -
				   time_means(&env, &set, &config, &fit, round == 1 ? argv[1] : NULL));
		pgml_buf_free(&fit.payload);
	}
	return 0;
}
