/*
 * svm.c - learner `svm` and its solvers on a table in a file, for comparison with others on the same numbers; started by svm.py.
 *
 * svm FILE learner [NAME=NUMBER ...]: FILE as of boosting.c.  Fits the learner with these settings, prints the CPU seconds of the fit and of
 * predicting the rows after those learned from, and the bytes of the model, and writes the predictions to FILE.out, float64.
 *
 * svm FILE TASK KERNEL C GAMMA EPSILON TOL: the solvers; all rows are learned from.  TASK is the number of classes (2:
 * class 1 against class 0) or 1 for a regression, of which the scaled target is learned; KERNEL is linear (squared hinge, or the
 * insensitive loss) or rbf.  Writes FILE.design (int64 rows, columns; float32 values row by row, one-hot; float64 targets) and FILE.coef
 * (float64: the bias, then a coefficient for each column or, with rbf, for each row), and prints the CPU seconds of solving and the number of
 * passes or steps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learner/svm.h"

typedef struct Table
{
	int64_t n, n_predict; /* rows to learn from, and after them rows to predict */
	PgmlMatrix x;
	PgmlShape shape;
	PgmlDataset data;
	int32_t *row;
	double *y;
	/* For the solvers: */
	PgmlLinearDesign design;
	PgmlSvmRows rows;
	int32_t *base;
} Table;

static void
give_up(const char *what)
{
	fprintf(stderr, "svm: %s\n", what);
	exit(1);
}

static void *
get_memory(size_t bytes)
{
	void *memory = calloc(bytes + 64, 1);

	if (memory == NULL)
		give_up("out of memory");
	return memory;
}

static void
read_exactly(FILE *file, void *to, size_t bytes)
{
	if (fread(to, 1, bytes, file) != bytes)
		give_up("cannot read the table");
}

static void
read_table(const char *name, Table *t)
{
	FILE *file = fopen(name, "rb");
	int64_t head[4], *levels;
	PgmlFeature *features;
	bool *categorical;
	int32_t *n_levels;
	float **col;

	if (file == NULL)
		give_up("cannot open the table");
	read_exactly(file, head, sizeof(head));
	t->n = head[0];
	t->n_predict = head[1];
	levels = get_memory((size_t) head[2] * sizeof(int64_t));
	features = get_memory((size_t) head[2] * sizeof(PgmlFeature));
	categorical = get_memory((size_t) head[2] * sizeof(bool));
	n_levels = get_memory((size_t) head[2] * sizeof(int32_t));
	col = get_memory((size_t) head[2] * sizeof(float *));
	t->y = get_memory((size_t) t->n * sizeof(double));
	t->row = get_memory((size_t) t->n * sizeof(int32_t));
	read_exactly(file, levels, (size_t) head[2] * sizeof(int64_t));
	for (int64_t f = 0; f < head[2]; f++)
	{
		categorical[f] = levels[f] > 0;
		n_levels[f] = (int32_t) levels[f];
		features[f] = (PgmlFeature){ "x", 0, categorical[f], n_levels[f] };
		col[f] = get_memory((size_t) (head[0] + head[1]) * sizeof(float));
		read_exactly(file, col[f], (size_t) (head[0] + head[1]) * sizeof(float));
	}
	read_exactly(file, t->y, (size_t) t->n * sizeof(double));
	fclose(file);
	for (int64_t i = 0; i < t->n; i++)
		t->row[i] = (int32_t) i;
	t->x = (PgmlMatrix){ head[0] + head[1], (int32_t) head[2], features, col };
	t->data = (PgmlDataset){ .x = &t->x, .y = t->y, .rows = t->row, .n = t->n };
	t->data.n_classes = (int) head[3];
	t->data.task = head[3] == 1 ? PGML_TASK_REGRESSION :
				   head[3] == 2 ? PGML_TASK_BINARY :
								  PGML_TASK_MULTICLASS;
	t->shape =
		(PgmlShape){ t->data.task, t->data.n_classes, t->x.nfeatures, categorical, n_levels };
}

