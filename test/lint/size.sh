#!/bin/sh
# No file is longer than 1200 lines and no function than 150, its braces included.
# Run from the repository root.
set -u

files=
for f in src/*/*.[ch] test/unit/*.[ch] test/fuzz/*.[ch] sql/parts/*.sql
do
	[ -f "$f" ] && files="$files $f"
done
[ -n "$files" ] || exit 0

# shellcheck disable=SC2086
awk '
function end_of_file()
{
	if (file != "" && lines > 1200)
	{
		printf "%s: %d lines, at most 1200 are allowed\n", file, lines
		bad = 1
	}
}
FNR == 1 {
	end_of_file()
	file = FILENAME
	name = ""
	start = 0
}
{ lines = FNR }
file ~ /\.sql$/ { next }
# The name stands at the beginning of a line, the braces of its body alone on theirs.
/^[A-Za-z_][A-Za-z0-9_]*\(/ || /^[A-Za-z_].*[ *][A-Za-z_][A-Za-z0-9_]*\(/ {
	name = $0
	sub(/\(.*/, "", name)
	sub(/.*[ *]/, "", name)
}
/^(typedef|struct|union|enum)/ { name = "" }
/^\{/ { start = FNR }
/^\}/ {
	if (name != "" && start > 0 && FNR - start + 1 > 150)
	{
		printf "%s:%d: function %s has %d lines, at most 150 are allowed\n", file, start, name, FNR - start + 1
		bad = 1
	}
	name = ""
	start = 0
}
END {
	end_of_file()
	exit bad
}
' $files
