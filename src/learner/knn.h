/*
 * knn.h - what the files of learner `knn` share: the stored form, the prepared one, and the kernels.
 *
 * Rows in the design of a model, float32: dense columns first (numbers, and 1 where a number is missing), then categories, a level
 * each.  The distance of two rows is that of their one-hot forms: two levels that differ add 1 + 1, to the sum of the squares or of the
 * absolute differences alike.
 *
 * Distances that decide are doubles, of one function, pgml_knn_distance(), whatever the way to the neighbours: kernels find rows that may
 * be near in float32, with room for all rounding, and only those are measured.  So neighbours do not depend on the processor, on
 * blocks or on the tree.  Equal distances: the earlier row is nearer.
 */
#ifndef PGML_LEARNER_KNN_H
#define PGML_LEARNER_KNN_H

#include <math.h>

#include "learner/learner.h"

/* Stored in payloads: never renumber. */
enum
{
	PGML_KNN_MANHATTAN = 1,
	PGML_KNN_EUCLIDEAN = 2
};

enum
{
	PGML_KNN_UNIFORM = 0,
	PGML_KNN_DISTANCE = 1
};

enum
{
	PGML_KNN_AUTO = 0,
	PGML_KNN_BRUTE = 1,
	PGML_KNN_TREE = 2
};

enum
{
	PGML_KNN_NONE = 0, /* a number that tells nothing: constant or always missing */
	PGML_KNN_NUMBER = 1,
	PGML_KNN_CATEGORY = 2
};

#define PGML_KNN_VERSION    1u
#define PGML_KNN_NO_COLUMN  UINT32_MAX
#define PGML_KNN_NEIGHBOURS 1000      /* at most */
#define PGML_KNN_COLUMNS    8192      /* of the design, at most: a row of it is kept on the stack */
#define PGML_KNN_LEVELS     (1 << 24) /* of a category, at most: a float tells them apart */

/* Dense columns are cut off here, so that no sum of squares is infinite, not even as a float. */
#define PGML_KNN_LARGEST 1e15f

/*
 * Start of a payload.  Then come a PgmlKnnFeature per feature, the targets of the rows (f64: value or class), their weights (f64, only
 * where `weighted`), and the rows of the design, padded with zeros to 8 bytes.
 */
typedef struct PgmlKnnHeader
{
	uint32_t version;
	uint32_t task;
	uint32_t classes;
	uint32_t nfeatures;
	uint32_t metric;
	uint32_t vote;
	uint32_t algorithm;
	uint32_t k; /* neighbours, no more than rows */
	uint32_t dense;
	uint32_t categories;
	uint32_t rows;
	uint32_t weighted;
} PgmlKnnHeader;

/* How a feature becomes columns of the design. */
typedef struct PgmlKnnFeature
{
	uint32_t kind;
	uint32_t column;  /* its place in a row of the design */
	uint32_t missing; /* number: the column that says that it is missing, or PGML_KNN_NO_COLUMN */
	uint32_t levels;  /* category: a value that is no level counts as one more, number `levels` */
	double mean, factor; /* number: (x - mean) * factor */
	float fill;          /* number: stands for missing ones, in the design */
	float reserved;
} PgmlKnnFeature;

/* A verified payload. */
typedef struct PgmlKnnView
{
	const PgmlKnnHeader *header;
	const PgmlKnnFeature *features;
	const double *y;
	const double *w; /* NULL: all 1 */
	const float *row;
	int32_t dense;
	int32_t width; /* dense columns and categories */
} PgmlKnnView;

static inline PgmlKnnView
pgml_knn_view(const uint8_t *payload)
{
	PgmlKnnView v = { .header = (const PgmlKnnHeader *) payload };
	const double *end;

	v.features = (const PgmlKnnFeature *) (v.header + 1);
	v.y = (const double *) (v.features + v.header->nfeatures);
	end = v.y + v.header->rows;
	if (v.header->weighted)
	{
		v.w = end;
		end += v.header->rows;
	}
	v.row = (const float *) end;
	v.dense = (int32_t) v.header->dense;
	v.width = (int32_t) (v.header->dense + v.header->categories);
	return v;
}

static inline float
pgml_knn_cut(double x)
{
	return (float) (x > PGML_KNN_LARGEST ? PGML_KNN_LARGEST :
										   (x < -PGML_KNN_LARGEST ? -PGML_KNN_LARGEST : x));
}

/* What a value of a feature puts into a row of the design. */
static inline void
pgml_knn_place(const PgmlKnnFeature *f, float x, float *row)
{
	if (f->kind == PGML_KNN_CATEGORY)
		row[f->column] = x >= 0 && x < (float) f->levels ? (float) (uint32_t) x : (float) f->levels;
	else if (f->kind == PGML_KNN_NUMBER)
	{
		row[f->column] = isnan(x) ? f->fill : pgml_knn_cut(((double) x - f->mean) * f->factor);
		if (f->missing != PGML_KNN_NO_COLUMN)
			row[f->missing] = isnan(x) ? 1 : 0;
	}
}

/* The distance of two rows of the design, squared when it is Euclidean. */
extern double pgml_knn_distance(const PgmlKnnView *v, const float *a, const float *b);

/* ---- the nearest so far: a heap with the farthest of them on top ---- */

typedef struct PgmlKnnNeighbour
{
	double distance; /* squared when it is Euclidean */
	int64_t row;
} PgmlKnnNeighbour;

/* Note a row unless k of the n noted ones are nearer. */
extern void pgml_knn_offer(PgmlKnnNeighbour *heap, int32_t k, int32_t *n, double distance,
						   int64_t row);