/* Scale the table as the learner does. */
static void
scale_table(const PgmlEnv *env, PgmlArena *arena, Table *t)
{
	bool number = t->data.task == PGML_TASK_REGRESSION;
	PgmlLinearRows rows;
	int code = 0;

	if (pgml_linear_design(env, arena, &t->data,
						   t->data.task == PGML_TASK_REGRESSION ? PGML_LINEAR_SQUARED :
																  PGML_LINEAR_LOGISTIC,
						   &t->design) != PGML_OK)
		give_up(env->error->message);
	t->design.cache_bytes = INT64_MAX;
	if (pgml_linear_rows(env, arena, &t->design, t->row, t->n, &rows) != PGML_OK)
		give_up(env->error->message);
	t->rows = (PgmlSvmRows){ t->design.n_dense, t->design.n_categories, t->design.n_rows,
							 rows.dense, rows.level };
	t->base = get_memory((size_t) t->rows.codes * sizeof(int32_t));
	for (int32_t f = 0; f < t->x.nfeatures; f++)
		if (t->x.features[f].categorical)
			t->base[code++] = (int32_t) t->design.features[f].row;
	for (int64_t i = 0; i < t->n; i++)
		t->y[i] = number      ? (t->y[i] / t->design.y_unit - t->design.y_mean) / t->design.y_sd :
				  t->y[i] > 0 ? 1 :
								-1;
}

/* The design as others take it. */
static void
write_design(const Table *t, const char *name)
{
	int64_t columns = t->design.n_rows - 1;
	float *line = get_memory((size_t) columns * sizeof(float));
	int64_t head[2] = { t->n, columns };
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s.design", name);
	file = fopen(path, "wb");
	if (file == NULL)
		give_up("cannot write the design");
	fwrite(head, sizeof(head), 1, file);
	for (int64_t i = 0; i < t->n; i++)
	{
		memset(line, 0, (size_t) columns * sizeof(float));
		memcpy(line, t->rows.number + i * t->rows.numbers,
			   (size_t) t->rows.numbers * sizeof(float));
		for (int c = 0; c < t->rows.codes; c++)
			line[t->rows.level[i * t->rows.codes + c] - 1] = 1;
		fwrite(line, sizeof(float), (size_t) columns, file);
	}
	fwrite(t->y, sizeof(double), (size_t) t->n, file);
	if (fclose(file) != 0)
		give_up("cannot write the design");
	free(line);
}

static void
write_coefs(const char *name, double bias, const double *coef, int64_t n)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s.coef", name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(&bias, sizeof(bias), 1, file) != 1 ||
		fwrite(coef, sizeof(double), (size_t) n, file) != (size_t) n || fclose(file) != 0)
		give_up("cannot write the coefficients");
}

static void
solve_rbf(const PgmlEnv *env, PgmlArena *arena, Table *t, const char *name, int classes,
		  char **setting)
{
	size_t n = (size_t) t->n;
	double c = atof(setting[0]);
	double *p = get_memory(n * sizeof(double));
	double *low = get_memory(n * sizeof(double));
	double *high = get_memory(n * sizeof(double));
	float *x = get_memory((size_t) (t->rows.numbers + t->rows.codes) * sizeof(float));
	PgmlSvmProblem problem = { .gamma = (float) atof(setting[1]),
							   .p = p,
							   .low = low,
							   .high = high,
							   .epsilon = classes == 1 ? atof(setting[2]) : 0,
							   .tol = atof(setting[3]),
							   .cache_bytes = (int64_t) 64 << 20 };
	PgmlSvmSolution solution = { .beta = get_memory(n * sizeof(double)) };
	double start;

	for (int64_t i = 0; i < t->n; i++)
	{
		p[i] = -t->y[i];
		low[i] = classes == 1 || t->y[i] < 0 ? -c : 0;
		high[i] = classes == 1 || t->y[i] > 0 ? c : 0;
	}
	start = pgml_thread_cpu();
	if (pgml_svm_points(env, arena, t->n, t->rows.numbers, t->rows.codes, &problem.points) !=
		PGML_OK)
		give_up(env->error->message);
	for (int64_t i = 0; i < t->n; i++)
	{
		pgml_svm_point_of(&t->rows, t->base, i, x);
		pgml_svm_set_point(&problem.points, i, x);
	}
	if (pgml_svm_smo(env, arena, &problem, &solution) != PGML_OK)
		give_up(env->error->message);
	printf("%.4f %lld\n", pgml_thread_cpu() - start, (long long) solution.iterations);
	write_coefs(name, solution.bias, solution.beta, t->n);
}

