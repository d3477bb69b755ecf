/*
 * table.c - dictionaries of strings, and small helpers of tables.
 *
 * A dictionary lives in an arena, which cannot give memory back, so nothing in it is moved when it grows except the
 * table of hash slots: strings lie in chunks, entries in segments each twice as long as the one before.
 */
#include "data/table.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"

#define FIRST_SEGMENT 64
#define MAX_SEGMENTS  25
#define FIRST_CHUNK   256
#define LAST_CHUNK    65536

typedef struct Entry
{
	const char *s;
	uint32_t len;
	uint32_t hash;
} Entry;

struct PgmlDict
{
	PgmlArena *arena;
	Entry *segment[MAX_SEGMENTS];
	int32_t size;
	uint32_t n_slots; /* a power of two, or 0 before the first string */
	int32_t *slot;    /* code + 1, 0 for free */
	char *chunk;
	size_t chunk_left;
	size_t chunk_size;
};

/* A dictionary without strings; NULL when memory is out. */
PgmlDict *
pgml_dict_create(PgmlArena *arena)
{
	PgmlDict *dict = pgml_zalloc(arena, 1, sizeof(PgmlDict));

	if (dict != NULL)
		dict->arena = arena;
	return dict;
}

/* Entry of a code: segment s starts at code FIRST_SEGMENT * (2^s - 1). */
static Entry *
entry_of(const PgmlDict *dict, int32_t code)
{
	uint32_t q = (uint32_t) code / FIRST_SEGMENT + 1;
	int s = 31 - __builtin_clz(q);
	uint32_t start = FIRST_SEGMENT * ((1u << s) - 1);

	return &dict->segment[s][(uint32_t) code - start];
}

/* 32 bits of the hash are kept with each string. */
static uint32_t
string_hash(const char *s, uint32_t len)
{
	uint64_t h = pgml_hash64(s, len, 0);

	return (uint32_t) (h ^ h >> 32);
}

/* Slot that holds the string, or the free one where it belongs. */
static uint32_t
find_slot(const PgmlDict *dict, const char *s, uint32_t len, uint32_t hash)
{
	uint32_t mask = dict->n_slots - 1;
	uint32_t i = hash & mask;

	while (dict->slot[i] != 0)
	{
		const Entry *e = entry_of(dict, dict->slot[i] - 1);
		if (e->hash == hash && e->len == len && memcmp(e->s, s, len) == 0)
			break;
		i = (i + 1) & mask;
	}
	return i;
}

/* Make room in the slots for one more string (at most half are in use). */
static bool
grow_slots(PgmlDict *dict)
{
	if ((uint64_t) dict->size * 2 + 2 <= dict->n_slots)
		return true;
	uint32_t n = dict->n_slots == 0 ? 16 : dict->n_slots * 2;
	int32_t *slot = n == 0 ? NULL : pgml_zalloc(dict->arena, n, sizeof(int32_t));
	if (slot == NULL)
		return false;
	for (int32_t code = 0; code < dict->size; code++)
	{
		uint32_t i = entry_of(dict, code)->hash & (n - 1);
		while (slot[i] != 0)
			i = (i + 1) & (n - 1);
		slot[i] = code + 1;
	}
	dict->slot = slot;
	dict->n_slots = n;
	return true;
}

/* Copy a string with a zero behind it; long ones get memory of their own. */
static const char *
store_string(PgmlDict *dict, const char *s, uint32_t len)
{
	size_t need = (size_t) len + 1;

	if (need > LAST_CHUNK / 4)
		return pgml_strndup(dict->arena, s, len);
	if (need > dict->chunk_left)
	{
		size_t size = dict->chunk_size == 0 ? FIRST_CHUNK : dict->chunk_size * 2;
		while (size < need)
			size *= 2;
		if (size > LAST_CHUNK)
			size = LAST_CHUNK;
		char *chunk = pgml_alloc(dict->arena, size);
		if (chunk == NULL)
			return NULL;
		dict->chunk = chunk;
		dict->chunk_left = size;
		dict->chunk_size = size;
	}
	char *copy = dict->chunk;
	memcpy(copy, s, len);
	copy[len] = '\0';
	dict->chunk += need;
	dict->chunk_left -= need;
	return copy;
}

/* Code of a string, new or known; -1 when memory is out (the dictionary stays usable). */
int32_t
pgml_dict_add(PgmlDict *dict, const char *s, uint32_t len)
{
	if (len == 0)
		s = "";
	if (dict->size == INT32_MAX - FIRST_SEGMENT || !grow_slots(dict))
		return -1;
	uint32_t hash = string_hash(s, len);
	uint32_t i = find_slot(dict, s, len, hash);
	if (dict->slot[i] != 0)
		return dict->slot[i] - 1;

	int seg = 31 - __builtin_clz((uint32_t) dict->size / FIRST_SEGMENT + 1);
	if (dict->segment[seg] == NULL)
		dict->segment[seg] = pgml_array(dict->arena, (size_t) FIRST_SEGMENT << seg, sizeof(Entry));
	if (dict->segment[seg] == NULL)
		return -1;
	const char *copy = store_string(dict, s, len);
	if (copy == NULL)
		return -1;
	*entry_of(dict, dict->size) = (Entry){ copy, len, hash };
	dict->slot[i] = ++dict->size;
	return dict->size - 1;
}

/* Code of a string, -1 when it is not in the dictionary. */
int32_t
pgml_dict_find(const PgmlDict *dict, const char *s, uint32_t len)
{
	if (dict->size == 0)
		return -1;
	if (len == 0)
		s = "";
	return dict->slot[find_slot(dict, s, len, string_hash(s, len))] - 1;
}

/* Number of strings. */
int32_t
pgml_dict_size(const PgmlDict *dict)
{
	return dict->size;
}

/* String of a code that the dictionary gave out. */
const char *
pgml_dict_get(const PgmlDict *dict, int32_t code, uint32_t *len)
{
	const Entry *e = entry_of(dict, code);

	if (len != NULL)
		*len = e->len;
	return e->s;
}

/* Column of that name, byte by byte; -1 when there is none. */
int
pgml_table_find(const PgmlTable *table, const char *name)
{
	for (int i = 0; i < table->ncols; i++)
	{
		if (strcmp(table->cols[i].name, name) == 0)
			return i;
	}
	return -1;
}

bool
pgml_column_is(const char *column, const char *name)
{
	size_t len = strlen(name);

	return strncmp(column, name, len) == 0 &&
		   (column[len] == '\0' || (column[len] == '[' && column[strlen(column) - 1] == ']'));
}

int
pgml_table_next(const PgmlTable *table, const char *name, int from)
{
	for (int i = from; i < table->ncols; i++)
		if (pgml_column_is(table->cols[i].name, name))
			return i;
	return -1;
}

/* A cell as a value. */
PgmlValue
pgml_table_value(const PgmlTable *table, int col, int64_t row)
{
	const PgmlColumn *c = &table->cols[col];
	PgmlValue v = { .kind = c->kind };

	if (c->kind != PGML_KIND_TEXT)
	{
		v.num = pgml_column_number(c, row);
		v.is_null = isnan(v.num);
	}
	else if (c->code[row] < 0)
		v.is_null = true;
	else
		v.str = pgml_dict_get(c->dict, c->code[row], &v.len);
	return v;
}
