/*
 * mlp.c - learner `mlp`: epochs of steps, and which epoch is kept.
 *
 * After each epoch the network is folded into a payload, which predicts the validation rows as it would later; the one with the
 * least loss is kept.  Schedules follow the share of the training that is done.  Near a deadline this share grows faster, by the
 * time that steps take, so that the learning rate has come down when the time is over; how many steps that leaves is a decision of the
 * clock (core/clock.h), made anew only where it changes by more than a little.  A fit runs in one thread.
 */
#include "learner/mlp.h"

#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "learner/mlp_net.h"

/* Bytes of a payload times rows that are predicted between two looks at the stop flag. */
#define BYTES_AT_ONCE 1e8

/* A training that ends in numbers that are none begins again with this share of the learning rate, so many times. */
#define LOWER_RATE 0.25
#define ATTEMPTS   5

/* Rows between two looks where each costs little. */
#define POLL_ROWS 65536

/* Share of the time left that is planned with, and what predicting a row costs, as a share of learning from it. */
#define TIME_TO_PLAN 0.95
#define PREDICTING   0.4

/* First steps, whose memory is new, are no measure of time; steps that are. */
#define COLD_STEPS  2
#define TIMED_STEPS 4

/* Share of the steps left by which the clock may be wrong before they are planned anew. */
#define PLAN_TOLERANCE (1.0 / 16)

/* Decision of the clock: the steps that are configured do after all.  Positive numbers are steps left. */
#define AS_CONFIGURED (-1)

/* Predictions of the validation rows and their loss. */
typedef struct Judged
{
	PgmlBuf payload;
	double *out;
	double loss;
	int epoch; /* of the configured ones; 0: none yet */
} Judged;

/* One fit. */
typedef struct Fit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	PgmlMlpConfig config;
	PgmlArena *arena;
	PgmlMlpInput input;
	PgmlMlpNet net;
	int32_t *order;
	float *valid; /* n_valid rows of features */
	PgmlShape shape;
	Judged judged[2]; /* the best so far, and the last */
	double at;        /* share of the training that is done */
	double rate;      /* factor of the learning rate */
	bool chose_rate;  /* the settings leave it open */
	double started;   /* when the cold steps were over */
	int64_t steps_done;
	int64_t
		steps_left; /* to the end of the training, as the time allows; 0: as many as are configured */
	int worse;      /* epochs since the best */
	bool out_of_time;
} Fit;

/* ---- memory ---- */

static int64_t
memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	PgmlMlpConfig config = pgml_mlp_config(params, data);
	int64_t outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t floats, bytes, slack;

	bytes = pgml_mlp_net_memory(data, &config, &floats);
	*payload = (int64_t) sizeof(PgmlMlpHeader) +
			   data->x->nfeatures * (int64_t) sizeof(PgmlMlpFeature) +
			   (floats + (config.ranks ? data->x->nfeatures * 2 * PGML_MLP_KNOTS : 0)) *
				   (int64_t) sizeof(float);
	bytes += pgml_mlp_input_memory(data, &config) + *payload + data->n * (int64_t) sizeof(int32_t);
	if (data->valid_rows != NULL)
		bytes += data->n_valid * (data->x->nfeatures * (int64_t) sizeof(float) +
								  2 * outputs * (int64_t) sizeof(double));
	/* Chunks of the arena, which grow with what is asked for. */
	slack = ((int64_t) 128 << 10) + bytes / 2;
	return bytes + (slack < (1 << 20) ? slack : 1 << 20);
}

/* ---- validation ---- */

/* Loss of one prediction, which is never so wrong that a single row decides. */
static double
loss_of(const Fit *f, const double *out, double y)
{
	double p;

	if (f->data->task == PGML_TASK_REGRESSION)
	{
		double d = (out[0] / f->input.unit - y / f->input.unit) / f->input.deviation;

		return d * d;
	}
	p = f->data->task == PGML_TASK_MULTICLASS ? out[(int) y] : y > 0 ? out[0] : 1 - out[0];
	return -log(p > 1e-7 ? p : 1e-7);
}