static void
solve_linear(const PgmlEnv *env, PgmlArena *arena, Table *t, const char *name, int classes,
			 char **setting)
{
	double *c = get_memory((size_t) t->n * sizeof(double));
	double *w = get_memory((size_t) t->rows.columns * sizeof(double));
	PgmlSvmLinear problem = { .blas = t->data.blas,
							  .rows = &t->rows,
							  .row = t->row,
							  .n = t->n,
							  .y = t->y,
							  .c = c,
							  .loss = classes == 1 ? PGML_SVM_INSENSITIVE : PGML_SVM_SQUARED_HINGE,
							  .epsilon = atof(setting[2]),
							  .tol = atof(setting[3]),
							  .max_iter = 1000,
							  .seed = 1 };
	double start;
	int64_t passes;
	bool late;

	for (int64_t i = 0; i < t->n; i++)
		c[i] = atof(setting[0]);
	start = pgml_thread_cpu();
	if (pgml_svm_linear(env, arena, &problem, w, &passes, &late) != PGML_OK)
		give_up(env->error->message);
	printf("%.4f %lld\n", pgml_thread_cpu() - start, (long long) passes);
	write_coefs(name, w[0], w + 1, t->design.n_rows - 1);
}

/* A setting of the learner from NAME=NUMBER; words by their number. */
static void
set_param(PgmlParams *params, char *text)
{
	char *value = strchr(text, '=');

	if (value == NULL)
		give_up("a setting is NAME=NUMBER");
	*value++ = '\0';
	for (int i = 0; i < pgml_learner_svm.n_params; i++)
		if (strcmp(pgml_learner_svm.params[i].name, text) == 0)
		{
			params->v[i] = atof(value);
			params->given[i] = true;
			return;
		}
	give_up("no such setting");
}

static void
run_learner(const PgmlEnv *env, Table *t, const char *name, int n_settings, char **settings)
{
	const PgmlLearner *learner = &pgml_learner_svm;
	int64_t outputs = pgml_task_outputs(t->data.task, t->data.n_classes);
	float *x = get_memory((size_t) (t->n_predict * t->x.nfeatures) * sizeof(float));
	double *out = get_memory((size_t) (t->n_predict * outputs) * sizeof(double));
	PgmlParams params = { 0 };
	PgmlFit fit = { 0 };
	PgmlBlas blas;
	double start, cpu;
	char path[4096];
	FILE *file;

	for (int i = 0; i < learner->n_params; i++)
		params.v[i] = learner->params[i].def;
	for (int i = 0; i < n_settings; i++)
		set_param(&params, settings[i]);
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	if (pgml_blas_load(&blas, NULL, env->error) != PGML_OK)
		give_up(env->error->message);
	t->data.blas = &blas;
	pgml_buf_init(&fit.payload, env->budget);
	start = pgml_thread_cpu();
	if (learner->fit(env, &t->data, &params, &fit) != PGML_OK)
		give_up(env->error->message);
	cpu = pgml_thread_cpu() - start;
	for (int64_t i = 0; i < t->n_predict; i++)
		for (int32_t f = 0; f < t->x.nfeatures; f++)
			x[i * t->x.nfeatures + f] = t->x.col[f][t->n + i];
	start = pgml_thread_cpu();
	learner->predict(fit.payload.data, &t->shape, x, t->n_predict, out);
	printf("%.4f %.4f %zu\n", cpu, pgml_thread_cpu() - start, fit.payload.len);
	snprintf(path, sizeof(path), "%s.out", name);
	file = fopen(path, "wb");
	if (file == NULL ||
		fwrite(out, sizeof(double), (size_t) (t->n_predict * outputs), file) !=
			(size_t) (t->n_predict * outputs) ||
		fclose(file) != 0)
		give_up("cannot write the predictions");
}

int
main(int argc, char **argv)
{
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &error, .seed = 1 };
	PgmlArena *arena;
	PgmlBlas blas;
	Table t = { 0 };
	bool learner = argc > 2 && strcmp(argv[2], "learner") == 0;

	if (!learner && argc != 8)
		give_up(
			"usage: svm FILE learner [NAME=NUMBER ...], or svm FILE TASK KERNEL C GAMMA EPSILON TOL");
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	read_table(argv[1], &t);
	if (learner)
		run_learner(&env, &t, argv[1], argc - 3, argv + 3);
	else
	{
		setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
		if (pgml_blas_load(&blas, NULL, &error) != PGML_OK)
			give_up(error.message);
		t.data.blas = &blas;
		scale_table(&env, arena, &t);
		write_design(&t, argv[1]);
		(strcmp(argv[3], "rbf") == 0 ? solve_rbf : solve_linear)(&env, arena, &t, argv[1],
																 atoi(argv[2]), argv + 4);
	}
	pgml_arena_destroy(arena);
	return 0;
}
