/*
 * oblivious_ctr.h - statistics of the target per category (Prokhorenkova et al. 2018), and per combination of categories.
 *
 * A projection is a set of categorical features.  Rows with the same levels in all of them share a bucket.  For
 * a row of the training data a statistic is made of the rows of its bucket that come before it in a random order, so that
 * it knows nothing of the row's own target; for all other rows, of all training rows of the bucket.  There are
 * two orders: one to find questions in, one to give leaves their values.  In a bucket of many rows all have the statistic of all of them:
 * what it tells a row of its own target is next to nothing, and less than what the first rows of an order do not know.
 *
 * A statistic is (hits + prior) / (rows + 1), rounded to one of PGML_OBL_CTR_BINS values.  Hits, binary: rows of class
 * 1, with three priors; regression: the ranks of the targets, from 0 to 1, likewise; several classes: rows of the class,
 * for each class, the prior its share.  The last statistic is the bucket's number of rows.  Shares are rounded
 * on a scale on which the class's share of all rows is the middle.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_CTR_H
#define PGML_LEARNER_OBLIVIOUS_CTR_H

#include "core/buf.h"
#include "learner/oblivious.h"

#define PGML_OBL_MAX_ORDERS 2
#define PGML_OBL_MAX_PARTS  (PGML_OBL_MAX_TARGETS + 1)

#define PGML_OBL_PART_STATISTICS 3 /* statistics of a part, at most */

/*
 * Statistics of a projection that share a byte of a training row: `n` of them from number `first` on.  Where there are many rows, two or
 * three, whose values go together: histograms are made of the bytes and then taken apart.
 */
typedef struct PgmlOblPart
{
	int32_t first;
	int32_t n;
} PgmlOblPart;

/* What a part's bytes stand for: byte c < n for the bins in value[c], four bits each, the last statistic's the lowest. */
typedef struct PgmlOblCodes
{
	int32_t n;
	uint16_t value[PGML_GBM_BINS];
} PgmlOblCodes;

/* Codes of a part, at most: one statistic alone has few. */
static inline int32_t
pgml_obl_part_bins(PgmlOblPart part)
{
	return part.n == 1 ? PGML_OBL_CTR_BINS : PGML_GBM_BINS;
}

/* Bin of the part's statistic number k. */
static inline int
pgml_obl_code_bin(const PgmlOblCodes *codes, PgmlOblPart part, int32_t k, int32_t code)
{
	return codes->value[code] >> 4 * (part.n - 1 - k) & 15;
}

/* A set of categorical features, ascending. */
typedef struct PgmlOblProjection
{
	int32_t n;
	int32_t feature[PGML_OBL_MAX_COMBINED];
} PgmlOblProjection;

typedef struct PgmlOblCtr PgmlOblCtr;

/* Levels that are asked for one by one too, at most, where there are statistics. */
#define PGML_OBL_FEW_LEVELS 10

/* Does the feature have statistics, rather than only a question for each level? */
static inline bool
pgml_obl_has_ctr(const PgmlOblConfig *config, const PgmlFeature *feature)
{
	return feature->categorical && feature->n_levels > config->one_hot_max_size;
}

/* Bytes that statistics take at least, with their histograms of one leaf: with one order and few combinations. */
extern int64_t pgml_obl_ctr_size(const PgmlOblConfig *config, const PgmlDataset *data);

/* Statistics of single features: columns of PGML_OBL_CTR_BINS bins. */
extern int64_t pgml_obl_ctr_columns(const PgmlOblConfig *config, const PgmlDataset *data);

/*
 * Statistics of the single features, and room for combinations.  `extra`: bytes that may be taken beyond pgml_obl_ctr_size().  NULL in *out when no feature has any.
 * target: of the learned rows, before anything was subtracted from them.
 */
extern PgmlStatus pgml_obl_ctr_create(const PgmlEnv *env, PgmlArena *arena,
									  const PgmlOblConfig *config, const PgmlDataset *data,
									  const PgmlGbmTarget *target, int64_t extra, PgmlOblCtr **out);

extern int32_t pgml_obl_ctr_width(const PgmlOblCtr *ctr); /* statistics of a projection */
extern int32_t pgml_obl_ctr_parts(const PgmlOblCtr *ctr); /* parts that they are in */
extern PgmlOblPart pgml_obl_ctr_part(const PgmlOblCtr *ctr, int32_t part);
extern int32_t pgml_obl_ctr_orders(const PgmlOblCtr *ctr); /* random orders */
extern int32_t
pgml_obl_ctr_single(const PgmlOblCtr *ctr); /* projections of one feature: the first */