/* The distance above which a row is none of the k nearest. */
static inline double
pgml_knn_bound(const PgmlKnnNeighbour *heap, int32_t k, int32_t n)
{
	return n < k ? INFINITY : heap[0].distance;
}

/* Predictions from the k nearest; sorts them. */
extern void pgml_knn_decide(const PgmlKnnView *v, PgmlKnnNeighbour *heap, int32_t n, double *out);

/* ---- kernels: rows that may be near ---- */

/* Rows of a panel: their columns lie together, panel[column * PGML_KNN_PANEL + row]. */
#define PGML_KNN_PANEL 32

/* Rows to predict that are compared with a panel at once; fewer than FEW are compared one by one. */
#define PGML_KNN_GROUP 12
#define PGML_KNN_FEW   3

/* The kernels of one kind of processor; all give the same but for rounding. */
typedef struct PgmlKnnKernel
{
	const char *name;
	bool (*runs_here)(void);

	/*
	 * Sets bit r of mask[q] where start[r] + the scalar product of row r and query q - levels that differ >= least[q];
	 * query[column * PGML_KNN_GROUP + q].
	 */
	void (*tile)(const float *panel, const float *query, int32_t dense, int32_t width,
				 const float *start, const float *least, uint32_t *mask);

	/* The rows whose distance to one query is at most `most` (squared when it is Euclidean), a bit each. */
	uint32_t (*near)(const float *panel, const float *query, int32_t dense, int32_t width,
					 bool manhattan, float most);
} PgmlKnnKernel;

extern const PgmlKnnKernel *const *
pgml_knn_kernels(int *n); /* best first; the last runs anywhere */
extern const PgmlKnnKernel pgml_knn_kernel_plain;
#if defined(__x86_64__) && defined(__GNUC__)
extern const PgmlKnnKernel pgml_knn_kernel_avx2;
extern const PgmlKnnKernel pgml_knn_kernel_avx512;
#endif

/* ---- the prepared form ---- */

/*
 * A node of the tree: columns at most left_high on the left, at least right_low on the right.  A tree over p panels is its root, the tree
 * over the first (p + 1) / 2 and the tree over the others: 2 p - 1 nodes, of which those of one panel are leaves.
 */
typedef struct PgmlKnnNode
{
	int32_t column;
	float left_high;
	float right_low;
} PgmlKnnNode;

/* Offsets are in bytes from the start; everything begins at a multiple of 64. */
typedef struct PgmlKnnPrepared
{
	uint64_t size;
	uint64_t panels;  /* f32[n_panels][width][PGML_KNN_PANEL] */
	uint64_t start;   /* f32[n_panels][PGML_KNN_PANEL]: what tile() wants; tree: none */
	uint64_t number;  /* i32[n_panels][PGML_KNN_PANEL]: row of the payload; -1: none */
	uint64_t node;    /* PgmlKnnNode[2 n_panels - 1]; 0: there is no tree */
	uint64_t scratch; /* bytes */
	uint32_t n_panels;
	uint32_t kernel; /* number among pgml_knn_kernels() */
	uint64_t reserved;
} PgmlKnnPrepared;

static inline const void *
pgml_knn_at(const PgmlKnnPrepared *p, uint64_t offset)
{
	return (const char *) p + offset;
}

/* Room for rounding in float32, as a share of what is summed up in so many steps. */
static inline double
pgml_knn_slack(int32_t width)
{
	return 4.0 * (width + 4) * 0x1p-24;
}

/* The distance in float32 up to which a row may be as near as `bound`; there is also room for numbers too small for a float. */
static inline float
pgml_knn_most(double bound, double slack)
{
	return (float) (bound * (1 + slack) + 1e-35);
}

/* ---- knn_payload.c ---- */

extern PgmlStatus pgml_knn_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
								  PgmlError *err);
extern void pgml_knn_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
							 int64_t n, double *out);

/* ---- knn_prepare.c ---- */

/* As the learner's, for a kernel by its number. */
extern PgmlStatus pgml_knn_prepare_for(const PgmlEnv *env, PgmlArena *arena, int kernel,
									   const uint8_t *payload, const void **prepared);
extern PgmlStatus pgml_knn_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
								   const PgmlShape *shape, const void **prepared);
extern size_t pgml_knn_prepared_size(const void *prepared);
extern size_t pgml_knn_scratch(const void *prepared);

/* Bytes of the prepared form of so many rows, and of making it, at most. */
extern int64_t pgml_knn_prepare_memory(int64_t rows, int64_t width, int64_t k);

/* ---- knn_tree.c ---- */

/*
 * Put the rows, in number[], into the order of a tree's leaves, and fill its nodes.  scratch: 8 bytes a row.
 * PGML_ERR_CANCELLED without a message when stopped.
 */
extern PgmlStatus pgml_knn_tree(const PgmlEnv *env, const PgmlKnnView *v, int32_t *number,
								uint64_t *scratch, PgmlKnnNode *node);

/* ---- knn_search.c ---- */

extern void pgml_knn_predict_block(const void *prepared, const uint8_t *payload,
								   const PgmlShape *shape, const PgmlBlock *block, double *out,
								   void *scratch);

/* As the learner's. */
extern int64_t pgml_knn_rows_at_once(const uint8_t *payload, const void *prepared);

/* Bytes of scratch memory for PGML_BLOCK_ROWS rows. */
extern uint64_t pgml_knn_search_scratch(int64_t width, int64_t dense, int64_t k);

#endif