/* Predict the validation rows and compare them with what they are. */
static PgmlStatus
judge(Fit *f, Judged *j)
{
	const PgmlDataset *data = f->data;
	int outputs = f->net.n_outputs;
	int64_t most = (int64_t) (BYTES_AT_ONCE / (double) j->payload.len) + 4;
	double sum = 0;
	double total = 0;

	for (int64_t from = 0; from < data->n_valid; from += most)
	{
		int64_t n = data->n_valid - from < most ? data->n_valid - from : most;

		if (pgml_stopped(f->env))
			return PGML_ERR_CANCELLED;
		pgml_mlp_predict(j->payload.data, &f->shape, f->valid + from * f->shape.nfeatures, n,
						 j->out + from * outputs);
	}
	for (int64_t i = 0; i < data->n_valid; i++)
	{
		int32_t row = data->valid_rows[i];
		double w = data->w != NULL ? data->w[row] : 1;

		if (i % POLL_ROWS == 0 && pgml_stopped(f->env))
			return PGML_ERR_CANCELLED;
		sum += w * loss_of(f, j->out + i * outputs, data->y[row]);
		total += w;
	}
	j->loss = total > 0 ? sum / total : 0;
	return PGML_OK;
}

/* Fold the network and keep it when it is the best; without validation rows the last is. */
static PgmlStatus
end_epoch(Fit *f)
{
	Judged *last = &f->judged[1];
	PgmlStatus status;

	pgml_buf_free(&last->payload);
	status = pgml_mlp_fold(&f->net, &last->payload);
	last->loss = 0;
	if (status == PGML_OK && f->valid != NULL)
		status = judge(f, last);
	PGML_TRY(status);
	last->epoch = (int) ceil(f->at * f->config.epochs - 1e-6);
	last->epoch = last->epoch > 0 ? last->epoch : 1;
	if (f->judged[0].epoch == 0 || f->valid == NULL || last->loss <= f->judged[0].loss)
	{
		Judged best = *last;

		*last = f->judged[0];
		f->judged[0] = best;
		f->worse = 0;
	}
	else
		f->worse++;
	return PGML_OK;
}

/* ---- training ---- */

/*
 * What the clock says after a step, given the steps of an epoch and those that are configured to come: the steps for which there is time, at
 * what they took so far, and the last prediction of the validation rows.  0: as planned.
 */
static int64_t
look_at_clock(Fit *f, int64_t steps, double configured)
{
	double now, left, planned = f->steps_left > 0 ? (double) f->steps_left : configured;
	int64_t timed = f->steps_done - COLD_STEPS;

	if (!(f->env->deadline > 0))
		return 0;
	now = pgml_now();
	if (timed == 0)
		f->started = now;
	if (now < f->env->deadline && timed < TIMED_STEPS)
		return 0;
	left = (f->env->deadline - now) * TIME_TO_PLAN * (double) timed / (now - f->started);
	if (f->valid != NULL)
		left -= PREDICTING * (double) f->data->n_valid * (double) steps / (double) f->input.n;
	if (now >= f->env->deadline || !(left > 1))
		return planned > 1 ? 1 : 0;
	if (left > planned && f->steps_left == 0)
		return 0;
	if (fabs(left - planned) <= PLAN_TOLERANCE * planned)
		return 0;
	return left < configured ? (int64_t) left : AS_CONFIGURED;
}

/* What a step adds to the share of the training that is done, given the steps of an epoch: with a deadline, what ends it in time. */
static double
advance(Fit *f, int64_t steps)
{
	double plain = 1 / ((double) steps * f->config.epochs);
	double configured = (1 - f->at) / plain;
	int64_t decided;

	f->steps_done++;
	decided = pgml_clock_decide(f->env, look_at_clock(f, steps, configured));
	/* A damaged note may say anything; the clock only ever says less than is configured. */
	if (decided != 0)
		f->steps_left = decided > 0 && (double) decided < configured ? decided : 0;
	if (f->steps_left == 0)
		return plain;
	f->out_of_time = true;
	return (1 - f->at) / (double) f->steps_left--;
}