extern int32_t pgml_obl_ctr_most(const PgmlOblCtr *ctr); /* projections that there can be */

/* Projection number p; buckets that it has in the training rows. */
extern const PgmlOblProjection *pgml_obl_ctr_projection(const PgmlOblCtr *ctr, int32_t p);
extern int64_t pgml_obl_ctr_buckets(const PgmlOblCtr *ctr, int32_t p);

/*
 * Numbers of the combinations of a projection, of any categorical features, with each single feature, that are not among
 * found[0 .. *n-1] yet: appended, up to `most` in all.
 */
extern PgmlStatus pgml_obl_ctr_combine(const PgmlEnv *env, PgmlOblCtr *ctr,
									   const PgmlOblProjection *p, int32_t *found, int32_t *n,
									   int32_t most);

/* A random order of the training rows. */
extern const int32_t *pgml_obl_ctr_order(const PgmlOblCtr *ctr, int32_t order);

/* Combinations that can be at hand together. */
extern int32_t pgml_obl_ctr_room(const PgmlOblCtr *ctr);

/*
 * Make statistics of combinations available: of wanted[0 .. *n_wanted-1], besides those of keep, which are.  Together they are at most
 * pgml_obl_ctr_room(); where memory does not suffice for all, *n_wanted becomes smaller.  PGML_ERR_CANCELLED at the stop flag and the
 * deadline: none of those that were missing is there then.
 */
extern PgmlStatus pgml_obl_ctr_provide(const PgmlEnv *env, PgmlOblCtr *ctr, const int32_t *keep,
									   int32_t n_keep, const int32_t *wanted, int32_t *n_wanted);

/* Codes of a part of a projection, which is single or was provided. */
extern const PgmlOblCodes *pgml_obl_ctr_codes(const PgmlOblCtr *ctr, int32_t p, int32_t part);

/* Bytes of the training rows in one order, row by row, one for each part: of all single features together, or of one combination. */
extern const uint8_t *pgml_obl_ctr_rows(const PgmlOblCtr *ctr, int32_t p, int32_t order,
										int64_t *stride);

/* Statistic `place` of a projection: of the training rows in an order, or (order -1) of the validation rows. */
extern PgmlOblColumn pgml_obl_ctr_column(const PgmlOblCtr *ctr, int32_t p, int32_t place,
										 int32_t order);

/* A table of a projection as it is stored, see oblivious_payload.h. */
typedef struct PgmlOblTableHead
{
	uint32_t n_features;
	uint32_t feature[PGML_OBL_MAX_COMBINED]; /* ascending; unused: 0 */
	uint32_t hashed;                         /* 0: the slot is the key itself */
	uint64_t n_slots;
	uint64_t at; /* of its slots, in bytes */
} PgmlOblTableHead;

/* Bytes of a table's slots: keys of hashed ones, then the statistics, each padded to a multiple of 8. */
static inline uint64_t
pgml_obl_table_bytes(uint64_t n_slots, bool hashed, uint32_t width)
{
	return (hashed ? n_slots * sizeof(uint64_t) : 0) + (n_slots * width + 7) / 8 * 8;
}

#define PGML_OBL_NO_KEY UINT64_MAX

/* First slot to look at for a key. */
static inline uint64_t
pgml_obl_slot(uint64_t key, uint64_t n_slots)
{
	return pgml_obl_mix(key + UINT64_C(0x9E3779B97F4A7C15)) & (n_slots - 1);
}

/* A level as a digit of a key: 0 when missing or no level. */
static inline uint64_t
pgml_obl_digit(float x, int32_t n_levels)
{
	/* The number of levels may not be a float. */
	return x >= 0 && x < 2147483648.0f && (int64_t) x < n_levels ? (uint64_t) x + 1 : 0;
}

/* Append the slots of a projection's table to buf and set its head; bytes of a bucket not seen: pgml_obl_ctr_unseen(). */
extern PgmlStatus pgml_obl_ctr_table(const PgmlEnv *env, PgmlOblCtr *ctr, int32_t p, PgmlBuf *buf,
									 PgmlOblTableHead *head);
extern void pgml_obl_ctr_unseen(const PgmlOblCtr *ctr, uint8_t *bytes);

#endif
