/*
 * model_cache.h - from a reference ('churn', 'churn@3') to a verified image, fast and never stale.
 */
#ifndef PGML_PG_MODEL_CACHE_H
#define PGML_PG_MODEL_CACHE_H

#include "postgres.h"
#include "lib/ilist.h"
#include "storage/dsm.h"

#include "model/image.h"
#include "model/scorer.h"
#include "pg/catalog.h"

/* A loaded model.  Stays where it is while anything refers to it. */
typedef struct PgmlModel
{
	CatalogVersion version;
	Oid registry;  /* OID of pgml_auto.deployed when loaded: another one is another registry */
	uint64 serial; /* differs between any two loads, for caches of what was derived from this one */
	PgmlImage image;
	PgmlBudget budget; /* of the arena */
	PgmlArena *arena;  /* holds the image's small arrays */
	const PgmlScorer *scorer;
	PgmlBudget scorer_budget;
	int64 scorer_bytes;      /* of it that are counted in bytes */
	PgmlArena *scorer_arena; /* NULL before a scorer was asked for */
	dsm_segment *form;    /* holds what the scorer has derived, for all sessions; NULL: the arena */
	int single_rows;      /* predicted as the image is stored */
	void *single_scratch; /* for the scorer; NULL before single rows are predicted by it */
	MemoryContext context; /* holds the image, this struct and the bindings */
	dsm_segment *segment;  /* holds the image instead, for all sessions; NULL: a copy of our own */
	int slot;              /* of it, see shared_images.h */
	int64 bytes;           /* of the session's own memory */
	int refs;
	dlist_node lru;      /* most recently used first */
	dlist_head bindings; /* of predict_input.c, most recently used first */
	int n_bindings;
} PgmlModel;

/*
 * The state of the registry that an answer was read from: that of a snapshot, which the newest
 * transaction it can see and the number of older ones it cannot see tell apart from all others.
 * (For a given xmax, transactions only ever leave the set of those still running.)
 */
typedef struct PgmlResolved
{
	uint64 generation; /* of invalidations; 0: the answer holds for this snapshot only */
	uint64 rollbacks;
	TransactionId xmax;
	uint32 running;
	CommandId curcid;
} PgmlResolved;

/* One call site's hold on a model: made once per execution, asked for every row. */
typedef struct PgmlModelRef
{
	PgmlModel *model; /* pinned; NULL before the first use and after pgml_model_ref_release() */
	char *reference;  /* as the user wrote it, zero-terminated */
	Size length;
	Oid user; /* whose privilege was checked */
	PgmlResolved resolved;
	MemoryContext context;
	MemoryContextCallback unpin;
} PgmlModelRef;

/* Define pgml_auto.model_cache_size and register for invalidations; called once, from _PG_init. */
extern void pgml_model_cache_init(void);

/*
 * An empty hold living in context; the model it comes to hold is released when context is reset or
 * deleted.
 */
extern PgmlModelRef *pgml_model_ref_create(MemoryContext context);

/*
 * The model that the reference means to the active snapshot and the current user, pinned until the
 * next call or the end of the context.  Errors are those of catalog_resolve() and
 * catalog_read_image(), and XX001 for a damaged image.
 */
extern PgmlModel *pgml_model_ref_get(PgmlModelRef *ref, const char *reference, Size length);

/* Let go of the model; the reference is kept, and the next pgml_model_ref_get() finds out what it means then. */
extern void pgml_model_ref_release(PgmlModelRef *ref);

/* Count memory that a loaded model has taken, or with a negative number given back. */
extern void pgml_model_count_bytes(PgmlModel *model, int64 bytes);

/* model_scorer.c: the scorer of a pinned model, made when first asked for; 53200 when there is no memory for one. */
extern const PgmlScorer *pgml_model_scorer(PgmlModel *model);

/*
 * Predict one row of features of a pinned model: as its image is stored at first, by the scorer if a session has shared one, or once so
 * many rows have been predicted that its making pays.  out and scratch have pgml_image_outputs() numbers each.
 */
extern void pgml_model_predict_row(PgmlModel *model, const float *features, double *out,
								   double *scratch);

#endif
