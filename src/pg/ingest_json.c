/*
 * ingest_json.c - the text of json and jsonb scalars.
 *
 * Escapes in json strings are decoded here, not by jsonb_in: type json keeps escapes that mean no text ("\u0000",
 * half a surrogate pair, a character the server's encoding lacks), and one such value must not end a training.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "pg/ingest_json.h"

/* Room for one character in any encoding, as conversions want it. */
#define CHARACTER_ROOM 64

static PgmlValue
missing_text(void)
{
	return (PgmlValue){ .kind = PGML_KIND_TEXT, .is_null = true };
}

static PgmlValue
text_value(const char *s, size_t len)
{
	return (PgmlValue){ .kind = PGML_KIND_TEXT, .str = s, .len = (uint32_t) len };
}

PgmlValue
pgml_numeric_text(Numeric number)
{
	char *digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));

	return text_value(digits, strlen(digits));
}

PgmlValue
pgml_jsonb_text(Jsonb *jsonb)
{
	JsonbValue scalar;

	if (!JB_ROOT_IS_SCALAR(jsonb) || !JsonbExtractScalar(&jsonb->root, &scalar))
		return missing_text();
	switch (scalar.type)
	{
		case jbvString:
			return text_value(scalar.val.string.val, scalar.val.string.len);
		case jbvNumeric:
			return pgml_numeric_text(scalar.val.numeric);
		case jbvBool:
			return scalar.val.boolean ? text_value("true", 4) : text_value("false", 5);
		default:
			return missing_text();
	}
}

/* ---- strings of json ----------------------------------------------------------------------- */

/* Append a character; false when the server's encoding has none for it. */
static bool
append_character(StringInfo out, pg_wchar c)
{
	unsigned char utf8[CHARACTER_ROOM] = { 0 };
	unsigned char local[CHARACTER_ROOM];
	int length;
	Oid conversion;

	if (c < 0x80)
	{
		appendStringInfoChar(out, (char) c);
		return c != 0;
	}
	unicode_to_utf8(c, utf8);
	length = pg_utf_mblen(utf8);
	if (GetDatabaseEncoding() == PG_UTF8)
	{
		appendBinaryStringInfo(out, (char *) utf8, length);
		return true;
	}
	conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(conversion) ||
		pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(), utf8, length,
									  local, sizeof(local), true) != length)
		return false;
	appendStringInfoString(out, (char *) local);
	return true;
}

/* The four hexadecimal digits behind "\u"; -1 when they are not there. */
static int
take_unit(const char **s, const char *end)
{
	int unit = 0;

	if (end - *s < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char c = *(*s)++;

		if (!isxdigit((unsigned char) c))
			return -1;
		unit = unit * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return unit;
}

/* Append what "\u" and the digits behind it, two pairs for characters beyond 16 bits, stand for. */
static bool
append_unicode(StringInfo out, const char **s, const char *end)
{
	int first = take_unit(s, end);
	int second;

	if (first < 0 || is_utf16_surrogate_second(first))
		return false;
	if (!is_utf16_surrogate_first(first))
		return append_character(out, first);
	if (end - *s < 2 || (*s)[0] != '\\' || (*s)[1] != 'u')
		return false;
	*s += 2;
	second = take_unit(s, end);
	if (second < 0 || !is_utf16_surrogate_second(second))
		return false;
	return append_character(out, surrogate_pair_to_codepoint(first, second));
}

/* Text of a string with escapes, without its quotes. */
static PgmlValue
decode_string(const char *s, const char *end)
{
	static const char escapes[] = "bfnrt";
	static const char characters[] = "\b\f\n\r\t";
	StringInfoData out;

	initStringInfo(&out);
	while (s < end)
	{
		const char *escape;

		if (*s != '\\' || s + 1 == end)
		{
			appendStringInfoChar(&out, *s++);
			continue;
		}
		s++;
		escape = strchr(escapes, *s);
		if (*s == 'u')
		{
			s++;
			if (!append_unicode(&out, &s, end))
				return missing_text();
			continue;
		}
		appendStringInfoChar(&out, escape != NULL ? characters[escape - escapes] : *s);
		s++;
	}
	return text_value(out.data, out.len);
}

/* ---- other scalars of json ----------------------------------------------------------------- */

/*
 * A number, written as jsonb writes it: 1.5e1 is 15, -0 is 0.  Exponents of more than three digits stay, for numeric may not
 * hold them.
 */
static PgmlValue
number_text(const char *s, int len)
{
	const char *exponent = memchr(s, 'e', len);
	char *copy;

	if (exponent == NULL)
		exponent = memchr(s, 'E', len);
	if ((exponent == NULL && (len < 2 || s[0] != '-' || s[1] != '0')) ||
		(exponent != NULL && s + len - exponent > 5))
		return text_value(s, len);
	copy = pnstrdup(s, len);
	return pgml_numeric_text(DatumGetNumeric(DirectFunctionCall3(
		numeric_in, CStringGetDatum(copy), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

PgmlValue
pgml_json_text(const char *s, int len)
{
	while (len > 0 && strchr(" \t\r\n", s[0]) != NULL)
	{
		s++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", s[len - 1]) != NULL)
		len--;
	if (len == 0 || s[0] == '{' || s[0] == '[' || (len == 4 && memcmp(s, "null", 4) == 0))
		return missing_text();
	if (s[0] == 't' || s[0] == 'f')
		return text_value(s, len);
	if (s[0] != '"')
		return number_text(s, len);
	if (memchr(s, '\\', len) == NULL)
		return text_value(s + 1, len - 2);
	return decode_string(s + 1, s + len - 1);
}
