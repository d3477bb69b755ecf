/*
 * svm_write.c - from solved decisions to a payload with calibrated probabilities.
 */
#include "learner/svm_fit.h"

/* Without decisions to calibrate by: a row at the margin has the odds e^2. */
static const PgmlSvmSigmoid uncalibrated = { -2, 0 };

static void
fill_header(const PgmlSvmFit *fit, PgmlSvmHeader *header)
{
	const PgmlLinearDesign *design = &fit->design;

	*header = (PgmlSvmHeader){ .version = PGML_SVM_VERSION,
							   .task = (uint32_t) fit->data->task,
							   .kernel = fit->kernel,
							   .scheme = fit->scheme,
							   .nfeatures = (uint32_t) fit->data->x->nfeatures,
							   .rows = (uint32_t) design->n_rows,
							   .numbers = (uint32_t) design->n_dense,
							   .codes = (uint32_t) design->n_categories,
							   .decisions = (uint32_t) fit->n_decisions,
							   .groups = 1,
							   .gamma = fit->kernel == PGML_SVM_RBF ? (double) fit->gamma : 0 };
	if (fit->scheme == PGML_SVM_PAIRS)
		header->groups = (uint32_t) fit->data->n_classes;
	header->scale = 1;
	if (fit->data->task == PGML_TASK_REGRESSION)
	{
		header->scale = design->y_unit * design->y_sd;
		header->offset = design->y_unit * design->y_mean;
	}
}

/* ---- coefficients ---- */

/* Weights of all decisions, by rows of the design; the bias has its own place. */
static void
put_weights(const PgmlSvmFit *fit, PgmlBuf *out)
{
	for (int64_t r = 0; r < fit->design.n_rows; r++)
		for (int64_t q = 0; q < fit->n_decisions; q++)
			pgml_buf_put_f64(out,
							 r > 0 && fit->rows.number != NULL ? fit->decisions[q].coef[r] : 0);
}

/* Coefficients of one group's points: decision d of the group and point i have at[d * n + i]. */
typedef struct Group
{
	int64_t n;
	int32_t *place; /* rows that are points; NULL: landmarks */
	float *beta;
	int64_t n_decisions;
} Group;

/* The coefficient that row k of a class (all rows without pairs) has in decision d of its group. */
static double
coef_of(const PgmlSvmFit *fit, int64_t class, int64_t k, int64_t d)
{
	const PgmlSvmDecision *decision;
	int64_t n_classes = fit->data->n_classes;

	if (fit->scheme != PGML_SVM_PAIRS)
		return fit->decisions[d].coef[k];
	if (d < class)
	{
		decision = &fit->decisions[pgml_svm_pair(n_classes, d, class)];
		return decision->coef[decision->len[0] + k];
	}
	return fit->decisions[pgml_svm_pair(n_classes, class, d + 1)].coef[k];
}

