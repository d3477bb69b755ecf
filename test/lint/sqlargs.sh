#!/bin/sh
# No argument of a SQL function is named by a keyword that needs quotes where it is used: reserved and
# col_name keywords in a call (name => value), reserved and type_func_name ones as a result column.
# The words are those of keywords.txt (PostgreSQL 15 to 18) and of the server psql reaches, if any.
# Run from the repository root.
set -u

words=$(mktemp) || exit 2
trap 'rm -f "$words"' EXIT
cat test/lint/keywords.txt > "$words" || exit 2
if command -v psql > /dev/null
then
	PGCONNECT_TIMEOUT=2 psql -XAtq -F ' ' -d "${PGDATABASE:-postgres}" -w \
		-c "SELECT word, catcode FROM pg_catalog.pg_get_keywords() WHERE catcode <> 'U'" \
		>> "$words" 2> /dev/null < /dev/null
fi

set -- sql/parts/*.sql
[ -f "$1" ] || exit 0

awk '
# Text without comments, dollar-quoted bodies and the contents of strings. Words in double quotes stay
# as they are: they are compared without the quotes, because a user would have to write them too.
function strip(text,    n, i, c, tag, end, clean)
{
	clean = ""
	n = length(text)
	for (i = 1; i <= n; i++)
	{
		c = substr(text, i, 1)
		if (substr(text, i, 2) == "--")
		{
			end = index(substr(text, i), "\n")
			i = end ? i + end - 2 : n
		}
		else if (substr(text, i, 2) == "/*")
		{
			end = index(substr(text, i + 2), "*/")
			i = end ? i + end + 2 : n
		}
		else if (c == "\047")
		{
			end = index(substr(text, i + 1), "\047")
			i = end ? i + end : n
			clean = clean "\047\047"
		}
		else if (c == "$" && match(substr(text, i), /^\$[A-Za-z_]*\$/))
		{
			tag = substr(text, i, RLENGTH)
			end = index(substr(text, i + RLENGTH), tag)
			i = end ? i + RLENGTH + end + length(tag) - 2 : n
		}
		else
			clean = clean c
	}
	return clean
}
# One argument: its name, unless it has only a type.
function check(argument, result, fname,    part, n, mode, word, code)
{
	gsub(/[ \t\n]+/, " ", argument)
	sub(/^ /, "", argument)
	sub(/ (DEFAULT|default) .*| *=.*/, "", argument)
	n = split(argument, part, " ")
	word = 1
	mode = toupper(part[1])
	if (mode == "OUT")
		result = 1
	if (mode ~ /^(IN|OUT|INOUT|VARIADIC)$/)
		word = 2
	if (n <= word)
		return
	word = part[word]
	if (word !~ /^"/)
		word = tolower(word)
	gsub(/"/, "", word)
	code = category[word]
	if (code == "R" || (!result && code == "C") || (result && code == "T"))
	{
		printf "%s: %s of function %s is named \"%s\", a keyword\n", file, \
			result ? "a result column" : "an argument", fname, word
		bad = 1
	}
}
# Check the list that starts after the parenthesis at position at; returns the position after it.
function check_list(text, at, result, fname,    n, depth, from, c)
{
	n = length(text)
	depth = 1
	from = at
	for (; at <= n; at++)
	{
		c = substr(text, at, 1)
		if (c == "(" || c == "[")
			depth++
		else if (c == ")" || c == "]")
			depth--
		if (depth == 0 || (depth == 1 && c == ","))
		{
			check(substr(text, from, at - from), result, fname)
			from = at + 1
		}
		if (depth == 0)
			return at + 1
	}
	return at
}
function check_file(    text, head, fname)
{
	text = strip(all)
	while (match(text, /[Cc][Rr][Ee][Aa][Tt][Ee]([ \n]+[Oo][Rr][ \n]+[Rr][Ee][Pp][Ll][Aa][Cc][Ee])?[ \n]+([Ff][Uu][Nn][Cc][Tt][Ii][Oo][Nn]|[Pp][Rr][Oo][Cc][Ee][Dd][Uu][Rr][Ee]|[Aa][Gg][Gg][Rr][Ee][Gg][Aa][Tt][Ee])[ \n]+[^ (]+[ \n]*\(/))
	{
		head = substr(text, RSTART, RLENGTH)
		fname = head
		sub(/[ \n]*\($/, "", fname)
		sub(/.*[ \n]/, "", fname)
		text = substr(text, RSTART + RLENGTH)
		text = substr(text, check_list(text, 1, 0, fname))
		functions++
		if (match(text, /^[ \n]*[Rr][Ee][Tt][Uu][Rr][Nn][Ss][ \n]+[Tt][Aa][Bb][Ll][Ee][ \n]*\(/))
		{
			text = substr(text, RLENGTH + 1)
			text = substr(text, check_list(text, 1, 1, fname))
		}
	}
}
FILENAME == ARGV[1] {
	if (!/^#/)
		category[$1] = $2
	next
}
FNR == 1 {
	if (file != "")
		check_file()
	file = FILENAME
	all = ""
}
{ all = all $0 "\n" }
END {
	if (file != "")
		check_file()
	if (functions == 0)
	{
		print "sqlargs: found no function in " file
		bad = 1
	}
	exit bad
}
' "$words" "$@"
