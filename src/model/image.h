/*
 * image.h - the trained pipeline as one flat, versioned, checksummed, position-independent byte string.
 *
 * Layout (little-endian; every section starts at a multiple of 8):
 *   header    magic "PGMLIMG\0", u32 format version, u32 section count, u64 total length, u32 CRC32C of all
 *             bytes but the last eight of the header, u32 zero
 *   directory per section: u32 type, u32 reserved, u64 offset, u64 length
 *   sections  META (task, target, classes, metric), RECIPE (prep/recipe.h), MEMBER * n (learner name, weight, payload), and
 *             STACK (model/stack.h), CALIBRATION (model/calibration.h), BACKGROUND (model/background.h) and DECISION
 *             (model/decision.h), which may be missing
 *
 * Open verifies everything once; after that predictions follow offsets without checks.  The bytes may lie anywhere
 * 8-byte aligned: a palloc'ed chunk or shared memory.
 */
#ifndef PGML_MODEL_IMAGE_H
#define PGML_MODEL_IMAGE_H

#include "core/buf.h"
#include "core/env.h"
#include "data/value.h"
#include "learner/learner.h"
#include "model/background.h"
#include "model/calibration.h"
#include "model/decision.h"
#include "model/stack.h"
#include "prep/recipe.h"

#define PGML_IMAGE_VERSION 1
#define PGML_MAX_MEMBERS   128

/*
 * One fitted learner of the ensemble.  Predictions are averaged with the weights, which add up to 1; in a stacked image the weights say how much
 * members count, and predictions are stacked (stats/stack.h) with the weights of the stack.
 */
typedef struct PgmlMember
{
	const PgmlLearner *learner;
	double weight;
	const uint8_t *payload;
	size_t payload_len;
	double stack;
} PgmlMember;

/* What an image is made of. */
typedef struct PgmlImageSpec
{
	PgmlTask task;
	int n_classes;
	const char *const *classes; /* NULL for regression; binary: [1] is positive */
	const char *target;         /* name of the target column */
	const char *metric;
	const uint8_t *recipe;
	size_t recipe_len;
	const PgmlMember *members;
	int n_members;
} PgmlImageSpec;

/* Append the image to out (which must be empty). */
extern PgmlStatus pgml_image_encode(const PgmlEnv *env, const PgmlImageSpec *spec, PgmlBuf *out);

/*
 * Stack the members of an image of classes with these weights, one each, as the first section behind them; fails as pgml_image_calibrate() does.
 */
extern PgmlStatus pgml_image_stack(const PgmlEnv *env, const double *weight, int n_members,
								   PgmlBuf *image);

/*
 * Add the calibration to an image that has none.  Without memory for it, PGML_ERR_NOMEM or PGML_ERR_LIMIT, the image is
 * what it was.
 */
extern PgmlStatus pgml_image_calibrate(const PgmlEnv *env, const PgmlCalibration *calibration,
									   PgmlBuf *image);

/* Add background rows to an image that has none, after the calibration, if there is one; fails as pgml_image_calibrate() does. */
extern PgmlStatus pgml_image_add_background(const PgmlEnv *env, const PgmlBackground *background,
											PgmlBuf *image);

/* Say how classes are chosen, in an image that does not, as the last section; fails as pgml_image_calibrate() does. */
extern PgmlStatus pgml_image_decide(const PgmlEnv *env, const PgmlDecision *decision,
									PgmlBuf *image);

/* A verified view; holds no memory of its own except what is in the struct. */
typedef struct PgmlImage
{
	const uint8_t *bytes;
	size_t len;
	PgmlTask task;
	int n_classes;
	const char *target;
	const char *metric;
	PgmlRecipe recipe;
	int n_members;
	PgmlMember members[PGML_MAX_MEMBERS];
	bool stacked;                /* else predictions are averaged */
	PgmlCalibration calibration; /* n = 0: none */
	PgmlBackground background;   /* n = 0: none */
	PgmlDecision decision;       /* n_classes = 0: the most probable class */
	/* Arrays that verify() and predict() need; allocated by pgml_image_open in `arena`. */
	const char **classes;
	PgmlShape shape;
} PgmlImage;

/*
 * Verify bytes and make the view; small arrays are allocated in arena.  PGML_ERR_CORRUPT (message says what is wrong;
 * a newer format version says so and hints at upgrading) for anything that is not an image we can score.
 */
extern PgmlStatus pgml_image_open(const uint8_t *bytes, size_t len, PgmlArena *arena,
								  PgmlImage *image, PgmlError *err);

/*
 * The same view of bytes that pgml_image_open() has verified, in this process or another one that shares the memory: neither
 * checksums nor the learners' sections are read, so that it takes microseconds whatever the length.
 */
extern PgmlStatus pgml_image_attach(const uint8_t *bytes, size_t len, PgmlArena *arena,
									PgmlImage *image, PgmlError *err);

/* Numbers a prediction has: pgml_task_outputs(). */
extern int pgml_image_outputs(const PgmlImage *image);

/*
 * Predict n rows of features (row-major, image->recipe.n_features a row): out is n x outputs, scratch holds n x outputs.
 */
extern void pgml_image_predict(const PgmlImage *image, const float *x, int64_t n, double *out,
							   double *scratch);

/* The predicted class: by the image's decision, else the one with the largest probability (binary: 1 when p >= 0.5). */
extern int pgml_image_class(const PgmlImage *image, const double *out);

/*
 * What members predict for n rows, put together: begin with the first member's predictions in out, add those of the members 1, 2, ... and
 * finish.  All n x outputs.
 */
extern void pgml_image_begin(const PgmlImage *image, int64_t n, double *out);
extern void pgml_image_add(const PgmlImage *image, int member, int64_t n, const double *single,
						   double *out);
extern void pgml_image_finish(const PgmlImage *image, int64_t n, double *out);

/* A class and its probability. */
typedef struct PgmlRankedClass
{
	double probability;
	int32_t class;
} PgmlRankedClass;

/*
 * The classes of which one is the true one with probability `level`, 0 < level < 1, by the image's calibration, which must be
 * there: the predicted class first, then by falling probability.  Fills set, which has room for all classes, and returns
 * their number: at least one, and all where too few rows were scored for the level.
 */
extern int32_t pgml_image_class_set(const PgmlImage *image, const double *out, double level,
									PgmlRankedClass *set);

#endif
