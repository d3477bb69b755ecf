/*
 * forest_payload.h - the stored form of a forest.
 *
 *   PgmlForestHeader
 *   PgmlForestNode node[n_nodes]      tree after tree, parents before their children, one child next to its parent
 *   u32 word[n_words]                 several classes: distributions in leaves; padded to a multiple of 8
 *   u64 start[2 * (n_trees + 1)]      per tree its first node and word, and the ends
 *   f64 prior[n_outputs]              shares of the classes; 0 for regression
 *   PgmlForestLine line[n_lines]
 *   f32 cut[n_cuts]                   of the numeric lines, ascending in each; padded to a multiple of 8
 *   u8  table[n_bytes]                of the categorical lines; padded to a multiple of 8
 *   u8  cover[8 * cover_words]        covers of the leaves, see below; not in format 1
 *
 * A line makes a byte of a feature.  Of a number: how many of its cuts are less; of a category: the table's byte for its bin.
 * Missing values are the least byte in some lines and the greatest in others, so that every split is one comparison with its cut.
 *
 * The prediction is the mean over the trees; of numbers it is scaled and shifted back.
 *
 * A leaf's cover is the weight of the rows that it was grown from: drawn rows as often as they were drawn, class weights not counted in.  Covers
 * come tree after tree, in the order in which a walk arrives that goes to the next node first; a leaf that several nodes share has one for
 * each of them.  Whole numbers below PGML_FOREST_COVER are a byte, all others that byte and a float; zeros fill up the end.
 */
#ifndef PGML_LEARNER_FOREST_PAYLOAD_H
#define PGML_LEARNER_FOREST_PAYLOAD_H

#include "core/buf.h"
#include "data/bins.h"
#include "learner/learner.h"

#define PGML_FOREST_FORMAT           2
#define PGML_FOREST_FORMAT_NO_COVERS 1 /* still read; explanations need the covers */

#define PGML_FOREST_COVER 255

typedef struct PgmlForestHeader
{
	uint32_t format;
	uint32_t n_outputs;
	uint32_t n_trees;
	uint32_t n_lines;
	uint64_t n_nodes;
	uint64_t n_words;
	uint32_t n_cuts;
	uint32_t n_bytes;
	uint32_t max_bin;     /* levels from max_bin - 1 on are one */
	uint32_t cover_words; /* of 8 bytes */
	double center, scale;
} PgmlForestHeader;

/*
 * Eight bytes a node.  A split: one child, the larger one, comes next in the tree, that of rows whose byte is less than the cut, or
 * with PGML_FOREST_OTHERS_NEXT that of the others; link is the place of the second child, which several nodes may share when it is a
 * leaf.  A leaf (cut 0, line 0): link is its value as a float; of several classes the place of its distribution among the tree's
 * words, or, with PGML_FOREST_PURE, its class.
 */
typedef struct PgmlForestNode
{
	uint32_t link;
	uint16_t line;
	uint8_t cut;
	uint8_t flag;
} PgmlForestNode;

#define PGML_FOREST_OTHERS_NEXT 1 /* a split's flag */
#define PGML_FOREST_PURE        1 /* a leaf's */

/* Does a row with this byte go on to the next node of the tree? */
static inline bool
pgml_forest_goes_next(const PgmlForestNode *split, uint8_t byte)
{
	return (byte < split->cut) ^ split->flag;
}

/* Words of a distribution: number of classes; f32 share of the prior in it; then class and f32 share for each. */
#define PGML_FOREST_LEAF_WORDS(classes) (2 + 2 * (size_t) (classes))

/* The bytes of a feature: cut[first .. first + n) of a number, table[first .. first + n) of a category. */
typedef struct PgmlForestLine
{
	uint32_t feature;
	uint32_t first;
	uint16_t n;
	uint8_t categorical;
	uint8_t
		missing; /* byte of missing values: 0 or 255; ranks of numbers begin above it, at 1 or 0 */
	uint32_t reserved;
} PgmlForestLine;

#define PGML_FOREST_MAX_LINES 65536 /* that a node can name */
#define PGML_FOREST_MAX_CUTS  254   /* of a line */

