/*
 * tuning.c - a strategy decides what a training tries, see tuning.h.
 */
#include "search/tuning.h"

#include "core/hash.h"
#include "search/strategy.h"

#include <math.h>

#define SEED_OF_TUNING 0x74756e65

/* Without a name: the strategy, and how many of the best learners it goes on with. */
#define AUTO_STRATEGY "bayes"
#define AUTO_LEARNERS 3

/* Without a name it ends when so many trials in a row have made the best no better than by this share of what it gains on the baseline. */
#define AUTO_PATIENCE 12
#define AUTO_GAIN     0.002

/* Proposals in a row of a named search that time forbids, before it is believed that it forbids all. */
#define MOST_REFUSED 10

typedef struct Tuning
{
	Training *t;
	const TuningHost *host;
	const PgmlStrategy *strategy;
	PgmlArena *arena;
	PgmlSpace *space;
	int n_spaces;
	double limit; /* whole trials; 0: none */
	PgmlSearch *search;
} Tuning;

bool
training_search_alone(const PgmlTrainOptions *options)
{
	return options->search != NULL || options->n_search_space > 0;
}

/* Lower is better. */
static double
loss_of(const Training *t, double score)
{
	return t->result->metric->higher_is_better ? -score : score;
}

static bool
is_usable(const PgmlTrial *trial)
{
	return (trial->status == PGML_TRIAL_OK || trial->status == PGML_TRIAL_TIMEOUT) &&
		   !isnan(trial->validation_score);
}

/* The best loss of a learner's trials, infinity when there is none. */
static double
best_of(const Training *t, const PgmlLearner *learner)
{
	double best = INFINITY;

	for (int i = 0; i < t->result->n_trials; i++)
		if (t->result->trials[i].learner == learner && is_usable(&t->result->trials[i]))
			best = fmin(best, loss_of(t, t->result->trials[i].validation_score));
	return best;
}

/* After a portfolio: is the learner one of the best? */
static bool
leads(const Training *t, const PgmlLearner *learner)
{
	int n, ahead = 0;
	const PgmlLearner *const *learners = pgml_learners(&n);
	double mine = best_of(t, learner);

	for (int i = 0; i < n; i++)
		ahead += learners[i] != &pgml_learner_constant && best_of(t, learners[i]) < mine;
	return isfinite(mine) && ahead < AUTO_LEARNERS;
}

const char *
training_strategy_name(const PgmlTrainOptions *options)
{
	return options->search != NULL ? options->search : AUTO_STRATEGY;
}

bool
training_tunes(const PgmlTrainOptions *options, int tried)
{
	if (options->max_trials > 0)
		return options->max_trials > tried;
	/* Without any limit the end of the portfolio is the end. */
	return options->time_budget > 0 || training_search_alone(options);
}

bool
training_searches(const Training *t, const PgmlLearner *learner)
{
	const PgmlTrainOptions *o = t->options;
	const PgmlStrategy *strategy = pgml_strategy_find(training_strategy_name(o));

	if (!training_wants(t, learner) || !pgml_search_uses(o->search, learner) ||
		(learner->needs_blas && !t->have_blas))
		return false;
	if (!training_search_alone(o))
		return leads(t, learner);
	return !strategy->only_listed || pgml_search_lists(o, learner) || training_names(o, learner);
}

/* What is known of the data. */
static PgmlSpaceData
describe_data(const Training *t)
{
	PgmlSpaceData data = { .task = t->target.task,
						   .n_rows = t->folds > 1 ? t->n_train - t->n_train / t->folds : t->n_train,
						   .n_features = t->x.nfeatures };

	for (int32_t f = 0; f < t->x.nfeatures; f++)
		data.has_categories |= t->x.features[f].categorical;
	return data;
}

/* Spaces of all learners that take part. */
static PgmlStatus
make_spaces(Tuning *u)
{
	PgmlSpaceData data = describe_data(u->t);
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	u->space = pgml_array(u->arena, PGML_MAX_SPACES, sizeof(PgmlSpace));
	if (u->space == NULL)
		return pgml_fail_nomem(u->t->env, "a search");
	for (int i = 0; i < n && u->n_spaces < PGML_MAX_SPACES; i++)
	{
		PgmlParams base;

		if (!training_searches(u->t, learners[i]))
			continue;
		if (!training_portfolio(u->t, learners[i], 0, &base))
		{
			if (training_search_alone(u->t->options))
				training_notice(u->t, false,
								"%s is not tried: it does not suit the data or the time there is",
								learners[i]->name);
			continue;
		}
		PGML_TRY(pgml_space_create(u->t->env, u->arena, u->t->options, learners[i], &base, &data,
								   u->strategy->only_listed, &u->space[u->n_spaces]));
		u->n_spaces++;
	}
	return PGML_OK;
}

/* What the training has tried before. */
static PgmlStatus
tell_known(const Tuning *u)
{
	const PgmlTrainResult *r = u->t->result;

	for (int i = 0; i < r->n_trials; i++)
		for (int s = 0; s < u->n_spaces; s++)
			if (u->space[s].learner == r->trials[i].learner &&
				r->trials[i].status != PGML_TRIAL_SKIPPED)
				PGML_TRY(pgml_search_know(
					u->search, s, &r->trials[i].params,
					is_usable(&r->trials[i]) ? loss_of(u->t, r->trials[i].validation_score) : NAN,
					r->trials[i].fit_wall));
	return PGML_OK;
}

