/*
 * buf.h - growing byte buffers and bounded readers for stored formats (little-endian).
 */
#ifndef PGML_CORE_BUF_H
#define PGML_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"

/* Grows in malloc'ed memory charged to the budget; a failed append sets `failed` and later appends do nothing. */
typedef struct PgmlBuf
{
	PgmlBudget *budget;
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
} PgmlBuf;

extern void pgml_buf_init(PgmlBuf *buf, PgmlBudget *budget);
extern void pgml_buf_free(PgmlBuf *buf);

/* Give the memory away: the caller frees it and it is charged no more; NULL when there is none. The buffer is empty then. */
extern void *pgml_buf_release(PgmlBuf *buf);

/* Give back what lies beyond the bytes appended; to clear `failed` and cut bytes off, set len first. */
extern void pgml_buf_trim(PgmlBuf *buf);

/* Make room for exactly len more bytes at once, when it is known how many will come; sets failed when there is none. */
extern void pgml_buf_reserve(PgmlBuf *buf, size_t len);

/* Append len bytes of undefined content and return them, valid until the next append; NULL when it failed. */
extern uint8_t *pgml_buf_extend(PgmlBuf *buf, size_t len);

/* Append bytes; returns the offset at which they start. NULL data appends zeros. */
extern size_t pgml_buf_put(PgmlBuf *buf, const void *data, size_t len);
extern size_t pgml_buf_put_u8(PgmlBuf *buf, uint8_t v);
extern size_t pgml_buf_put_u32(PgmlBuf *buf, uint32_t v);
extern size_t pgml_buf_put_u64(PgmlBuf *buf, uint64_t v);
extern size_t pgml_buf_put_f64(PgmlBuf *buf, double v);

/* u32 length, the bytes, one zero byte, so that a reader may use it as a C string. */
extern size_t pgml_buf_put_str(PgmlBuf *buf, const char *s, size_t len);

/* Pad with zeros to a multiple of align (a power of two). */
extern void pgml_buf_align(PgmlBuf *buf, size_t align);

/* Overwrite a u32 or u64 put earlier. */
extern void pgml_buf_set_u32(PgmlBuf *buf, size_t offset, uint32_t v);
extern void pgml_buf_set_u64(PgmlBuf *buf, size_t offset, uint64_t v);

/* Reads from [data, data + len); reading past the end sets `failed` and yields zeros. */
typedef struct PgmlReader
{
	const uint8_t *data;
	size_t len;
	size_t pos;
	bool failed;
} PgmlReader;

extern void pgml_reader_init(PgmlReader *r, const void *data, size_t len);
extern const void *pgml_read(PgmlReader *r, size_t len); /* NULL when out of bounds */
extern uint8_t pgml_read_u8(PgmlReader *r);
extern uint32_t pgml_read_u32(PgmlReader *r);
extern uint64_t pgml_read_u64(PgmlReader *r);
extern double pgml_read_f64(PgmlReader *r);
extern const char *pgml_read_str(PgmlReader *r, uint32_t *len); /* zero-terminated, "" on failure */
extern void pgml_read_align(PgmlReader *r, size_t align);

#endif