/* Pointers into a payload. */
typedef struct PgmlForestView
{
	const PgmlForestHeader *header;
	const PgmlForestNode *node;
	const uint32_t *word;
	const uint64_t *start;
	const double *prior;
	const PgmlForestLine *line;
	const float *cut;
	const uint8_t *table;
	const uint8_t *cover; /* NULL in format 1 */
	uint64_t len;         /* that the header asks for; UINT64_MAX when no payload can be so long */
} PgmlForestView;

/* Bin of a categorical value, as in data/bins.h: 0 for what is missing or no level. */
static inline uint32_t
pgml_forest_level_bin(float x, int32_t n_levels, uint32_t max_bin)
{
	if (!(x >= 0 && x < (float) n_levels))
		return 0;
	return ((uint32_t) x < max_bin - 1 ? (uint32_t) x : max_bin - 1) + 1;
}

/* Bins of a categorical feature, that of missing values included. */
static inline uint32_t
pgml_forest_level_bins(int32_t n_levels, uint32_t max_bin)
{
	return ((uint32_t) n_levels < max_bin ? (uint32_t) n_levels : max_bin) + 1;
}

/* Follow a payload's header.  Of a payload that was not verified only header and len may be used. */
extern PgmlForestView pgml_forest_view(const uint8_t *payload);

/* Trees on their way to a payload, which grows in `out`. */
typedef struct PgmlForestWriter
{
	PgmlBuf *out;
	PgmlBuf word;
	PgmlBuf start; /* u64 pairs: first node and word of each tree, and the ends */
	PgmlBuf cover;
	PgmlBuf cover_end; /* u64: of each tree */
} PgmlForestWriter;

/* What the writer must know of the features that trees were grown on; line 2 j and 2 j + 1 are of the j-th. */
typedef struct PgmlForestLines
{
	int32_t n_features;
	const int32_t *feature;     /* of the matrix */
	const uint8_t *const *rank; /* of a category: byte for each bin; NULL: a number */
	const PgmlBins *bins;
	const PgmlFeature *features;
} PgmlForestLines;

extern void pgml_forest_write_begin(PgmlForestWriter *writer, PgmlBuf *out);
extern void pgml_forest_write_free(PgmlForestWriter *writer);

/* Append a cover to those of a tree. */
extern void pgml_forest_put_cover(PgmlBuf *cover, double weight);

/* Append a tree's nodes, words and covers; false when memory is short: the trees before it are still there. */
extern bool pgml_forest_write_tree(PgmlForestWriter *writer, const PgmlForestNode *node,
								   size_t n_nodes, const uint32_t *word, size_t n_words,
								   const uint8_t *cover, size_t cover_bytes);

/* Trees, and bytes of the payload that they would make, tables of the lines excepted. */
extern int64_t pgml_forest_written(const PgmlForestWriter *writer);
extern int64_t pgml_forest_written_bytes(const PgmlForestWriter *writer);

/* Drop all trees but the first n. */
extern void pgml_forest_write_cut(PgmlForestWriter *writer, int64_t n);

/*
 * Complete the payload: only lines and cuts that some node uses are kept.  header: n_outputs, max_bin, center and scale are
 * given.  PGML_ERR_NOMEM or _LIMIT without a change when memory does not suffice: fewer trees may be tried.
 */
extern PgmlStatus pgml_forest_write_end(const PgmlEnv *env, PgmlForestWriter *writer,
										const PgmlForestLines *lines, PgmlForestHeader header,
										const double *prior);

/* The learner's trees(), verify(), predict(), prepare(), prepared_size(), block_rows(), scratch() and predict_block(). */
extern PgmlStatus pgml_forest_trees(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
									const PgmlShape *shape, PgmlTrees *out);
extern PgmlStatus pgml_forest_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
									 PgmlError *err);
extern void pgml_forest_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
								int64_t n, double *out);
extern PgmlStatus pgml_forest_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
									  const PgmlShape *shape, const void **prepared);
extern size_t pgml_forest_prepared_size(const void *prepared);
extern size_t pgml_forest_scratch(const void *prepared);
extern int64_t pgml_forest_block_rows(const void *prepared);
extern void pgml_forest_predict_block(const void *prepared, const uint8_t *payload,
									  const PgmlShape *shape, const PgmlBlock *block, double *out,
									  void *scratch);

#endif
