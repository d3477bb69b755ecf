/* predict_memo.c - short texts that a column has shown lately, and the feature made of each. */
#include "postgres.h"

#include "pg/predict_memo.h"

#define ENTRIES 16 /* a power of 2 */

typedef struct Entry
{
	float feature;
	uint8 size; /* bytes of the text, and 1; 0: no entry */
	char text[PREDICT_MEMO_TEXT];
} Entry;

struct PredictMemo
{
	Entry entry[ENTRIES];
};

/* The only place that a text may have. */
static uint32
place_of(const char *text, Size len)
{
	const uint8 *byte = (const uint8 *) text;
	uint32 mixed =
		len == 0 ? 0 : byte[0] + 3 * byte[len / 2] + 5 * byte[len - 1] + 7 * (uint32) len;

	return (mixed ^ mixed >> 4) % ENTRIES;
}

PredictMemo *
predict_memo_create(MemoryContext context)
{
	return MemoryContextAllocZero(context, sizeof(PredictMemo));
}

const float *
predict_memo_find(const PredictMemo *memo, const char *text, Size len)
{
	const Entry *entry = &memo->entry[place_of(text, len)];

	return entry->size == len + 1 && memcmp(entry->text, text, len) == 0 ? &entry->feature : NULL;
}

void
predict_memo_keep(PredictMemo *memo, const char *text, Size len, float feature)
{
	Entry *entry = &memo->entry[place_of(text, len)];

	if (len > PREDICT_MEMO_TEXT)
		return;
	entry->size = (uint8) (len + 1);
	entry->feature = feature;
	memcpy(entry->text, text, len);
}
