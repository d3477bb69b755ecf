/* gain.h - what the splits on each input column do for an image's trees. */
#ifndef PGML_MODEL_GAIN_H
#define PGML_MODEL_GAIN_H

#include "model/image.h"

/*
 * Gain of each input of the recipe, shares that add up to 1: a split's is the cover-weighted variance that it takes out of the leaf values
 * below it - for squared errors, what it lowers the training loss by, regularisation aside (Breiman et al. 1984).  Members count
 * by their weights; those without trees do not, nor those whose trees a former version stored without covers, and NaN throughout
 * says that there are no others, or no splits.
 */
extern PgmlStatus pgml_image_gain(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image,
								  double *gain);

#endif
