/*
 * mlp_payload.c - follow and verify the stored form of a network.
 */
#include "learner/mlp_payload.h"

/* More floats than any network that fits into memory has. */
#define MOST_FLOATS (UINT64_C(1) << 40)

uint64_t
pgml_mlp_floats(const PgmlMlpHeader *h)
{
	uint64_t ld = (uint64_t) pgml_mlp_pad((int32_t) h->hidden_width);
	uint64_t in = h->n_inputs;
	uint64_t floats = h->table_floats;

	if (h->hidden_width > PGML_MLP_MAX_WIDTH || h->hidden_layers > PGML_MLP_MAX_LAYERS ||
		h->n_inputs > INT32_MAX || h->n_outputs > INT32_MAX / 2 ||
		h->category_width > PGML_MLP_MAX_CATEGORY_WIDTH || h->table_floats > MOST_FLOATS)
		return UINT64_MAX;
	for (uint32_t i = 0; i < h->hidden_layers; i++)
	{
		floats += (in + 2) * ld;
		in = h->hidden_width;
	}
	ld = (uint64_t) pgml_mlp_pad((int32_t) h->n_outputs);
	return (in + 1) * ld > MOST_FLOATS ? UINT64_MAX : floats + (in + 1) * ld;
}

PgmlMlpView
pgml_mlp_view(const uint8_t *payload)
{
	PgmlMlpView v = { .header = (const PgmlMlpHeader *) payload };
	uint64_t at = sizeof(PgmlMlpHeader);

	v.feature = (const PgmlMlpFeature *) (payload + at);
	at += v.header->nfeatures * (uint64_t) sizeof(PgmlMlpFeature);
	v.table = (const float *) (payload + at);
	v.layers = v.table + v.header->table_floats;
	v.n_floats = pgml_mlp_floats(v.header);
	v.len = v.n_floats == UINT64_MAX ? UINT64_MAX : (at + v.n_floats * sizeof(float) + 7) / 8 * 8;
	return v;
}

/* Refuse a payload, saying why. */
static PgmlStatus
corrupt(PgmlError *err, const char *what)
{
	return pgml_fail(err, PGML_ERR_CORRUPT, "mlp: %s", what);
}

/* Bound the header and all numbers. */
static PgmlStatus
verify_frame(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	const PgmlMlpHeader *h = (const PgmlMlpHeader *) payload;
	PgmlMlpView v;

	if (h->format != PGML_MLP_FORMAT)
		return corrupt(err, "the format is of another version");
	if (h->n_outputs != (uint32_t) pgml_task_outputs(shape->task, shape->n_classes) ||
		h->nfeatures != (uint32_t) shape->nfeatures || h->hidden_width < 1 ||
		h->hidden_layers < 1 || h->activation >= PGML_MLP_N_ACTIVATIONS ||
		h->frequencies > PGML_MLP_MAX_FREQUENCY || h->frequencies % PGML_MLP_LANES != 0 ||
		h->n_embedded >= PGML_MLP_MAX_EMBEDDED || !isfinite(h->center) || !isfinite(h->factor) ||
		!isfinite(h->low) || !isfinite(h->high))
		return corrupt(err, "the header is damaged");
	if (pgml_mlp_floats(h) == UINT64_MAX)
		return corrupt(err, "the header is damaged");
	v = pgml_mlp_view(payload);
	if (v.len != len)
		return corrupt(err, "the length is wrong");
	for (uint64_t i = 0; i < v.n_floats; i++)
		if (!isfinite(v.table[i]))
			return corrupt(err, "a weight is not finite");
	return PGML_OK;
}

/* Do n places from `first` on lie below `end`? */
static bool
fits(uint64_t first, uint64_t n, uint64_t end)
{
	return first <= end && n <= end - first;
}

/* Bound a numeric feature. */
static PgmlStatus
verify_number(const PgmlMlpHeader *h, const PgmlMlpFeature *f, PgmlError *err)
{
	if (!isfinite(f->center) || !isfinite(f->factor))
		return corrupt(err, "a scale is not finite");
	if (!fits(f->input, 1, h->n_inputs) ||
		(f->missing != PGML_MLP_NONE && !fits(f->missing, 1, h->n_inputs)))
		return corrupt(err, "an input does not exist");
	if (pgml_mlp_is_ranked(f->kind) && !fits(f->levels, 2 * PGML_MLP_KNOTS, h->table_floats))
		return corrupt(err, "knots lie out of bounds");
	if (pgml_mlp_is_periodic(f->kind) &&
		(!fits(f->embedded, h->n_embedded, h->n_inputs) ||
		 !fits(f->table, pgml_mlp_table_floats(h->frequencies, h->n_embedded), h->table_floats)))
		return corrupt(err, "an embedding lies out of bounds");
	return PGML_OK;
}

/* Bound a categorical feature. */
static PgmlStatus
verify_category(const PgmlMlpHeader *h, const PgmlMlpFeature *f, PgmlError *err)
{
	if (f->kind == PGML_MLP_LEVELS)
		return fits(f->embedded, h->category_width, h->n_inputs) &&
					   fits(f->table, ((uint64_t) f->levels + 1) * h->category_width,
							h->table_floats) ?
				   PGML_OK :
				   corrupt(err, "an embedding lies out of bounds");
	if (f->kind == PGML_MLP_BINARY && f->levels != 2)
		return corrupt(err, "a feature of two levels has others");
	return fits(f->input, f->kind == PGML_MLP_BINARY ? 1 : f->levels, h->n_inputs) ?
			   PGML_OK :
			   corrupt(err, "an input does not exist");
}

PgmlStatus
pgml_mlp_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	PgmlMlpView v;

	if (len < sizeof(PgmlMlpHeader) || (uintptr_t) payload % 8 != 0)
		return corrupt(err, "the payload is too short or not aligned");
	PGML_TRY(verify_frame(payload, len, shape, err));
	v = pgml_mlp_view(payload);
	for (int32_t i = 0; i < shape->nfeatures; i++)
	{
		const PgmlMlpFeature *f = &v.feature[i];
		bool category = !pgml_mlp_is_number(f->kind);

		if (f->kind == PGML_MLP_UNUSED)
			continue;
		if (f->kind > PGML_MLP_RANKED_PERIODIC || category != shape->categorical[i])
			return corrupt(err, "a feature is treated as of another kind");
		if (category && f->levels != (uint32_t) shape->n_levels[i])
			return corrupt(err, "a feature has other levels");
		PGML_TRY(category ? verify_category(v.header, f, err) : verify_number(v.header, f, err));
	}
	return PGML_OK;
}
