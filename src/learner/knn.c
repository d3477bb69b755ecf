/*
 * knn.c - learner `knn`: the exact k nearest neighbours (Fix and Hodges 1951; Cover and Hart 1967).
 *
 * Numbers are centred and scaled by their weighted mean and standard deviation; a missing one is the mean, and where training rows
 * have missing ones a column says so, 1 or 0; categories are one-hot.  The model is the training rows themselves; where they would be
 * larger than allowed, as many of them as fit, drawn at random.
 */
#include "learner/knn.h"

#include <string.h>

#include "core/par.h"
#include "core/rng.h"

#define POLL_ROWS 65536

/* A model of fewer rows is not worth having. */
#define LEAST_ROWS 1000

#define SEED_OF_SAMPLE 0x6b6e6e

enum
{
	PARAM_N_NEIGHBORS,
	PARAM_WEIGHTS,
	PARAM_METRIC,
	PARAM_P,
	PARAM_ALGORITHM,
	PARAM_STANDARDIZE,
	N_PARAMS
};

/* Values of PARAM_METRIC. */
enum
{
	METRIC_MINKOWSKI,
	METRIC_EUCLIDEAN,
	METRIC_MANHATTAN
};

static const PgmlParam knn_params[N_PARAMS] = {
	[PARAM_N_NEIGHBORS] = { "n_neighbors", "k n_neighbours neighbors", PGML_PARAM_INT, 1,
							PGML_KNN_NEIGHBOURS, 5, true,
							"Neighbours that a prediction is made of; all rows where there are fewer.",
							NULL },
	[PARAM_WEIGHTS] = { "weights", NULL, PGML_PARAM_CHOICE, 0, 1, PGML_KNN_UNIFORM, false,
						"All neighbours count alike (uniform), or by the inverse of their distance.",
						"uniform distance" },
	[PARAM_METRIC] = { "metric", NULL, PGML_PARAM_CHOICE, 0, 2, METRIC_MINKOWSKI, false,
					   "Distance of two rows; minkowski: p says which.",
					   "minkowski euclidean manhattan" },
	[PARAM_P] = { "p", NULL, PGML_PARAM_INT, 1, 2, 2, false,
				  "Power of metric minkowski: 1 is manhattan, 2 euclidean.", NULL },
	[PARAM_ALGORITHM] = { "algorithm", NULL, PGML_PARAM_CHOICE, 0, 2, PGML_KNN_AUTO, false,
						  "How neighbours are found: the same ones, sooner or later.",
						  "auto brute kd_tree" },
	[PARAM_STANDARDIZE] = { "standardize", "standardise scale", PGML_PARAM_BOOL, 0, 1, 1, false,
							"Centre and scale numbers; else they count as they are.", NULL },
};

/* One fit. */
typedef struct KnnFit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	const PgmlParams *params;
	PgmlKnnHeader header;
	PgmlKnnFeature *features;
	int32_t *row; /* the rows of the model, of the matrix */
	int64_t n;
} KnnFit;

static double
weight(const PgmlDataset *data, int32_t row)
{
	return data->w != NULL ? data->w[row] : 1.0;
}

/* ---- memory -------------------------------------------------------------------------------------- */

/* Columns of the design at most. */
static int64_t
most_columns(const PgmlMatrix *x)
{
	int64_t columns = 0;

	for (int32_t f = 0; f < x->nfeatures; f++)
		columns += x->features[f].categorical ? 1 : 2;
	return columns;
}

/* Bytes of a payload but for its rows, and of a row of so many columns. */
static int64_t
fixed_bytes(const PgmlDataset *data)
{
	return (int64_t) sizeof(PgmlKnnHeader) + data->x->nfeatures * (int64_t) sizeof(PgmlKnnFeature) +
		   (int64_t) sizeof(double);
}

static int64_t
row_bytes(const PgmlDataset *data, int64_t columns)
{
	return (int64_t) sizeof(double) * (data->w != NULL ? 2 : 1) + columns * (int64_t) sizeof(float);
}