/* One pass over the rows, in a new order; ends early when the training is done. */
static PgmlStatus
run_epoch(Fit *f, PgmlRng *rng, double end)
{
	int64_t n = f->input.n;
	int64_t steps = pgml_mlp_steps(n, f->config.batch_size);

	for (int64_t i = n - 1; i > 0; i--)
	{
		int64_t k = (int64_t) pgml_rng_below(rng, (uint64_t) i + 1);
		int32_t row = f->order[i];

		if (i % POLL_ROWS == 0 && pgml_stopped(f->env))
			return PGML_ERR_CANCELLED;
		f->order[i] = f->order[k];
		f->order[k] = row;
	}
	for (int64_t s = 0; s < steps && f->at < end; s++)
	{
		int64_t from = n * s / steps;
		double fade = pgml_mlp_fade_at(f->config.fade, f->at);
		double rate = f->rate * f->config.learning_rate * pgml_mlp_rate_at(f->config.rates, f->at);

		if (pgml_stopped(f->env))
			return PGML_ERR_CANCELLED;
		f->net.dropout = f->config.dropout * fade;
		PGML_TRY(pgml_mlp_net_gradient(&f->net, f->order + from, n * (s + 1) / steps - from));
		pgml_mlp_net_step(&f->net, rate, fade);
		f->at += advance(f, steps);
	}
	return PGML_OK;
}

/* All epochs. */
static PgmlStatus
run_epochs(Fit *f)
{
	double end = 1 - 1e-9;
	int64_t first = f->net.most_rows;
	PgmlRng rng;

	if (f->config.position > 0 && f->config.position < f->config.epochs)
		end = (double) f->config.position / f->config.epochs - 1e-9;
	pgml_rng_init(&rng, f->env->seed, PGML_MLP_STREAM_ORDER);
	for (int64_t i = 0; i < f->input.n; i++)
		f->order[i] = (int32_t) i;
	for (int64_t i = 0; i < first; i++)
	{
		int64_t k = i + (int64_t) pgml_rng_below(&rng, (uint64_t) (f->input.n - i));
		int32_t row = f->order[i];

		f->order[i] = f->order[k];
		f->order[k] = row;
	}
	f->at = 0;
	f->worse = 0;
	f->judged[0].epoch = 0;
	PGML_TRY(pgml_mlp_net_init(&f->net, f->env->seed, f->order, first));
	f->steps_done = f->steps_left = 0;
	while (f->at < end)
	{
		PGML_TRY(run_epoch(f, &rng, end));
		if (f->valid != NULL || f->at >= end)
			PGML_TRY(end_epoch(f));
		if (f->config.patience > 0 && f->worse >= f->config.patience)
			break;
	}
	return PGML_OK;
}

/* Train; again with a lower rate when numbers grow beyond all bounds, unless there is an epoch to keep. */
static PgmlStatus
train(Fit *f)
{
	PgmlStatus status = PGML_ERR_NUMERIC;

	for (int i = 0; i < ATTEMPTS && status == PGML_ERR_NUMERIC; i++)
	{
		f->rate = pow(LOWER_RATE, i);
		status = run_epochs(f);
		if (status == PGML_ERR_NUMERIC && f->judged[0].epoch > 0 &&
			pgml_clock_ends(f->env, pgml_out_of_time(f->env)))
			status = PGML_OK;
	}
	if (status == PGML_ERR_NUMERIC)
		return pgml_fail(f->env->error, status, "learner \"mlp\" found no finite weights");
	return status;
}

/* ---- the fit ---- */

