/*
 * svm_calibrate.c - from decision values to probabilities: Platt's sigmoid (Platt 1999) by Newton's method with backtracking (Lin,
 * Lin and Weng 2007), and the coupling of pairs (Wu, Lin and Weng 2004).
 */
#include "learner/svm.h"

#define PLATT_STEPS    100
#define PLATT_LEAST    1e-10 /* step length below which the search gives up */
#define PLATT_GRADIENT 1e-5  /* of the mean loss */
#define RIDGE          1e-12

/* What is fitted: decision values and targets between 0 and 1. */
typedef struct Platt
{
	const double *f;
	const bool *positive;
	const double *w;
	int64_t n;
	double high, low; /* targets of the two sides */
	double weight;    /* of all rows */
} Platt;

/* log(1 + e^z) without overflow. */
static double
softplus(double z)
{
	return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static double
row_weight(const Platt *p, int64_t i)
{
	return p->w != NULL ? p->w[i] / p->weight : 1 / p->weight;
}

static double
loss(const Platt *p, PgmlSvmSigmoid s)
{
	double sum = 0;

	for (int64_t i = 0; i < p->n; i++)
	{
		double z = s.a * p->f[i] + s.b;
		double t = p->positive[i] ? p->high : p->low;

		sum += row_weight(p, i) * (t * softplus(z) + (1 - t) * softplus(-z));
	}
	return sum;
}

/* Newton's direction for the mean loss; false where the gradient is as good as zero. *slope: of the loss along it. */
static bool
direction(const Platt *p, PgmlSvmSigmoid s, double *da, double *db, double *slope)
{
	double haa = RIDGE, hbb = RIDGE, hab = 0, ga = 0, gb = 0, det;

	for (int64_t i = 0; i < p->n; i++)
	{
		double f = p->f[i];
		double prob = pgml_svm_probability(s, f);
		double w = row_weight(p, i);
		double h = w * prob * (1 - prob);
		double g = w * ((p->positive[i] ? p->high : p->low) - prob);

		haa += f * f * h;
		hbb += h;
		hab += f * h;
		ga += f * g;
		gb += g;
	}
	if (fabs(ga) < PLATT_GRADIENT && fabs(gb) < PLATT_GRADIENT)
		return false;
	det = haa * hbb - hab * hab;
	*da = -(hbb * ga - hab * gb) / det;
	*db = -(haa * gb - hab * ga) / det;
	*slope = ga * *da + gb * *db;
	return isfinite(*da) && isfinite(*db);
}

/* Targets that Bayes' rule with a uniform prior gives; false when there is no weight. */
static bool
set_targets(Platt *p)
{
	double n[2] = { 0, 0 };
	double scale;

	for (int64_t i = 0; i < p->n; i++)
		n[p->positive[i]] += p->w != NULL ? p->w[i] : 1;
	p->weight = n[0] + n[1];
	if (!(p->weight > 0))
		return false;
	scale = (double) p->n / p->weight; /* as rows of weight 1 on average */
	p->high = (n[1] * scale + 1) / (n[1] * scale + 2);
	p->low = 1 / (n[0] * scale + 2);
	return true;
}

/* Where the search begins: the shares of the classes, whatever f says. */
static double
first_b(const Platt *p)
{
	double n[2] = { 0, 0 };

	for (int64_t i = 0; i < p->n; i++)
		n[p->positive[i]] += row_weight(p, i) * (double) p->n;
	return log((n[0] + 1) / (n[1] + 1));
}

PgmlSvmSigmoid
pgml_svm_platt(const double *f, const bool *positive, const double *w, int64_t n)
{
	Platt p = { .f = f, .positive = positive, .w = w, .n = n };
	PgmlSvmSigmoid s = { 0, 0 };
	double now;

	if (!set_targets(&p))
		return s;
	s.b = first_b(&p);
	now = loss(&p, s);
	for (int i = 0; i < PLATT_STEPS; i++)
	{
		double da, db, slope;
		double step = 1;

		if (!direction(&p, s, &da, &db, &slope))
			break;
		for (; step >= PLATT_LEAST; step /= 2)
		{
			PgmlSvmSigmoid next = { s.a + step * da, s.b + step * db };
			double then = loss(&p, next);

			if (then < now + 1e-4 * step * slope)
			{
				s = next;
				now = then;
				break;
			}
		}
		if (step < PLATT_LEAST)
			break;
	}
	return s;
}

double
pgml_svm_probability(PgmlSvmSigmoid sigmoid, double f)
{
	double z = sigmoid.a * f + sigmoid.b;
	double e = exp(-fabs(z));

	return (z >= 0 ? e : 1) / (1 + e);
}

/*
 * Minimise p' Q p over probabilities, where Q_ii = sum_j r_ji^2 and Q_ij = -r_ji r_ij: from equal shares on, one p after the
 * other is set to where its condition holds and all are scaled to add up to 1 again.
 */
void
pgml_svm_couple(int k, const double *r, double *p)
{
	double q[PGML_SVM_PAIRED * PGML_SVM_PAIRED];
	double qp[PGML_SVM_PAIRED];
	int most = k > 100 ? k : 100;

	for (int i = 0; i < k; i++)
	{
		p[i] = 1.0 / k;
		q[i * k + i] = 0;
		for (int j = 0; j < k; j++)
		{
			if (i == j)
				continue;
			q[i * k + i] += r[j * k + i] * r[j * k + i];
			q[i * k + j] = -r[j * k + i] * r[i * k + j];
		}
	}
	for (int round = 0; round < most; round++)
	{
		double pqp = 0;
		double worst = 0;

		for (int i = 0; i < k; i++)
		{
			qp[i] = 0;
			for (int j = 0; j < k; j++)
				qp[i] += q[i * k + j] * p[j];
			pqp += p[i] * qp[i];
		}
		for (int i = 0; i < k; i++)
			worst = fmax(worst, fabs(qp[i] - pqp));
		if (worst < 0.005 / k)
			break;
		for (int i = 0; i < k; i++)
		{
			double step = (pqp - qp[i]) / q[i * k + i];

			p[i] += step;
			pqp = (pqp + step * (step * q[i * k + i] + 2 * qp[i])) / (1 + step) / (1 + step);
			for (int j = 0; j < k; j++)
			{
				qp[j] = (qp[j] + step * q[i * k + j]) / (1 + step);
				p[j] /= 1 + step;
			}
		}
	}
}