static int64_t
knn_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	int64_t columns = most_columns(data->x);
	int64_t least = data->n < LEAST_ROWS ? data->n : LEAST_ROWS;
	int64_t bytes = data->n * (int64_t) sizeof(int32_t) +
					data->x->nfeatures * (int64_t) sizeof(PgmlKnnFeature) + (64 << 10);

	*payload = fixed_bytes(data) + least * row_bytes(data, columns);
	if (data->valid_out != NULL)
		bytes += pgml_knn_prepare_memory(data->n, columns, (int64_t) params->v[PARAM_N_NEIGHBORS]) +
				 PGML_BLOCK_ROWS * data->x->nfeatures * (int64_t) sizeof(float);
	return bytes;
}

/* ---- the rows ------------------------------------------------------------------------------------ */

/* Rows with a weight; PGML_ERR_DATA when there are none. */
static PgmlStatus
take_rows(KnnFit *k)
{
	const PgmlDataset *data = k->data;
	double total = 0;

	for (int64_t i = 0; i < data->n; i++)
	{
		double w = weight(data, data->rows[i]);

		if (i % POLL_ROWS == 0 && pgml_stopped(k->env))
			return pgml_fail_cancelled(k->env);
		if (!(w > 0))
			continue;
		total += w;
		k->row[k->n++] = data->rows[i];
	}
	if (!(total > 0) || !isfinite(total))
		return pgml_fail(k->env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	return PGML_OK;
}

/* Keep as many rows as the payload may have, all as likely, in their order (Knuth's algorithm S). */
static PgmlStatus
draw_rows(KnnFit *k, PgmlFit *fit)
{
	const PgmlDataset *data = k->data;
	int64_t room = data->max_payload > 0 ? data->max_payload - fixed_bytes(data) : INT64_MAX;
	int64_t most = room / row_bytes(data, most_columns(data->x));
	int64_t kept = 0;
	PgmlRng rng;

	if (most > INT32_MAX - PGML_KNN_PANEL)
		most = INT32_MAX - PGML_KNN_PANEL;
	if (k->n <= most)
		return PGML_OK;
	if (most < 1)
		return pgml_fail(k->env->error, PGML_ERR_LIMIT,
						 "learner \"knn\" has no room for even one row");
	pgml_rng_init(&rng, k->env->seed, SEED_OF_SAMPLE);
	for (int64_t i = 0; i < k->n && kept < most; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(k->env))
			return pgml_fail_cancelled(k->env);
		if ((int64_t) pgml_rng_below(&rng, (uint64_t) (k->n - i)) < most - kept)
			k->row[kept++] = k->row[i];
	}
	k->n = kept;
	fit->out_of_memory = true;
	return PGML_OK;
}

/* ---- features ------------------------------------------------------------------------------------ */

/* What the values of a column are like, those that are not missing. */
typedef struct Look
{
	float low, high;
	double weight;
	bool missing;
} Look;