/* Try a proposal; *loss is NaN when it failed. */
static PgmlStatus
try_proposal(const Tuning *u, const PgmlProposal *p, double *loss)
{
	const PgmlSpace *space = &u->space[p->space];
	const PgmlTrainResult *r = u->t->result;
	bool rows = space->resource == PGML_RESOURCE_ROWS;
	PgmlParams params = p->params;

	training_keep_rounds(space->learner, &params);
	if (p->share < 1)
		pgml_space_reduce(space, p->share, &params);
	PGML_TRY(u->host->try_setting(u->host->arg, space->learner, &params, rows ? p->share : 1));
	*loss = is_usable(&r->trials[r->n_trials - 1]) ?
				loss_of(u->t, r->trials[r->n_trials - 1].validation_score) :
				NAN;
	return PGML_OK;
}

/* Has an unnamed search found nothing for long enough? */
static bool
is_tired(const Tuning *u, double *best, int *since)
{
	const Training *t = u->t;
	int at = pgml_search_best(u->search);
	double now = at >= 0 ? u->search->told[at].loss : INFINITY;
	double gain = fabs(loss_of(t, t->result->trials[0].validation_score) - now);

	if (training_search_alone(t->options))
		return false;
	if (now < *best - AUTO_GAIN * gain || isinf(*best))
	{
		*best = now;
		*since = 0;
	}
	return (*since)++ >= AUTO_PATIENCE;
}

/* A search in the spaces that are left, which knows what was tried. */
static PgmlStatus
begin_search(Tuning *u)
{
	uint64_t seed = pgml_hash_combine(u->t->env->seed, SEED_OF_TUNING);

	PGML_TRY(pgml_search_create(u->t->env, u->arena, u->strategy, u->space, u->n_spaces,
								(int) u->limit, seed, &u->search));
	return tell_known(u);
}

/* Go on without a learner for which there is no time any more: there is for others, which an unnamed search would hardly propose. */
static PgmlStatus
leave_out(Tuning *u, int space)
{
	u->n_spaces--;
	for (int i = space; i < u->n_spaces; i++)
		u->space[i] = u->space[i + 1];
	return u->n_spaces > 0 ? begin_search(u) : PGML_OK;
}

/* Proposals until something ends. */
static PgmlStatus
run(Tuning *u)
{
	Training *t = u->t;
	double best = INFINITY;
	int since = 0, refused = 0;

	while (t->result->n_trials < PGML_MAX_TRIALS && refused < MOST_REFUSED && u->n_spaces > 0 &&
		   !is_tired(u, &best, &since))
	{
		PgmlProposal p;
		double loss = NAN, started;
		bool done;

		if (u->limit > 0 && u->search->spent > u->limit - 1e-9)
			break;
		PGML_TRY(pgml_search_ask(u->search, &p, &done));
		if (done || (u->limit > 0 && u->search->spent > u->limit + 1e-9))
			break;
		started = pgml_now();
		if (u->host->has_time(u->host->arg, u->space[p.space].learner, p.share))
		{
			PGML_TRY(try_proposal(u, &p, &loss));
			refused = 0;
		}
		else if (!training_search_alone(t->options))
		{
			PGML_TRY(leave_out(u, p.space));
			continue;
		}
		else
			refused++;
		PGML_TRY(pgml_search_tell(u->search, &p, loss, pgml_now() - started));
	}
	return PGML_OK;
}

/* A grid that max_trials or time cut is told. */
static void
report_cut(const Tuning *u)
{
	int64_t points = 0;

	if (!u->strategy->only_listed)
		return;
	for (int i = 0; i < u->n_spaces; i++)
		points += pgml_space_count(&u->space[i]);
	if (u->search->n_told < points)
		training_notice(u->t, true, "%d of the %lld points of the grid were tried",
						u->search->n_told, (long long) points);
}

static PgmlStatus
tune(Tuning *u)
{
	PGML_TRY(make_spaces(u));
	if (u->n_spaces == 0)
		return PGML_OK;
	PGML_TRY(begin_search(u));
	PGML_TRY(run(u));
	report_cut(u);
	return PGML_OK;
}

PgmlStatus
training_tune(Training *t, const TuningHost *host, int tried)
{
	const PgmlTrainOptions *o = t->options;
	Tuning u = { .t = t,
				 .host = host,
				 .strategy = pgml_strategy_find(training_strategy_name(o)),
				 .arena = pgml_arena_create(t->env->budget) };
	PgmlStatus status = PGML_OK;

	if (u.arena == NULL)
		return PGML_OK;
	if (o->max_trials > 0)
		u.limit = o->max_trials - tried;
	if (training_tunes(o, tried))
		status = tune(&u);
	pgml_arena_destroy(u.arena);
	/* Without memory for the search the portfolio is the end, too. */
	return pgml_is_memory(status) ? PGML_OK : status;
}
