/*
 * mlp_optim.c - Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), and schedules.
 */
#include <math.h>

#include "learner/mlp_math.h"
#include "learner/mlp_net.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Numbers below are taken for 0: processors are slow with those that are almost too small to be written down. */
#define TINY 1e-30f

/* Parameters between two looks at the stop flag; a multiple of PGML_MLP_LANES. */
#define AT_ONCE (INT64_C(1) << 20)

double
pgml_mlp_rate_at(PgmlMlpRates rates, double at)
{
	switch (rates)
	{
		case PGML_MLP_COSLOG4:
			return 0.5 * (1 - cos(2 * M_PI * log2(1 + 15 * at)));
		case PGML_MLP_COSINE:
			return 0.5 * (1 + cos(M_PI * at));
		default:
			return 1;
	}
}

double
pgml_mlp_fade_at(bool fade, double at)
{
	return !fade || at < 0.5 ? 1 : 0.5 * (1 + cos(2 * M_PI * (at - 0.5)));
}

/* What a segment's step needs. */
typedef struct Step
{
	float rate; /* with the correction of the mean */
	float root; /* correction of the root of the mean square */
	float beta_1, beta_2, epsilon;
	float keep;    /* share of the weights that decay leaves */
	float penalty; /* times a weight: added to its gradient */
} Step;

/* Square roots of a few numbers, which compilers do not turn into vector code. */
PGML_MLP_INLINE void
take_roots(const float *x, float *root)
{
#ifdef __SSE2__
	for (int i = 0; i < PGML_MLP_LANES; i += 4)
		_mm_storeu_ps(root + i, _mm_sqrt_ps(_mm_loadu_ps(x + i)));
#else
	for (int i = 0; i < PGML_MLP_LANES; i++)
		root[i] = sqrtf(x[i]);
#endif
}

/* A step for n parameters, a multiple of PGML_MLP_LANES. */
PGML_CLONES static void
adam(const Step *s, int64_t n, float *restrict parameter, const float *restrict gradient,
	 float *restrict mean, float *restrict square)
{
	float rate = s->rate, correction = s->root, beta_1 = s->beta_1, beta_2 = s->beta_2;
	float epsilon = s->epsilon, keep = s->keep, penalty = s->penalty;

	for (int64_t from = 0; from < n; from += PGML_MLP_LANES)
	{
		float *p = parameter + from, *m = mean + from, *v = square + from;
		const float *grad = gradient + from;
		float root[PGML_MLP_LANES];

		for (int i = 0; i < PGML_MLP_LANES; i++)
		{
			float g = grad[i] + penalty * p[i];
			float a = beta_1 * m[i] + (1 - beta_1) * g;
			float b = beta_2 * v[i] + (1 - beta_2) * (g * g);

			m[i] = a < TINY && a > -TINY ? 0 : a;
			v[i] = b < TINY ? 0 : b;
		}
		take_roots(v, root);
		for (int i = 0; i < PGML_MLP_LANES; i++)
			p[i] = keep * p[i] - rate * m[i] / (correction * root[i] + epsilon);
	}
}

void
pgml_mlp_net_step(PgmlMlpNet *net, double rate, double decay)
{
	const PgmlMlpConfig *c = net->config;
	double t = (double) ++net->steps;
	Step step = { .root = (float) (1 / sqrt(1 - pow(c->beta_2, t))),
				  .beta_1 = (float) c->beta_1,
				  .beta_2 = (float) c->beta_2,
				  .epsilon = (float) c->epsilon };

	for (int32_t i = 0; i < net->n_segments; i++)
	{
		const PgmlMlpSegment *s = &net->segment[i];
		double own = rate * s->rate;

		step.rate = (float) (own / (1 - pow(c->beta_1, t)));
		step.keep = (float) (1 - own * s->decay * c->weight_decay * decay);
		step.penalty = s->penalised ?
						   (float) (c->alpha / (net->input->mean_weight * (double) net->input->n)) :
						   0;
		for (int64_t from = s->at; from < s->at + s->n; from += AT_ONCE)
		{
			int64_t n = s->at + s->n - from < AT_ONCE ? s->at + s->n - from : AT_ONCE;

			if (pgml_stopped(net->env))
				return;
			adam(&step, n, net->parameter + from, net->gradient + from, net->mean + from,
				 net->square + from);
		}
	}
}
