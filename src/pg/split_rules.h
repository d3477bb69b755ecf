/*
 * split_rules.h - the rules that fix a model's test rows, as they are kept in models.split.
 *
 * {"method": "stratified", "salt": "9f...", "test_size": 0.2, "labels": ["no", "yes"],
 *  "thresholds": ["33...", "34..."], "windows": [[from, upto], ...],
 *  "variant": 3, "day_first": false, "identity": [{"column": "id", "type": "number"}, ...],
 *  "by": {"column": "patient", "type": "text"}}
 * 64-bit numbers are hexadecimal text, since JSON numbers are doubles to many readers; an open end of a window is null.
 */
#ifndef PGML_PG_SPLIT_RULES_H
#define PGML_PG_SPLIT_RULES_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "data/split.h"
#include "pg/ingest.h"

extern Jsonb *split_rules_write(const PgmlSplit *split, const PgmlIdentity *identity);

/* Fills a split with fixed = true, and what tells rows apart; XX001 when the rules cannot be read. */
extern void split_rules_read(const Jsonb *rules, PgmlSplit *split, PgmlIdentity *identity);

/* The split of a new model: nothing fixed but the salt, which follows from the seed. */
extern void split_rules_new(int64 seed, double test_size, PgmlSplit *split);

#endif
