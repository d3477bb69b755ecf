/*
 * image.c - encode, verify and score model images; the layout is described in image.h.
 *
 * Trust ends at pgml_image_open(): the checksum finds accidents, but whoever can write the bytes can also
 * write a matching checksum, so every count, offset and index is bounded as if it were hostile.
 */
#include "model/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

static const uint8_t image_magic[8] = { 'P', 'G', 'M', 'L', 'I', 'M', 'G', '\0' };

#define HEADER_SIZE    32
#define DIRECTORY_SIZE 24
#define ALIGNMENT      8
#define MAX_CLASSES    100000

enum
{
	SECTION_META = 1,
	SECTION_RECIPE = 2,
	SECTION_MEMBER = 3,
	SECTION_CALIBRATION = 4,
	SECTION_BACKGROUND = 5,
	SECTION_DECISION = 6,
	SECTION_STACK = 7 /* in front of the calibration */
};

/* Header offsets of the fields that are known only at the end. */
enum
{
	OFFSET_SECTIONS = 12,
	OFFSET_LENGTH = 16,
	OFFSET_CRC = 24
};

/* Checksum of everything but itself and the zeros behind it. */
static uint32_t
checksum(const uint8_t *bytes, size_t len)
{
	uint32_t crc = pgml_crc32c(0, bytes, OFFSET_CRC);

	return pgml_crc32c(crc, bytes + HEADER_SIZE, len - HEADER_SIZE);
}

static void
put_directory_entry(PgmlBuf *out, int section, uint32_t type, size_t start)
{
	size_t entry = HEADER_SIZE + (size_t) section * DIRECTORY_SIZE;

	pgml_buf_set_u32(out, entry, type);
	pgml_buf_set_u64(out, entry + 8, start);
	pgml_buf_set_u64(out, entry + 16, out->len - start);
	pgml_buf_align(out, ALIGNMENT);
}

static void
put_meta(PgmlBuf *out, const PgmlImageSpec *spec)
{
	pgml_buf_put_u32(out, spec->task);
	pgml_buf_put_u32(out, spec->n_classes);
	pgml_buf_put_str(out, spec->target, strlen(spec->target));
	pgml_buf_put_str(out, spec->metric, strlen(spec->metric));
	for (int k = 0; spec->classes && k < spec->n_classes; k++)
		pgml_buf_put_str(out, spec->classes[k], strlen(spec->classes[k]));
}

static void
put_member(PgmlBuf *out, const PgmlMember *member)
{
	pgml_buf_put_f64(out, member->weight);
	pgml_buf_put_str(out, member->learner->name, strlen(member->learner->name));
	pgml_buf_align(out, ALIGNMENT);
	pgml_buf_put(out, member->payload, member->payload_len);
}

PgmlStatus
pgml_image_encode(const PgmlEnv *env, const PgmlImageSpec *spec, PgmlBuf *out)
{
	int n_sections = 2 + spec->n_members;
	size_t start;

	if (spec->n_members < 1 || spec->n_members > PGML_MAX_MEMBERS || out->len != 0)
		return pgml_fail(env->error, PGML_ERR_INTERNAL,
						 "a model image needs 1 to %d members, not %d", PGML_MAX_MEMBERS,
						 spec->n_members);

	pgml_buf_put(out, image_magic, sizeof(image_magic));
	pgml_buf_put_u32(out, PGML_IMAGE_VERSION);
	pgml_buf_put_u32(out, n_sections);
	pgml_buf_put(out, NULL, HEADER_SIZE - OFFSET_LENGTH);
	pgml_buf_put(out, NULL, (size_t) n_sections * DIRECTORY_SIZE);

	start = out->len;
	put_meta(out, spec);
	put_directory_entry(out, 0, SECTION_META, start);

	start = pgml_buf_put(out, spec->recipe, spec->recipe_len);
	put_directory_entry(out, 1, SECTION_RECIPE, start);

	for (int i = 0; i < spec->n_members; i++)
	{
		start = out->len;
		put_member(out, &spec->members[i]);
		put_directory_entry(out, 2 + i, SECTION_MEMBER, start);
	}

	if (out->failed)
		return pgml_fail_nomem(env, "the model image");
	pgml_buf_set_u64(out, OFFSET_LENGTH, out->len);
	pgml_buf_set_u32(out, OFFSET_CRC, checksum(out->data, out->len));
	return PGML_OK;
}

