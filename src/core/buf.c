/*
 * buf.c - growing byte buffers and bounded readers.
 */
#include "core/buf.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t) 256)

void
pgml_buf_init(PgmlBuf *buf, PgmlBudget *budget)
{
	memset(buf, 0, sizeof(*buf));
	buf->budget = budget;
}

void
pgml_buf_free(PgmlBuf *buf)
{
	free(buf->data);
	pgml_budget_give(buf->budget, buf->cap);
	pgml_buf_init(buf, buf->budget);
}

void *
pgml_buf_release(PgmlBuf *buf)
{
	void *data = buf->data;

	buf->data = NULL;
	pgml_buf_free(buf);
	return data;
}

/* Move to a capacity of cap bytes, charged first; false when refused. */
static bool
set_capacity(PgmlBuf *buf, size_t cap)
{
	size_t filled = pgml_big_size(cap);
	uint8_t *data;

	/* Where the limit leaves no room to fill the last large page, the size that is needed will do. */
	if (pgml_budget_take(buf->budget, filled - buf->cap))
		cap = filled;
	else if (filled == cap || !pgml_budget_take(buf->budget, cap - buf->cap))
		return false;
	data = pgml_big_realloc(buf->data, cap);
	if (data == NULL)
	{
		pgml_budget_give(buf->budget, cap - buf->cap);
		atomic_store(&buf->budget->refused, 0);
		return false;
	}
	buf->data = data;
	buf->cap = cap;
	return true;
}

void
pgml_buf_trim(PgmlBuf *buf)
{
	size_t cap = buf->len > 0 ? buf->len : 1;
	uint8_t *data;

	buf->failed = false;
	if (buf->cap <= cap)
		return;
	data = realloc(buf->data, cap);
	if (data == NULL)
		return; /* it stays as large as it is */
	pgml_budget_give(buf->budget, buf->cap - cap);
	buf->data = data;
	buf->cap = cap;
}

/*
 * Make room for len more bytes, doubling while the budget allows it; false (and failed for good)
 * when there is none.
 */
static bool
reserve(PgmlBuf *buf, size_t len)
{
	size_t need;

	if (buf->failed)
		return false;
	if (__builtin_add_overflow(buf->len, len, &need))
		need = SIZE_MAX;
	if (need <= buf->cap)
		return true;
	if (!pgml_budget_fault(buf->budget))
	{
		size_t cap = buf->cap < FIRST_CAPACITY ? FIRST_CAPACITY : buf->cap;

		while (cap < need && cap <= SIZE_MAX / 2)
			cap *= 2;
		if (cap >= need && set_capacity(buf, cap))
			return true;
		if (set_capacity(buf, need))
			return true;
	}
	buf->failed = true;
	return false;
}

void
pgml_buf_reserve(PgmlBuf *buf, size_t len)
{
	if (buf->failed || buf->cap - buf->len >= len)
		return;
	if (len > SIZE_MAX - buf->len || pgml_budget_fault(buf->budget) ||
		!set_capacity(buf, buf->len + len))
		buf->failed = true;
}

uint8_t *
pgml_buf_extend(PgmlBuf *buf, size_t len)
{
	if (!reserve(buf, len))
		return NULL;
	buf->len += len;
	return buf->data + buf->len - len;
}

size_t
pgml_buf_put(PgmlBuf *buf, const void *data, size_t len)
{
	size_t offset = buf->len;

	uint8_t *to = len == 0 ? NULL : pgml_buf_extend(buf, len);

	if (to == NULL)
		return offset;
	if (data != NULL)
		memcpy(to, data, len);
	else
		memset(to, 0, len);
	return offset;
}

size_t
pgml_buf_put_u8(PgmlBuf *buf, uint8_t v)
{
	return pgml_buf_put(buf, &v, sizeof(v));
}

size_t
pgml_buf_put_u32(PgmlBuf *buf, uint32_t v)
{
	return pgml_buf_put(buf, &v, sizeof(v));
}

size_t
pgml_buf_put_u64(PgmlBuf *buf, uint64_t v)
{
	return pgml_buf_put(buf, &v, sizeof(v));
}

size_t
pgml_buf_put_f64(PgmlBuf *buf, double v)
{
	return pgml_buf_put(buf, &v, sizeof(v));
}

size_t
pgml_buf_put_str(PgmlBuf *buf, const char *s, size_t len)
{
	size_t offset = buf->len;

	if (len > UINT32_MAX)
		buf->failed = true;
	pgml_buf_put_u32(buf, (uint32_t) len);
	pgml_buf_put(buf, s, len);
	pgml_buf_put_u8(buf, 0);
	return offset;
}

/* Bytes missing from pos to the next multiple of align. */
static size_t
padding(size_t pos, size_t align)
{
	return (size_t) (0 - pos) & (align - 1);
}

void
pgml_buf_align(PgmlBuf *buf, size_t align)
{
	pgml_buf_put(buf, NULL, padding(buf->len, align));
}

/* Overwrite len bytes at offset, which must have been put. */
static void
overwrite(PgmlBuf *buf, size_t offset, const void *data, size_t len)
{
	if (buf->failed)
		return;
	if (offset > buf->len || buf->len - offset < len)
	{
		buf->failed = true;
		return;
	}
	memcpy(buf->data + offset, data, len);
}

void
pgml_buf_set_u32(PgmlBuf *buf, size_t offset, uint32_t v)
{
	overwrite(buf, offset, &v, sizeof(v));
}

void
pgml_buf_set_u64(PgmlBuf *buf, size_t offset, uint64_t v)
{
	overwrite(buf, offset, &v, sizeof(v));
}

void
pgml_reader_init(PgmlReader *r, const void *data, size_t len)
{
	r->data = data != NULL ? data : (const uint8_t *) "";
	r->len = data != NULL ? len : 0;
	r->pos = 0;
	r->failed = false;
}

const void *
pgml_read(PgmlReader *r, size_t len)
{
	const uint8_t *p = r->data + r->pos;

	if (r->failed || len > r->len - r->pos)
	{
		r->failed = true;
		return NULL;
	}
	r->pos += len;
	return p;
}

/* Copy len bytes to v, zeros when they are not there. */
static void
read_value(PgmlReader *r, void *v, size_t len)
{
	const void *p = pgml_read(r, len);

	if (p != NULL)
		memcpy(v, p, len);
	else
		memset(v, 0, len);
}

uint8_t
pgml_read_u8(PgmlReader *r)
{
	uint8_t v;

	read_value(r, &v, sizeof(v));
	return v;
}

uint32_t
pgml_read_u32(PgmlReader *r)
{
	uint32_t v;

	read_value(r, &v, sizeof(v));
	return v;
}

uint64_t
pgml_read_u64(PgmlReader *r)
{
	uint64_t v;

	read_value(r, &v, sizeof(v));
	return v;
}

double
pgml_read_f64(PgmlReader *r)
{
	double v;

	read_value(r, &v, sizeof(v));
	return v;
}

const char *
pgml_read_str(PgmlReader *r, uint32_t *len)
{
	uint32_t n = pgml_read_u32(r);
	const char *s = pgml_read(r, (size_t) n + 1);

	if (s != NULL && s[n] != '\0')
		r->failed = true;
	if (r->failed)
	{
		s = "";
		n = 0;
	}
	if (len != NULL)
		*len = n;
	return s;
}

void
pgml_read_align(PgmlReader *r, size_t align)
{
	pgml_read(r, padding(r->pos, align));
}
