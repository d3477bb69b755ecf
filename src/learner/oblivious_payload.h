/*
 * oblivious_payload.h - the stored form of the model.
 *
 *   PgmlOblHeader
 *   f64 init[n_outputs]               score before the first tree
 *   PgmlOblTableHead table[n_tables]  statistics of categories and combinations: line table * width + place is a statistic
 *   u32 first[2 * (n_trees + 1)]      of each tree, and of their end: first split, first value
 *   PgmlOblStored split[n_splits]
 *   f64 value[n_values]               [leaf * n_outputs + output] of each tree
 *   u8 unseen[width]                  statistics of buckets that are in no table; padded to a multiple of 8
 *   f32 cover[n_values / n_outputs]   of each leaf, rows by their weight; padded to a multiple of 8; not in format 1
 *   u8 slots[table_bytes]             of the tables: keys of hashed ones (u64), then width bytes a slot
 *
 * An oblivious tree of n splits has 2^n leaves, a depth-wise one of 2^n - 1 as well.  Key of a bucket: the levels' digits
 * (pgml_obl_digit()), the first feature's the highest.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_PAYLOAD_H
#define PGML_LEARNER_OBLIVIOUS_PAYLOAD_H

#include "learner/oblivious.h"
#include "learner/oblivious_ctr.h"

#define PGML_OBL_FORMAT           2
#define PGML_OBL_FORMAT_NO_COVERS 1 /* still read; explanations need the covers */

/* Statistics that a model has at most: a row's are kept on the stack. */
#define PGML_OBL_MAX_LINES 4096

typedef struct PgmlOblHeader
{
	uint32_t format;
	uint32_t n_outputs;
	uint32_t n_trees;
	uint32_t depthwise; /* 0 or 1 */
	uint32_t max_bin;   /* levels from max_bin - 1 on are one */
	uint32_t width;     /* statistics of a table */
	uint32_t n_tables;
	uint32_t n_splits;
	uint32_t n_values;
	uint32_t reserved;
	uint64_t table_bytes;
} PgmlOblHeader;

#define PGML_OBL_IS_NUMBER 0x00000000u /* x > threshold; missing: false */
#define PGML_OBL_IS_LEVEL  0x40000000u /* bin of the level equals value */
#define PGML_OBL_IS_LINE   0x80000000u /* statistic > value */
#define PGML_OBL_IS_FALSE  0xc0000000u /* no question */
#define PGML_OBL_KIND      0xc0000000u
#define PGML_OBL_INPUT     0x3fffffffu

typedef struct PgmlOblStored
{
	uint32_t input; /* kind, and the feature or the line */
	union
	{
		float threshold;
		uint32_t value;
	} u;
} PgmlOblStored;

/* Pointers into a payload. */
typedef struct PgmlOblView
{
	const PgmlOblHeader *header;
	const double *init;
	const PgmlOblTableHead *table;
	const uint32_t *first;
	const PgmlOblStored *split;
	const double *value;
	const uint8_t *unseen;
	const float *cover; /* NULL in format 1 */
	const uint8_t *slots;
	uint64_t len; /* that the header asks for; UINT64_MAX: too much */
} PgmlOblView;

/* Follow a payload's header.  Of a payload that was not verified only len may be used. */
extern PgmlOblView pgml_obl_view(const uint8_t *payload);

/* Levels of a tree of n splits. */
static inline uint32_t
pgml_obl_depth(const PgmlOblView *v, uint32_t n_splits)
{
	uint32_t depth = 0;

	if (!v->header->depthwise)
		return n_splits;
	while ((UINT32_C(1) << depth) - 1 < n_splits)
		depth++;
	return depth;
}

/* Trees on their way to a payload. */
typedef struct PgmlOblForest
{
	PgmlBuf init;
	PgmlBuf split;
	PgmlBuf value;
	PgmlBuf cover;
	PgmlBuf table;
	PgmlBuf slots;
	PgmlBuf end;    /* PgmlOblEnd per tree */
	int32_t *given; /* per projection: number of its table, or -1 */
} PgmlOblForest;

extern void pgml_obl_forest_init(PgmlOblForest *forest, PgmlBudget *budget);
extern void pgml_obl_forest_free(PgmlOblForest *forest);

/* Bytes of the payload that the trees would make; may it have more statistics, given the bound of its size? */
extern int64_t pgml_obl_forest_bytes(const PgmlOblForest *forest);
extern bool pgml_obl_forest_is_full(const PgmlOblForest *forest, uint32_t width,
									int64_t max_payload);

/* Append a tree, and the tables that it needs. */
extern PgmlStatus pgml_obl_forest_add(const PgmlEnv *env, PgmlOblForest *forest,
									  const PgmlOblTree *tree, int n_outputs, const PgmlBins *bins,
									  PgmlOblCtr *ctr);

/*
 * The payload of the first n_trees trees, appended to out; of the header, n_outputs, depthwise, max_bin and width are
 * given; unseen: as in the payload.  The forest stays as it is.
 */
extern PgmlStatus pgml_obl_encode(const PgmlEnv *env, const PgmlOblForest *forest, int64_t n_trees,
								  const PgmlOblHeader *header, const uint8_t *unseen, PgmlBuf *out);

/* The learner's trees(), verify() and predict(). */
extern PgmlStatus pgml_obl_trees(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
								 const PgmlShape *shape, PgmlTrees *out);
extern PgmlStatus pgml_obl_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
								  PgmlError *err);
extern void pgml_obl_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
							 int64_t n, double *out);

/* The statistics of a row, PGML_OBL_MAX_LINES of them at most: feature f is x[f * stride]. */
extern void pgml_obl_look_up(const PgmlOblView *v, const PgmlShape *shape, const float *x,
							 int64_t stride, uint8_t *lines);

#endif