/* Move everything behind a directory of n entries, to make room for one more. */
static void
widen_directory(PgmlBuf *out, uint32_t n)
{
	size_t end = HEADER_SIZE + (size_t) n * DIRECTORY_SIZE;
	size_t len = out->len - end;

	pgml_buf_put(out, NULL, DIRECTORY_SIZE);
	memmove(out->data + end + DIRECTORY_SIZE, out->data + end, len);
	memset(out->data + end, 0, DIRECTORY_SIZE);
	for (uint32_t i = 0; i < n; i++)
	{
		size_t at = HEADER_SIZE + (size_t) i * DIRECTORY_SIZE + 8;
		PgmlReader r;

		pgml_reader_init(&r, out->data + at, sizeof(uint64_t));
		pgml_buf_set_u64(out, at, pgml_read_u64(&r) + DIRECTORY_SIZE);
	}
}

/* Make room for one more section of `size` bytes and its entry; without memory the image is what it was. */
static PgmlStatus
reserve_section(const PgmlEnv *env, size_t size, const char *what, PgmlBuf *image)
{
	pgml_buf_reserve(image, DIRECTORY_SIZE + size);
	if (!image->failed)
		return PGML_OK;
	pgml_buf_trim(image);
	return pgml_fail_nomem(env, what);
}

/* Begin a section behind the last one; the number of sections there were. */
static uint32_t
begin_section(PgmlBuf *image, size_t *start)
{
	PgmlReader r;
	uint32_t n;

	pgml_reader_init(&r, image->data + OFFSET_SECTIONS, sizeof(uint32_t));
	n = pgml_read_u32(&r);
	widen_directory(image, n);
	*start = image->len;
	return n;
}

static void
end_section(PgmlBuf *image, uint32_t n, uint32_t type, size_t start)
{
	put_directory_entry(image, (int) n, type, start);
	pgml_buf_set_u32(image, OFFSET_SECTIONS, n + 1);
	pgml_buf_set_u64(image, OFFSET_LENGTH, image->len);
	pgml_buf_set_u32(image, OFFSET_CRC, checksum(image->data, image->len));
}

PgmlStatus
pgml_image_stack(const PgmlEnv *env, const double *weight, int n_members, PgmlBuf *image)
{
	uint32_t n;
	size_t start;

	PGML_TRY(reserve_section(env, pgml_stack_bytes(n_members), "the stack", image));
	n = begin_section(image, &start);
	pgml_stack_encode(weight, n_members, image);
	end_section(image, n, SECTION_STACK, start);
	return PGML_OK;
}

PgmlStatus
pgml_image_calibrate(const PgmlEnv *env, const PgmlCalibration *calibration, PgmlBuf *image)
{
	uint32_t n;
	size_t start;

	PGML_TRY(reserve_section(env, pgml_calibration_bytes(calibration),
							 "the calibration of intervals", image));
	n = begin_section(image, &start);
	pgml_calibration_encode(calibration, image);
	end_section(image, n, SECTION_CALIBRATION, start);
	return PGML_OK;
}

PgmlStatus
pgml_image_add_background(const PgmlEnv *env, const PgmlBackground *background, PgmlBuf *image)
{
	uint32_t n;
	size_t start;

	PGML_TRY(reserve_section(env, pgml_background_bytes(background) + ALIGNMENT,
							 "the background rows of explanations", image));
	n = begin_section(image, &start);
	pgml_background_encode(background, image);
	end_section(image, n, SECTION_BACKGROUND, start);
	return PGML_OK;
}

PgmlStatus
pgml_image_decide(const PgmlEnv *env, const PgmlDecision *decision, PgmlBuf *image)
{
	uint32_t n;
	size_t start;

	PGML_TRY(reserve_section(env, pgml_decision_bytes(decision), "the decision", image));
	n = begin_section(image, &start);
	pgml_decision_encode(decision, image);
	end_section(image, n, SECTION_DECISION, start);
	return PGML_OK;
}

static PgmlStatus
corrupt(PgmlError *err, const char *what)
{
	PgmlStatus status = pgml_fail(err, PGML_ERR_CORRUPT, "model image is damaged: %s", what);

	pgml_fail_hint(err, "Restore the model from a backup, or train it again.");
	return status;
}