/* The validation rows, feature after feature of each. */
static PgmlStatus
gather_valid(Fit *f)
{
	const PgmlDataset *data = f->data;
	size_t d = (size_t) data->x->nfeatures;

	if (data->valid_rows == NULL || data->n_valid < 1)
		return PGML_OK;
	f->valid = pgml_array(f->arena, (size_t) data->n_valid * d + 1, sizeof(float));
	for (int i = 0; i < 2; i++)
		f->judged[i].out = pgml_array(f->arena, (size_t) data->n_valid * (size_t) f->net.n_outputs,
									  sizeof(double));
	if (!f->valid || !f->judged[0].out || !f->judged[1].out)
		return pgml_fail_nomem(f->env, "learner \"mlp\"");
	for (size_t c = 0; c < d; c++)
	{
		for (int64_t i = 0; i < data->n_valid; i++)
		{
			if (i % POLL_ROWS == 0 && pgml_stopped(f->env))
				return pgml_fail_cancelled(f->env);
			f->valid[(size_t) i * d + c] = data->x->col[c][data->valid_rows[i]];
		}
	}
	return PGML_OK;
}

static PgmlStatus
prepare(Fit *f)
{
	const PgmlDataset *data = f->data;

	PGML_TRY(pgml_mlp_input(f->env, f->arena, data, &f->config, &f->input));
	PGML_TRY(pgml_mlp_net_create(f->env, f->arena, &f->config, &f->input, &f->net));
	f->order = pgml_array(f->arena, (size_t) f->input.n, sizeof(int32_t));
	if (f->order == NULL)
		return pgml_fail_nomem(f->env, "learner \"mlp\"");
	f->shape = (PgmlShape){ .task = data->task,
							.n_classes = data->n_classes,
							.nfeatures = data->x->nfeatures };
	return gather_valid(f);
}

/* Give the best away. */
static void
finish(Fit *f, PgmlFit *out)
{
	const Judged *best = &f->judged[0];

	pgml_buf_free(&out->payload);
	out->payload = best->payload;
	pgml_buf_init(&f->judged[0].payload, f->env->budget);
	out->best_iteration = best->epoch;
	out->learning_rate = f->chose_rate ? f->rate * f->config.learning_rate : 0;
	out->out_of_time = f->out_of_time;
	if (f->valid != NULL && f->data->valid_out != NULL)
	{
		memcpy(f->data->valid_out, best->out,
			   (size_t) f->data->n_valid * (size_t) f->net.n_outputs * sizeof(double));
		out->predicted = true;
	}
}

static PgmlStatus
fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *out)
{
	Fit f = { .env = env, .data = data, .config = pgml_mlp_config(params, data) };
	double rate = pgml_param(&pgml_learner_mlp, params, "learning_rate");
	PgmlStatus status;

	if (data->blas == NULL)
		return pgml_fail(env->error, PGML_ERR_UNAVAILABLE, "learner \"mlp\" needs OpenBLAS");
	f.chose_rate = rate < 0;
	f.arena = pgml_arena_create(env->budget);
	if (f.arena == NULL)
		return pgml_fail_nomem(env, "learner \"mlp\"");
	for (int i = 0; i < 2; i++)
		pgml_buf_init(&f.judged[i].payload, env->budget);
	status = prepare(&f);
	if (status == PGML_OK)
		status = train(&f);
	if (status == PGML_OK)
		finish(&f, out);
	for (int i = 0; i < 2; i++)
		pgml_buf_free(&f.judged[i].payload);
	pgml_arena_destroy(f.arena);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(env) : status;
}

const PgmlLearner pgml_learner_mlp = {
	.name = "mlp",
	.summary = "A feed-forward neural network with embeddings of numbers and categories.",
	.tasks = PGML_TASK_ANY,
	.needs_blas = true,
	.params = pgml_mlp_params,
	.n_params = PGML_MLP_N_PARAMS,
	.memory = memory,
	.fit = fit,
	.verify = pgml_mlp_verify,
	.predict = pgml_mlp_predict,
};
