/*
 * status.c - describing failures.
 */
#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Cut an unfinished UTF-8 character off the end of a truncated text, so that it stays valid for a
 * client. Text in another encoding loses at most three bytes.
 */
static void
trim_partial_character(char *text, size_t len)
{
	size_t start = len;
	size_t tail;
	unsigned char lead;

	while (start > 0 && len - start < 4 && ((unsigned char) text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0)
		return;
	start--;
	tail = len - start;
	lead = (unsigned char) text[start];
	if ((lead >= 0xF0 && tail < 4) || (lead >= 0xE0 && tail < 3) || (lead >= 0xC0 && tail < 2))
		text[start] = '\0';
}

/*
 * Format into dst, cutting what does not fit. Goes through a buffer of its own because the
 * arguments may point into dst (a failure that quotes an earlier one).
 */
__attribute__((format(printf, 3, 0))) static void
format_text(char *dst, size_t size, const char *fmt, va_list args)
{
	char text[sizeof(((PgmlError *) 0)->message)];
	size_t room = size < sizeof(text) ? size : sizeof(text);
	int len = vsnprintf(text, room, fmt, args);

	if (len < 0)
		text[0] = '\0';
	else if ((size_t) len >= room)
		trim_partial_character(text, room - 1);
	memcpy(dst, text, strlen(text) + 1);
}

PgmlStatus
pgml_fail(PgmlError *err, PgmlStatus status, const char *fmt, ...)
{
	va_list args;

	if (err == NULL)
		return status;
	va_start(args, fmt);
	format_text(err->message, sizeof(err->message), fmt, args);
	va_end(args);
	err->status = status;
	err->detail[0] = '\0';
	err->hint[0] = '\0';
	return status;
}

void
pgml_fail_detail(PgmlError *err, const char *fmt, ...)
{
	va_list args;

	if (err == NULL)
		return;
	va_start(args, fmt);
	format_text(err->detail, sizeof(err->detail), fmt, args);
	va_end(args);
}

void
pgml_fail_hint(PgmlError *err, const char *fmt, ...)
{
	va_list args;

	if (err == NULL)
		return;
	va_start(args, fmt);
	format_text(err->hint, sizeof(err->hint), fmt, args);
	va_end(args);
}