/* Check magic, version, length and, unless verified before, checksum; leaves the reader after the header. */
static PgmlStatus
open_header(PgmlReader *r, bool verified, uint32_t *n_sections, PgmlError *err)
{
	const uint8_t *magic = pgml_read(r, sizeof(image_magic));
	uint32_t version = pgml_read_u32(r);
	uint64_t length;
	uint32_t crc, reserved;

	*n_sections = pgml_read_u32(r);
	length = pgml_read_u64(r);
	crc = pgml_read_u32(r);
	reserved = pgml_read_u32(r);
	if (r->failed || memcmp(magic, image_magic, sizeof(image_magic)) != 0)
		return corrupt(err, "it does not begin like a model image");
	if (version != PGML_IMAGE_VERSION)
	{
		PgmlStatus status =
			pgml_fail(err, PGML_ERR_CORRUPT,
					  "model image has format version %u, this release reads version %d", version,
					  PGML_IMAGE_VERSION);

		pgml_fail_hint(err, "Install the release of pgml_auto that wrote it, or a newer one.");
		return status;
	}
	if (length != r->len)
		return corrupt(err, "its length is wrong");
	if (!verified && (crc != checksum(r->data, r->len) || reserved != 0))
		return corrupt(err, "its checksum is wrong");
	if (*n_sections < 3 || *n_sections > 6 + PGML_MAX_MEMBERS ||
		r->len < HEADER_SIZE + (size_t) *n_sections * DIRECTORY_SIZE)
		return corrupt(err, "its number of sections is wrong");
	return PGML_OK;
}

static PgmlStatus
open_meta(const uint8_t *bytes, size_t len, PgmlArena *arena, PgmlImage *image, PgmlError *err)
{
	PgmlReader r;
	uint32_t task, n_classes;

	pgml_reader_init(&r, bytes, len);
	task = pgml_read_u32(&r);
	n_classes = pgml_read_u32(&r);
	image->target = pgml_read_str(&r, NULL);
	image->metric = pgml_read_str(&r, NULL);
	if (r.failed || !((task == PGML_TASK_REGRESSION && n_classes == 1) ||
					  (task == PGML_TASK_BINARY && n_classes == 2) ||
					  (task == PGML_TASK_MULTICLASS && n_classes >= 2 && n_classes <= MAX_CLASSES)))
		return corrupt(err, "its description cannot be read");
	image->task = task;
	image->n_classes = n_classes;
	image->classes = NULL;
	if (task == PGML_TASK_REGRESSION)
		return PGML_OK;

	image->classes = pgml_array(arena, n_classes, sizeof(char *));
	if (!image->classes)
		return pgml_fail(err, PGML_ERR_NOMEM, "out of memory for the model image");
	for (uint32_t k = 0; k < n_classes; k++)
		image->classes[k] = pgml_read_str(&r, NULL);
	return r.failed ? corrupt(err, "its class labels cannot be read") : PGML_OK;
}

/* Per-feature facts in the form in which learners check payloads. */
static PgmlStatus
open_shape(PgmlArena *arena, PgmlImage *image, PgmlError *err)
{
	int32_t d = image->recipe.n_features;
	bool *categorical = pgml_array(arena, d, sizeof(bool));
	int32_t *n_levels = pgml_array(arena, d, sizeof(int32_t));

	if (!categorical || !n_levels)
		return pgml_fail(err, PGML_ERR_NOMEM, "out of memory for the model image");
	for (int32_t f = 0; f < d; f++)
	{
		PgmlFeature feature = pgml_recipe_feature(&image->recipe, f);

		categorical[f] = feature.categorical;
		n_levels[f] = feature.n_levels;
	}
	image->shape = (PgmlShape){ image->task, image->n_classes, d, categorical, n_levels };
	return PGML_OK;
}

static PgmlStatus
open_member(const uint8_t *bytes, size_t len, bool verified, PgmlImage *image, PgmlError *err)
{
	PgmlMember *member = &image->members[image->n_members];
	PgmlReader r;
	const char *name;

	pgml_reader_init(&r, bytes, len);
	member->weight = pgml_read_f64(&r);
	name = pgml_read_str(&r, NULL);
	pgml_read_align(&r, ALIGNMENT);
	if (r.failed || !isfinite(member->weight) || member->weight < 0)
		return corrupt(err, "a learner's section cannot be read");
	member->learner = pgml_learner_find(name);
	if (!member->learner || !(member->learner->tasks & image->task))
	{
		PgmlStatus status =
			pgml_fail(err, PGML_ERR_CORRUPT,
					  "model image needs the learner \"%.64s\", unknown to this release", name);

		pgml_fail_hint(err, "Install the release of pgml_auto that wrote it, or a newer one.");
		return status;
	}
	member->payload = bytes + r.pos;
	member->payload_len = len - r.pos;
	image->n_members++;
	if (verified)
		return PGML_OK;
	return member->learner->verify(member->payload, member->payload_len, &image->shape, err);
}

