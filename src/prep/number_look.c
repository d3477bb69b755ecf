/*
 * number_look.c - how the numbers of a text column are written, see number_look.h.
 */
#include "prep/number_look.h"

#include <string.h>

#include "data/value.h"

/* Digits, signs and separators only: a text that should be a number, if separators are where they belong. */
static bool
looks_numeric(const char *s, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (s[i] == '\0' || strchr("0123456789.,+- ", s[i]) == NULL)
			return false;
	return true;
}

/* See number_look.h. */
void
pgml_number_look_add(PgmlNumberLook *look, const char *s, uint32_t len, int64_t rows)
{
	double point, comma;
	bool by_point = pgml_parse_number(s, len, &point);
	bool by_comma = pgml_parse_comma_number(s, len, &comma);
	const char *last = NULL; /* separator */

	for (uint32_t i = 0; i < len; i++)
		if (s[i] == '.' || s[i] == ',')
			last = s + i;
	look->usable += rows;
	look->usable_d++;
	look->point += by_point ? rows : 0;
	look->point_d += by_point;
	look->comma += by_comma ? rows : 0;
	look->comma_d += by_comma;
	look->comma_only_d += by_comma && !by_point;
	/* "(1,5)" is rather a pair than a negative number. */
	look->contradicted |=
		by_comma ? !by_point && memchr(s, '(', len) != NULL : by_point || looks_numeric(s, len);
	look->decimals |= by_comma && last != NULL && *last == ',';
	look->thousands_d += by_comma && by_point && last != NULL && *last == '.';
	if (by_comma && last == NULL)
		*(comma > -1000 && comma < 1000 ? &look->short_d : &look->long_d) += 1;
}

/* See number_look.h. */
bool
pgml_number_look_comma(const PgmlNumberLook *look)
{
	int64_t telling = look->comma_only_d + look->thousands_d;
	bool most = telling * 2 > look->usable_d;

	if (look->contradicted)
		return false;
	if (look->comma_only_d > 0)
		return most || look->point * 100 < look->comma * 95;
	return look->short_d > 0 && look->long_d == 0 &&
		   (most || (telling * 10 >= look->usable_d && look->short_d * 10 >= look->usable_d &&
					 telling > 1));
}

/* See number_look.h. */
bool
pgml_number_look_read(bool comma, const char *s, uint32_t len, double *value)
{
	return comma ? pgml_parse_comma_number(s, len, value) : pgml_parse_number(s, len, value);
}
