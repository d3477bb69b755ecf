/*
 * surrogate.h - what a search expects of settings that it did not try: a random forest on those that it did.
 *
 * The forest's features are the learner and the coordinates of all its spaces' dimensions, missing where they do not count; so
 * mixed and conditional spaces need nothing else (Hutter, Hoos and Leyton-Brown 2011, SMAC).  How sure the forest is
 * is told by how much its trees differ.
 */
#ifndef PGML_SEARCH_SURROGATE_H
#define PGML_SEARCH_SURROGATE_H

#include "search/strategy.h"

typedef struct PgmlSurrogate PgmlSurrogate;

/*
 * Learn from what the search was told of whole trials, failed ones being as bad as the worst.  Takes memory from arena, one thread and a
 * few milliseconds.  Losses are replaced by normal scores of their ranks: what is far from the best does not matter, and
 * what is near it does.
 */
extern PgmlStatus pgml_surrogate_create(const PgmlSearch *search, PgmlArena *arena, uint64_t seed,
										PgmlSurrogate **surrogate);

/* Mean and variance of the normal score at a point of a space. */
extern void pgml_surrogate_predict(const PgmlSurrogate *surrogate, int space, const double *u,
								   double *mean, double *variance);

/* The lowest normal score of what was tried. */
extern double pgml_surrogate_best(const PgmlSurrogate *surrogate);

#endif