static PgmlStatus
open_stack(const uint8_t *bytes, size_t len, PgmlImage *image, PgmlError *err)
{
	double weight[PGML_MAX_MEMBERS];

	PGML_TRY(pgml_stack_open(bytes, len, image->task, image->n_members, weight, err));
	for (int i = 0; i < image->n_members; i++)
		image->members[i].stack = weight[i];
	image->stacked = true;
	return PGML_OK;
}

/* Section number i: type and a slice inside the image. */
static bool
read_section(const uint8_t *bytes, size_t len, uint32_t i, uint32_t *type, const uint8_t **start,
			 size_t *size)
{
	PgmlReader r;
	uint64_t offset, length;

	pgml_reader_init(&r, bytes + HEADER_SIZE + (size_t) i * DIRECTORY_SIZE, DIRECTORY_SIZE);
	*type = pgml_read_u32(&r);
	pgml_read_u32(&r);
	offset = pgml_read_u64(&r);
	length = pgml_read_u64(&r);
	if (offset % ALIGNMENT != 0 || offset > len || length > len - offset)
		return false;
	*start = bytes + offset;
	*size = length;
	return true;
}

/* Place of a type in the order of sections. */
static uint32_t
place(uint32_t type)
{
	if (type == SECTION_STACK)
		return SECTION_MEMBER + 1;
	return type > SECTION_MEMBER ? type + 1 : type;
}

/* Which type section i may have after one of type `previous`: members, then what may be missing, each once. */
static bool
type_is_right(uint32_t i, uint32_t previous, uint32_t type)
{
	if (i < 2)
		return type == (i == 0 ? SECTION_META : SECTION_RECIPE);
	if (type == SECTION_MEMBER)
		return previous <= SECTION_MEMBER && i < 2 + PGML_MAX_MEMBERS;
	return i > 2 && place(type) > place(previous) && type <= SECTION_STACK;
}

static PgmlStatus
check_directory(const uint8_t *bytes, size_t len, uint32_t n_sections, PgmlError *err)
{
	uint32_t previous = 0;

	for (uint32_t i = 0; i < n_sections; i++)
	{
		uint32_t type;
		const uint8_t *start;
		size_t size;

		if (!read_section(bytes, len, i, &type, &start, &size) || !type_is_right(i, previous, type))
			return corrupt(err, "its directory is wrong");
		previous = type;
	}
	return PGML_OK;
}

/* The weights of the members add up to 1, so that averages of probabilities are probabilities. */
static PgmlStatus
check_weights(const PgmlImage *image, PgmlError *err)
{
	double sum = 0;

	for (int i = 0; i < image->n_members; i++)
		sum += image->members[i].weight;
	return fabs(sum - 1) <= 1e-6 ? PGML_OK : corrupt(err, "its weights do not add up to 1");
}

/* Make the view; what takes long is left out when the bytes were verified before. */
static PgmlStatus
open_image(const uint8_t *bytes, size_t len, bool verified, PgmlArena *arena, PgmlImage *image,
		   PgmlError *err)
{
	PgmlReader r;
	uint32_t n_sections;

	memset(image, 0, sizeof(*image));
	image->bytes = bytes;
	image->len = len;
	pgml_reader_init(&r, bytes, len);
	PGML_TRY(open_header(&r, verified, &n_sections, err));
	PGML_TRY(check_directory(bytes, len, n_sections, err));

	for (uint32_t i = 0; i < n_sections; i++)
	{
		uint32_t type;
		const uint8_t *start;
		size_t size;

		if (!read_section(bytes, len, i, &type, &start, &size))
			return corrupt(err, "its directory is wrong");
		if (type == SECTION_META)
			PGML_TRY(open_meta(start, size, arena, image, err));
		else if (type == SECTION_RECIPE)
		{
			PGML_TRY(pgml_recipe_open(start, size, &image->recipe, err));
			PGML_TRY(open_shape(arena, image, err));
		}
		else if (type == SECTION_MEMBER)
			PGML_TRY(open_member(start, size, verified, image, err));
		else if (type == SECTION_STACK)
			PGML_TRY(open_stack(start, size, image, err));
		else if (type == SECTION_CALIBRATION)
			PGML_TRY(pgml_calibration_open(start, size, image->task, &image->calibration, err));
		else if (type == SECTION_BACKGROUND)
			PGML_TRY(
				pgml_background_open(start, size, image->shape.nfeatures, &image->background, err));
		else
			PGML_TRY(pgml_decision_open(start, size, image->n_classes, &image->decision, err));
	}
	return check_weights(image, err);
}

