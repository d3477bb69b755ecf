#!/bin/sh
# The C code is as clang-format 14 leaves it (other versions differ in details, so they are not asked).
# Run from the repository root; `clang-format -i <file>` mends what is reported.
set -u

tool=$(command -v clang-format-14 || command -v clang-format) || {
	echo "format: clang-format is not installed (package clang-format-14)"
	exit 1
}
case $($tool --version) in
	*"version 14."*) ;;
	*)
		echo "format: not checked, $tool is not version 14"
		exit 0
		;;
esac

files=
for f in src/*/*.[ch] test/unit/*.[ch] test/fuzz/*.[ch]
do
	[ -f "$f" ] && files="$files $f"
done
# shellcheck disable=SC2086
$tool --dry-run -Werror --ferror-limit=1 $files 2>&1 | sed -n 's/: error: .*/: not formatted, run clang-format -i on it/p' |
	awk '{ print } END { exit NR > 0 }'
