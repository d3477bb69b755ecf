#!/bin/sh
# Every ereport() of WARNING and above has a SQLSTATE; elog() is for ERRORs that cannot happen and for
# DEBUG and LOG lines.  Run from the repository root.
set -u

set -- src/pg/*.[ch] src/worker/*.[ch]
files=
for f
do
	[ -f "$f" ] && files="$files $f"
done
[ -n "$files" ] || exit 0

# shellcheck disable=SC2086
awk '
# The line without comments and without the contents of strings and characters.
function strip(line,    n, i, c, two, text)
{
	n = length(line)
	text = ""
	for (i = 1; i <= n; i++)
	{
		c = substr(line, i, 1)
		two = substr(line, i, 2)
		if (in_comment)
		{
			if (two == "*/")
			{
				in_comment = 0
				i++
			}
		}
		else if (quote != "")
		{
			if (c == "\\")
				i++
			else if (c == quote)
			{
				quote = ""
				text = text c
			}
		}
		else if (two == "/*")
		{
			in_comment = 1
			i++
		}
		else if (two == "//")
			break
		else
		{
			if (c == "\"" || c == "\047")
				quote = c
			text = text c
		}
	}
	return text
}
# A whole call is in "call": look at its level.
function check(    level)
{
	level = call
	sub(/^[a-z_]*\(/, "", level)
	sub(/,.*/, "", level)
	gsub(/[ \t]/, "", level)
	if (level ~ /^(NOTICE|INFO|LOG|LOG_SERVER_ONLY|COMMERROR|DEBUG[1-5])$/)
	{
		if (call ~ /^elog/ && level ~ /^(NOTICE|INFO)$/)
			complain("elog(" level "): what users read goes through ereport")
		return
	}
	if (call ~ /^elog/)
	{
		if (level != "ERROR")
			complain("elog(" level "): only an ERROR that cannot happen needs no SQLSTATE")
	}
	else if (call !~ /errcode[a-z_]*[ \t]*\(/)
		complain("ereport(" level ") has no errcode")
}
function complain(what)
{
	printf "%s:%d: %s\n", FILENAME, start, what
	bad = 1
}
FNR == 1 {
	in_comment = 0
	quote = ""
	call = ""
}
{
	rest = strip($0)
	for (;;)
	{
		if (call == "")
		{
			if (rest ~ /^[ \t]*#/ || !match(rest, /(^|[^A-Za-z0-9_])(ereport|ereport_domain|elog)[ \t]*\(/))
				break
			rest = substr(rest, RSTART)
			sub(/^[^a-z]/, "", rest)
			start = FNR
			depth = 0
		}
		n = length(rest)
		for (i = 1; i <= n; i++)
		{
			c = substr(rest, i, 1)
			if (c == "(")
				depth++
			else if (c == ")" && --depth == 0)
				break
		}
		call = call substr(rest, 1, i) " "
		if (i > n)
			break
		rest = substr(rest, i + 1)
		check()
		call = ""
	}
}
END { exit bad }
' $files