PgmlStatus
pgml_image_open(const uint8_t *bytes, size_t len, PgmlArena *arena, PgmlImage *image,
				PgmlError *err)
{
	return open_image(bytes, len, false, arena, image, err);
}

PgmlStatus
pgml_image_attach(const uint8_t *bytes, size_t len, PgmlArena *arena, PgmlImage *image,
				  PgmlError *err)
{
	return open_image(bytes, len, true, arena, image, err);
}

int
pgml_image_outputs(const PgmlImage *image)
{
	return pgml_task_outputs(image->task, image->n_classes);
}

void
pgml_image_begin(const PgmlImage *image, int64_t n, double *out)
{
	int64_t size = n * pgml_image_outputs(image);
	const PgmlMember *first = &image->members[0];

	if (image->stacked)
		for (int64_t j = 0; j < size; j++)
			out[j] = first->stack * pgml_stack_log(image->task, out[j]);
	else if (image->n_members > 1)
		for (int64_t j = 0; j < size; j++)
			out[j] *= first->weight;
}

void
pgml_image_add(const PgmlImage *image, int member, int64_t n, const double *single, double *out)
{
	int64_t size = n * pgml_image_outputs(image);
	const PgmlMember *own = &image->members[member];

	if (image->stacked)
		pgml_stack_add(image->task, own->stack, size, single, out);
	else
		for (int64_t j = 0; j < size; j++)
			out[j] += own->weight * single[j];
}

void
pgml_image_finish(const PgmlImage *image, int64_t n, double *out)
{
	int64_t size = n * pgml_image_outputs(image);

	if (image->stacked)
		pgml_stack_finish(image->task, image->n_classes, n, out);
	else if (image->task != PGML_TASK_REGRESSION)
		for (int64_t j = 0; j < size; j++)
			out[j] =
				out[j] > 1 ? 1 : out[j]; /* rounded weights may add up to a little more than 1 */
}

void
pgml_image_predict(const PgmlImage *image, const float *x, int64_t n, double *out, double *scratch)
{
	for (int i = 0; i < image->n_members; i++)
	{
		const PgmlMember *member = &image->members[i];

		member->learner->predict(member->payload, &image->shape, x, n, i > 0 ? scratch : out);
		if (i == 0)
			pgml_image_begin(image, n, out);
		else
			pgml_image_add(image, i, n, scratch, out);
	}
	pgml_image_finish(image, n, out);
}

int
pgml_image_class(const PgmlImage *image, const double *out)
{
	return pgml_decide(&image->decision, image->task, image->n_classes, out);
}

/* For qsort: by falling probability; equal ones as the classes come. */
static int
compare_ranked(const void *a, const void *b)
{
	const PgmlRankedClass *x = a, *y = b;

	if (x->probability != y->probability)
		return x->probability > y->probability ? -1 : 1;
	return x->class < y->class ? -1 : 1;
}

static double
class_probability(const PgmlImage *image, const double *out, int32_t class)
{
	if (image->task == PGML_TASK_BINARY)
		return class == 1 ? out[0] : 1 - out[0];
	return out[class];
}

int32_t
pgml_image_class_set(const PgmlImage *image, const double *out, double level, PgmlRankedClass *set)
{
	double most = pgml_calibration_score(&image->calibration, level);
	int32_t predicted = pgml_image_class(image, out);
	int32_t n = 1;

	set[0] = (PgmlRankedClass){ class_probability(image, out, predicted), predicted };
	for (int32_t k = 0; k < image->n_classes; k++)
	{
		double p = class_probability(image, out, k);

		if (k != predicted && 1 - p <= most)
			set[n++] = (PgmlRankedClass){ p, k };
	}
	qsort(set + 1, (size_t) (n - 1), sizeof(*set), compare_ranked);
	return n;
}
