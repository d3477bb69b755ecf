/*
 * fuzz_cron.c - any text as a schedule, in any time zone: an error with a hint, or slots one after the other.
 *
 * The first bytes of the input make the clock's changes and the instant to look from; the rest is the text.
 */
#include <stdlib.h>
#include <string.h>

#include "core/cron.h"

#define CHANGES 4
#define PREFIX  (8 + 2 * CHANGES)

/* A change of offset each so many half days, by a multiple of a quarter of an hour. */
static int32_t
offset_of(const void *arg, int64_t utc, int64_t *until)
{
	const uint8_t *bytes = arg;
	int64_t at = 0;
	int32_t offset = 0;

	for (int i = 0; i < CHANGES; i++)
	{
		at += (1 + bytes[2 * i]) * INT64_C(43200);
		if (at > utc)
		{
			*until = at;
			return offset;
		}
		offset = ((int32_t) bytes[2 * i + 1] - 128) * 450;
	}
	*until = PGML_CRON_NEVER;
	return offset;
}

/* Slots come one after the other, and none lies between. */
static void
follow(const PgmlCron *cron, const PgmlZone *zone, int64_t after)
{
	for (int i = 0; i < 8; i++)
	{
		int64_t slot = pgml_cron_next(cron, zone, after);

		if (slot <= after)
			abort();
		if (slot == PGML_CRON_NEVER)
			return;
		if (pgml_cron_next(cron, zone, after + (slot - 1 - after) / 2) != slot)
			abort();
		after = slot;
	}
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PgmlError error = { 0 };
	PgmlCron cron;
	PgmlZone zone = { offset_of, data };
	int64_t after = 0;
	char text[128] = { 0 };

	if (size < PREFIX)
		return 0;
	for (int i = 0; i < 6; i++)
		after = after * 16 + data[2 * CHANGES + i];
	memcpy(text, data + PREFIX, size - PREFIX < sizeof(text) ? size - PREFIX : sizeof(text) - 1);
	(void) pgml_cron_is_fields(text);
	if (pgml_cron_parse(text, &cron, &error) == PGML_OK)
		follow(&cron, &zone, after);
	else if (error.message[0] == '\0' || error.hint[0] == '\0')
		abort();
	if (pgml_cron_interval(data[8] % 3, data[9], (int64_t) data[10] * 3600 + data[11], after / 2,
						   &cron, NULL) == PGML_OK)
		follow(&cron, &zone, after);
	return 0;
}