/* Support vectors of a group: rows with a coefficient in one of its decisions. */
static PgmlStatus
gather_support(const PgmlSvmFit *fit, int64_t g, Group *group)
{
	bool pairs = fit->scheme == PGML_SVM_PAIRS;
	int64_t first = pairs ? fit->class_at[g] : 0;
	int64_t n_rows = (pairs ? fit->class_at[g + 1] : fit->n_used) - first;

	group->place = pgml_array(fit->arena, (size_t) n_rows + 1, sizeof(int32_t));
	if (group->place == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	group->n = 0;
	for (int64_t k = 0; k < n_rows; k++)
	{
		bool used = false;

		for (int64_t d = 0; d < group->n_decisions && !used; d++)
			used = coef_of(fit, g, k, d) != 0;
		if (used)
			group->place[group->n++] = (int32_t) k;
	}
	group->beta =
		pgml_array(fit->arena, (size_t) (group->n * group->n_decisions) + 1, sizeof(float));
	if (group->beta == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	for (int64_t d = 0; d < group->n_decisions; d++)
		for (int64_t i = 0; i < group->n; i++)
			group->beta[d * group->n + i] = (float) coef_of(fit, g, group->place[i], d);
	for (int64_t i = 0; i < group->n; i++)
		group->place[i] = fit->list[first + group->place[i]];
	return PGML_OK;
}

/* The landmarks, which all decisions share. */
static PgmlStatus
gather_landmarks(const PgmlSvmFit *fit, Group *group)
{
	double *beta = pgml_array(fit->arena, (size_t) fit->map.points.n + 1, sizeof(double));

	group->n = fit->map.points.n;
	group->beta =
		pgml_array(fit->arena, (size_t) (group->n * group->n_decisions) + 1, sizeof(float));
	if (group->beta == NULL || beta == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	for (int64_t d = 0; d < group->n_decisions; d++)
	{
		if (pgml_stopped(fit->env))
			return pgml_fail_cancelled(fit->env);
		pgml_svm_unmap(&fit->map, fit->decisions[d].coef, beta);
		for (int64_t i = 0; i < group->n; i++)
			group->beta[d * group->n + i] = (float) beta[i];
	}
	return PGML_OK;
}

/* Points of a group, tile after tile. */
static PgmlStatus
put_points(const PgmlSvmFit *fit, const Group *group, PgmlBuf *out)
{
	PgmlSvmPoints points = fit->map.points;
	float *x =
		pgml_array(fit->arena, (size_t) (fit->rows.numbers + fit->rows.codes) + 1, sizeof(float));

	if (x == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	if (group->place != NULL)
		PGML_TRY(pgml_svm_points(fit->env, fit->arena, group->n, fit->rows.numbers, fit->rows.codes,
								 &points));
	for (int64_t i = 0; group->place != NULL && i < group->n; i++)
	{
		pgml_svm_point_of(&fit->rows, fit->base, group->place[i], x);
		pgml_svm_set_point(&points, i, x);
	}
	pgml_buf_put(out, points.at,
				 (size_t) (pgml_svm_tiles(group->n) * PGML_SVM_TILE) *
					 (size_t) (fit->rows.numbers + fit->rows.codes) * sizeof(float));
	return PGML_OK;
}

/* Coefficients of a group, each decision's padded to whole tiles. */
static void
put_betas(const Group *group, PgmlBuf *out)
{
	int64_t padding = pgml_svm_tiles(group->n) * PGML_SVM_TILE - group->n;

	for (int64_t d = 0; d < group->n_decisions; d++)
	{
		pgml_buf_put(out, group->beta + d * group->n, (size_t) group->n * sizeof(float));
		pgml_buf_put(out, NULL, (size_t) padding * sizeof(float));
	}
}

static PgmlStatus
put_kernels(const PgmlSvmFit *fit, const PgmlSvmHeader *header, PgmlBuf *out)
{
	Group *groups = pgml_zalloc(fit->arena, header->groups, sizeof(Group));

	if (groups == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	for (uint32_t g = 0; g < header->groups; g++)
	{
		groups[g].n_decisions =
			fit->scheme == PGML_SVM_PAIRS ? (int64_t) header->groups - 1 : fit->n_decisions;
		if (fit->rows.number == NULL)
			continue; /* no points: the deadline came too early */
		PGML_TRY(fit->exact ? gather_support(fit, g, &groups[g]) :
							  gather_landmarks(fit, &groups[g]));
	}
	for (uint32_t g = 0; g < header->groups; g++)
		pgml_buf_put_u32(out, (uint32_t) pgml_svm_tiles(groups[g].n));
	pgml_buf_align(out, sizeof(uint64_t));
	for (uint32_t g = 0; g < header->groups; g++)
		if (groups[g].n > 0)
			PGML_TRY(put_points(fit, &groups[g], out));
	for (uint32_t g = 0; g < header->groups; g++)
		put_betas(&groups[g], out);
	return PGML_OK;
}

/* ---- calibration ---- */

/* Decision values, sides and weights of rows, for one sigmoid. */
typedef struct Sample
{
	int64_t n;
	double *f;
	bool *positive;
	double *w;
} Sample;

static PgmlStatus
make_sample(const PgmlSvmFit *fit, int64_t n, Sample *sample)
{
	sample->f = pgml_array(fit->arena, (size_t) n + 1, sizeof(double));
	sample->positive = pgml_array(fit->arena, (size_t) n + 1, sizeof(bool));
	sample->w = pgml_array(fit->arena, (size_t) n + 1, sizeof(double));
	sample->n = 0;
	if (sample->f == NULL || sample->positive == NULL || sample->w == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	return PGML_OK;
}

static void
add_to_sample(Sample *sample, double f, bool positive, double w)
{
	sample->f[sample->n] = f;
	sample->positive[sample->n] = positive;
	sample->w[sample->n++] = w;
}

static PgmlSvmSigmoid
fit_sigmoid(const Sample *sample)
{
	return sample->n > 0 ? pgml_svm_platt(sample->f, sample->positive, sample->w, sample->n) :
						   uncalibrated;
}

/* Sigmoids from what was held out, of evenly spaced rows: they are listed class by class, so shares stay what they are. */
static PgmlStatus
calibrate_by_folds(const PgmlSvmFit *fit)
{
	Sample sample;

	PGML_TRY(make_sample(fit, fit->n_used, &sample));
	for (int64_t q = 0; q < fit->n_decisions; q++)
	{
		PgmlSvmDecision *d = &fit->decisions[q];
		int64_t n = d->len[0] + d->len[1];
		int64_t known = fit->folds > 0 ? n * fit->folds_left_out / fit->folds : 0;
		int64_t stride = known / PGML_SVM_CALIBRATION_ROWS + 1;

		if (pgml_stopped(fit->env))
			return pgml_fail_cancelled(fit->env);
		sample.n = 0;
		known = 0;
		for (int64_t k = 0; d->held != NULL && k < n; k++)
		{
			int32_t place = pgml_svm_row_of(fit, d, k);

			if (!isnan(d->held[k]) && known++ % stride == 0)
				add_to_sample(&sample, d->held[k], fit->y[place] == d->positive,
							  pgml_linear_weight(fit->data, fit->data->rows[place]));
		}
		d->sigmoid = fit_sigmoid(&sample);
	}
	return PGML_OK;
}

/* The classes of decision q, -1: all but the first. */
static void
classes_of(const PgmlSvmFit *fit, int64_t q, int *first, int *second)
{
	int k = fit->data->n_classes;

	*first = fit->decisions[q].positive;
	*second = -1;
	for (int j = *first + 1; fit->scheme == PGML_SVM_PAIRS && j < k; j++)
		if (pgml_svm_pair(k, *first, j) == q)
			*second = j;
}

/* What the payload says of evenly spaced validation rows: n x decisions. */
static PgmlStatus
score_validation(const PgmlSvmFit *fit, const PgmlSvmView *view, int64_t n, int64_t stride,
				 double *decisions)
{
	const PgmlMatrix *x = fit->data->x;
	size_t nf = (size_t) x->nfeatures;
	float *row = pgml_array(fit->arena, nf * PGML_SVM_BATCH + 1, sizeof(float));

	if (row == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	for (int64_t i = 0; i < n; i += PGML_SVM_BATCH)
	{
		int batch = n - i < PGML_SVM_BATCH ? (int) (n - i) : PGML_SVM_BATCH;

		if (pgml_stopped(fit->env))
			return pgml_fail_cancelled(fit->env);
		for (int r = 0; r < batch; r++)
			for (size_t f = 0; f < nf; f++)
				row[(size_t) r * nf + f] = x->col[f][fit->data->valid_rows[(i + r) * stride]];
		pgml_svm_score_rows(view, row, batch, decisions + i * fit->n_decisions);
	}
	return PGML_OK;
}

/* Sigmoids from the validation rows. */
static PgmlStatus
calibrate_by_validation(const PgmlSvmFit *fit, const uint8_t *payload)
{
	const PgmlDataset *data = fit->data;
	int64_t most = pgml_svm_calibration_rows(fit->n_decisions);
	int64_t stride = (data->n_valid + most - 1) / most;
	int64_t n = (data->n_valid + stride - 1) / stride;
	double *decisions = pgml_array(fit->arena, (size_t) (n * fit->n_decisions), sizeof(double));
	PgmlSvmView view;
	Sample sample;

	if (decisions == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	PGML_TRY(make_sample(fit, n, &sample));
	pgml_svm_view(payload, &view);
	PGML_TRY(score_validation(fit, &view, n, stride, decisions));
	for (int64_t q = 0; q < fit->n_decisions; q++)
	{
		int first, second;

		classes_of(fit, q, &first, &second);
		sample.n = 0;
		for (int64_t i = 0; i < n; i++)
		{
			int32_t row = data->valid_rows[i * stride];
			int class = (int) data->y[row];

			if (class == first || second < 0 || class == second)
				add_to_sample(&sample, decisions[i * fit->n_decisions + q], class == first,
							  pgml_linear_weight(data, row));
		}
		fit->decisions[q].sigmoid = fit_sigmoid(&sample);
	}
	return PGML_OK;
}

static PgmlStatus
calibrate(const PgmlSvmFit *fit, uint8_t *payload)
{
	uint8_t *sigmoids =
		payload + sizeof(PgmlSvmHeader) + fit->data->x->nfeatures * sizeof(PgmlLinearFeature);

	if (fit->data->task == PGML_TASK_REGRESSION)
		return PGML_OK;
	if (fit->folds > 0 || fit->data->n_valid == 0)
		PGML_TRY(calibrate_by_folds(fit));
	else
		PGML_TRY(calibrate_by_validation(fit, payload));
	for (int64_t q = 0; q < fit->n_decisions; q++, sigmoids += sizeof(PgmlSvmSigmoid))
		memcpy(sigmoids, &fit->decisions[q].sigmoid, sizeof(PgmlSvmSigmoid));
	return PGML_OK;
}

PgmlStatus
pgml_svm_write(PgmlSvmFit *fit, PgmlBuf *out)
{
	PgmlSvmHeader header;
	PgmlSvmView view;

	fill_header(fit, &header);
	pgml_buf_put(out, &header, sizeof(header));
	pgml_buf_put(out, fit->design.features, header.nfeatures * sizeof(PgmlLinearFeature));
	pgml_buf_put(out, NULL, header.decisions * sizeof(PgmlSvmSigmoid));
	for (int64_t q = 0; q < fit->n_decisions; q++)
		pgml_buf_put_f64(out, fit->decisions[q].bias);
	if (fit->kernel == PGML_SVM_LINEAR)
		put_weights(fit, out);
	else
		PGML_TRY(put_kernels(fit, &header, out));
	if (out->failed)
		return pgml_fail_nomem(fit->env, "the model");
	PGML_TRY(calibrate(fit, out->data));
	/* Rather no model than one that predicts no numbers. */
	pgml_svm_view(out->data, &view);
	if (!pgml_svm_is_finite(&view, out->data + out->len))
		return pgml_fail(fit->env->error, PGML_ERR_NUMERIC,
						 "learner \"svm\" found no finite coefficients");
	return PGML_OK;
}
