/*
 * progress.h - what a training says about itself to other sessions, without shared memory of our own.
 */
#ifndef PGML_PG_PROGRESS_H
#define PGML_PG_PROGRESS_H

#include "postgres.h"

/* A training of the model begins, with a budget of time in seconds (0: none); it is shown until pgml_progress_end() or the end of the transaction by an error. */
extern void pgml_progress_start(const char *model, double time_budget);

/* fraction in [0, 1], step in a few words. Does nothing when no training is shown. */
extern void pgml_progress_report(double fraction, const char *step);

/* The best score so far (NaN: none) and the bytes it holds, and that it is alive now. */
extern void pgml_progress_measure(double best_score, int64 memory_bytes);

/* Whether a training is shown; and show it again after an error caught inside it has taken it away. */
extern bool pgml_progress_active(void);
extern void pgml_progress_resume(void);

/*
 * Tell the client, too: a NOTICE at most every pgml_auto.progress_interval, when the step or the best score is another one, and
 * none in the first seconds, so that short trainings are quiet.  It is sent at once.  best NaN: none, metric may be NULL then.
 */
extern void pgml_progress_say(const char *step, const char *metric, double best);

extern void pgml_progress_end(void);

#endif