static PgmlStatus
look(const KnnFit *k, const float *col, Look *l)
{
	*l = (Look){ .low = INFINITY, .high = -INFINITY };
	for (int64_t i = 0; i < k->n; i++)
	{
		float x = col[k->row[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(k->env))
			return PGML_ERR_CANCELLED;
		if (isnan(x))
		{
			l->missing = true;
			continue;
		}
		l->low = x < l->low ? x : l->low;
		l->high = x > l->high ? x : l->high;
		l->weight += weight(k->data, k->row[i]);
	}
	return PGML_OK;
}

/* Mean and standard deviation. */
static PgmlStatus
find_scale(const KnnFit *k, const float *col, const Look *l, double *mean, double *deviation)
{
	double sum = 0;
	double squares = 0;

	for (int64_t i = 0; i < k->n; i++)
	{
		float x = col[k->row[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(k->env))
			return PGML_ERR_CANCELLED;
		if (!isnan(x))
			sum += weight(k->data, k->row[i]) / l->weight * x;
	}
	for (int64_t i = 0; i < k->n; i++)
	{
		float x = col[k->row[i]];
		double d = x - sum;

		if (i % POLL_ROWS == 0 && pgml_stopped(k->env))
			return PGML_ERR_CANCELLED;
		if (!isnan(x))
			squares += weight(k->data, k->row[i]) / l->weight * d * d;
	}
	*mean = sum;
	*deviation = sqrt(squares);
	return PGML_OK;
}

/* A feature, as a block of a parallel loop.  missing is 0 where a column for missing values is wanted. */
static PgmlStatus
measure(void *arg, int64_t number, int thread)
{
	KnnFit *k = arg;
	const PgmlFeature *feature = &k->data->x->features[number];
	const float *col = k->data->x->col[number];
	PgmlKnnFeature *f = &k->features[number];
	double mean, deviation;
	Look l;

	(void) thread;
	*f = (PgmlKnnFeature){ .missing = PGML_KNN_NO_COLUMN, .factor = 1 };
	if (feature->categorical)
	{
		f->kind = PGML_KNN_CATEGORY;
		f->levels = (uint32_t) feature->n_levels;
		return PGML_OK;
	}
	PGML_TRY(look(k, col, &l));
	if (!(l.low < l.high) && (!l.missing || l.low > l.high))
		return PGML_OK;
	PGML_TRY(find_scale(k, col, &l, &mean, &deviation));
	f->kind = PGML_KNN_NUMBER;
	f->missing = l.missing ? 0 : PGML_KNN_NO_COLUMN;
	if (k->params->v[PARAM_STANDARDIZE] != 0)
	{
		f->mean = mean;
		/* A column of one value, missing or not, differs in being missing alone; so does one whose spread is too small. */
		if (deviation > 0 && isfinite(1 / deviation))
			f->factor = 1 / deviation;
	}
	else
		f->fill = pgml_knn_cut(mean);
	return PGML_OK;
}

/* Columns of the design in their order: those of numbers, then those of categories. */
static PgmlStatus
lay_out(KnnFit *k)
{
	const PgmlMatrix *x = k->data->x;
	uint32_t next = 0;

	for (int32_t i = 0; i < x->nfeatures; i++)
	{
		PgmlKnnFeature *f = &k->features[i];

		if (f->kind != PGML_KNN_NUMBER)
			continue;
		f->column = next++;
		if (f->missing != PGML_KNN_NO_COLUMN)
			f->missing = next++;
	}
	k->header.dense = next;
	for (int32_t i = 0; i < x->nfeatures; i++)
		if (k->features[i].kind == PGML_KNN_CATEGORY)
		{
			if (k->features[i].levels >= PGML_KNN_LEVELS)
				return pgml_fail(
					k->env->error, PGML_ERR_LIMIT,
					"learner \"knn\" takes categories of less than %d levels, and \"%s\" has more",
					PGML_KNN_LEVELS, x->features[i].name);
			k->features[i].column = next++;
		}
	k->header.categories = next - k->header.dense;
	if (next > PGML_KNN_COLUMNS)
		return pgml_fail(k->env->error, PGML_ERR_LIMIT,
						 "learner \"knn\" takes %d columns at most, and these features make %u",
						 PGML_KNN_COLUMNS, next);
	return PGML_OK;
}

/* ---- the payload --------------------------------------------------------------------------------- */

/* The metric that the settings name; PGML_ERR_BADARG when they contradict each other. */
static PgmlStatus
choose_metric(KnnFit *k)
{
	const PgmlParams *params = k->params;
	int metric = (int) params->v[PARAM_METRIC];
	uint32_t power = metric == METRIC_MINKOWSKI ? (uint32_t) params->v[PARAM_P] :
					 metric == METRIC_MANHATTAN ? PGML_KNN_MANHATTAN :
												  PGML_KNN_EUCLIDEAN;

	if (params->given[PARAM_P] && (uint32_t) params->v[PARAM_P] != power)
		return pgml_fail(k->env->error, PGML_ERR_BADARG,
						 "settings \"metric\" and \"p\" of learner \"knn\" contradict each other");
	k->header.metric = power;
	return PGML_OK;
}

static void
fill_header(KnnFit *k)
{
	const PgmlDataset *data = k->data;
	const PgmlParams *params = k->params;
	int64_t neighbours = (int64_t) params->v[PARAM_N_NEIGHBORS];

	k->header.version = PGML_KNN_VERSION;
	k->header.task = (uint32_t) data->task;
	k->header.classes = (uint32_t) data->n_classes;
	k->header.nfeatures = (uint32_t) data->x->nfeatures;
	k->header.vote = (uint32_t) params->v[PARAM_WEIGHTS];
	k->header.algorithm = (uint32_t) params->v[PARAM_ALGORITHM];
	k->header.k = (uint32_t) (neighbours < k->n ? neighbours : k->n);
	k->header.rows = (uint32_t) k->n;
	k->header.weighted = data->w != NULL;
}

/* Rows of the design; the copy is made some rows at a time, so that they stay in the cache while their columns are filled. */
static PgmlStatus
write_rows(const KnnFit *k, float *row)
{
	const PgmlMatrix *x = k->data->x;
	size_t width = k->header.dense + k->header.categories;
	int64_t at_once = 1 + (int64_t) (8192 / (width + 1));

	for (int64_t from = 0; from < k->n; from += at_once)
	{
		int64_t to = from + at_once < k->n ? from + at_once : k->n;

		if (pgml_stopped(k->env))
			return pgml_fail_cancelled(k->env);
		for (int32_t f = 0; f < x->nfeatures; f++)
			for (int64_t i = from; i < to; i++)
				pgml_knn_place(&k->features[f], x->col[f][k->row[i]], row + (size_t) i * width);
	}
	return PGML_OK;
}

static PgmlStatus
write_payload(KnnFit *k, PgmlBuf *out)
{
	const PgmlDataset *data = k->data;
	size_t n = (size_t) k->n;
	size_t floats = n * (k->header.dense + k->header.categories);
	size_t features = k->header.nfeatures * sizeof(PgmlKnnFeature);
	size_t numbers = n * (data->w != NULL ? 2 : 1) * sizeof(double);
	size_t bytes = (floats + floats % 2) * sizeof(float);
	double *y;

	pgml_buf_reserve(out, sizeof(k->header) + features + numbers + bytes);
	pgml_buf_put(out, &k->header, sizeof(k->header));
	pgml_buf_put(out, k->features, features);
	y = (double *) pgml_buf_extend(out, numbers);
	for (size_t i = 0; y != NULL && i < n; i++)
	{
		y[i] = data->y[k->row[i]];
		if (data->w != NULL)
			y[n + i] = data->w[k->row[i]];
	}
	pgml_buf_put(out, NULL, bytes);
	if (out->failed)
		return pgml_fail_nomem(k->env, "the model");
	return write_rows(k, (float *) (out->data + out->len - bytes));
}

/* ---- predictions of the validation rows ---------------------------------------------------------- */

/* Blocks of validation rows; one scratch memory per thread. */
typedef struct Validation
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	const uint8_t *payload;
	const void *prepared;
	PgmlShape shape;
	int64_t at_once;
	float **x;
	void **scratch;
} Validation;

static PgmlStatus
predict_some(void *arg, int64_t b, int thread)
{
	const Validation *v = arg;
	const PgmlDataset *data = v->data;
	int64_t from = b * v->at_once;
	PgmlBlock block = { v->x[thread], v->at_once, data->n_valid - from };

	if (block.n > v->at_once)
		block.n = v->at_once;
	if (pgml_out_of_time(v->env))
		return PGML_ERR_CANCELLED;
	for (int32_t f = 0; f < data->x->nfeatures; f++)
		for (int64_t i = 0; i < block.n; i++)
			v->x[thread][f * v->at_once + i] = data->x->col[f][data->valid_rows[from + i]];
	pgml_knn_predict_block(v->prepared, v->payload, &v->shape, &block,
						   data->valid_out + from * pgml_task_outputs(data->task, data->n_classes),
						   v->scratch[thread]);
	return PGML_OK;
}

/* Memory of the threads; false when there is none. */
static bool
make_room(Validation *v, PgmlArena *arena)
{
	size_t threads = (size_t) pgml_pool_threads(v->env->pool);
	size_t numbers = (size_t) v->at_once * (size_t) v->data->x->nfeatures + 1;

	v->x = pgml_zalloc(arena, threads, sizeof(float *));
	v->scratch = pgml_zalloc(arena, threads, sizeof(void *));
	for (size_t t = 0; v->x != NULL && v->scratch != NULL && t < threads; t++)
	{
		v->x[t] = pgml_array(arena, numbers, sizeof(float));
		v->scratch[t] = pgml_alloc(arena, pgml_knn_scratch(v->prepared));
		if (v->x[t] == NULL || v->scratch[t] == NULL)
			return false;
	}
	return v->x != NULL && v->scratch != NULL;
}

/*
 * Fill data->valid_out with the model's own predictions, in blocks.  Without the memory or the time that this needs it is left to the
 * caller, row by row.
 */
static PgmlStatus
validate(const KnnFit *k, PgmlFit *fit)
{
	const PgmlDataset *data = k->data;
	PgmlArena *arena = pgml_arena_create(k->env->budget);
	Validation v = { .env = k->env,
					 .data = data,
					 .payload = fit->payload.data,
					 .shape = { .task = data->task,
								.n_classes = data->n_classes,
								.nfeatures = data->x->nfeatures } };
	PgmlError ignored;
	PgmlEnv env = *k->env;

	env.error = &ignored;
	if (arena != NULL && pgml_knn_prepare(&env, arena, v.payload, &v.shape, &v.prepared) == PGML_OK)
	{
		v.at_once = pgml_knn_rows_at_once(v.payload, v.prepared);
		if (make_room(&v, arena))
			fit->predicted = pgml_par_for(k->env, (data->n_valid + v.at_once - 1) / v.at_once,
										  predict_some, &v) == PGML_OK;
	}
	pgml_arena_destroy(arena);
	return pgml_stopped(k->env) ? pgml_fail_cancelled(k->env) : PGML_OK;
}

/* ---- the fit ------------------------------------------------------------------------------------- */

static PgmlStatus
fit_all(KnnFit *k, PgmlArena *arena, PgmlFit *fit)
{
	const PgmlDataset *data = k->data;

	k->row = pgml_array(arena, (size_t) data->n + 1, sizeof(int32_t));
	k->features = pgml_array(arena, (size_t) data->x->nfeatures + 1, sizeof(PgmlKnnFeature));
	if (k->row == NULL || k->features == NULL)
		return pgml_fail_nomem(k->env, "learner \"knn\"");
	PGML_TRY(choose_metric(k));
	PGML_TRY(take_rows(k));
	PGML_TRY(draw_rows(k, fit));
	if (pgml_par_for(k->env, data->x->nfeatures, measure, k) != PGML_OK)
		return pgml_fail_cancelled(k->env);
	PGML_TRY(lay_out(k));
	fill_header(k);
	return write_payload(k, &fit->payload);
}

static PgmlStatus
knn_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit)
{
	KnnFit k = { .env = env, .data = data, .params = params };
	PgmlArena *arena = pgml_arena_create(env->budget);
	PgmlStatus status;

	if (arena == NULL)
		return pgml_fail_nomem(env, "learner \"knn\"");
	status = fit_all(&k, arena, fit);
	if (status == PGML_OK && data->valid_out != NULL && data->n_valid > 0)
		status = validate(&k, fit);
	pgml_arena_destroy(arena);
	return status;
}

const PgmlLearner pgml_learner_knn = {
	.name = "knn",
	.summary = "The mean, or the shares of the classes, of the most similar training rows.",
	.tasks = PGML_TASK_ANY,
	.params = knn_params,
	.n_params = N_PARAMS,
	.memory = knn_memory,
	.fit = knn_fit,
	.verify = pgml_knn_verify,
	.predict = pgml_knn_predict,
	.prepare = pgml_knn_prepare,
	.prepared_size = pgml_knn_prepared_size,
	.rows_at_once = pgml_knn_rows_at_once,
	.scratch = pgml_knn_scratch,
	.predict_block = pgml_knn_predict_block,
};
