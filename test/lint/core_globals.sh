#!/bin/sh
# The PostgreSQL-free folders compile without PostgreSQL's headers, keep no writable global or static
# data, and never end or write to the process they are guests of.  Run from the repository root.
set -u

out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
bad=0

for source in src/core/*.c src/data/*.c src/stats/*.c src/prep/*.c src/learner/*.c src/model/*.c src/search/*.c
do
	[ -f "$source" ] || continue
	object=$out/object.o
	# Not position-independent: constant tables of pointers are read-only then.
	if ! ${CC:-gcc} -std=gnu11 -O0 -w -fno-pic -fno-pie -pthread -Isrc -c -o "$object" "$source"
	then
		bad=1
		continue
	fi
	nm "$object" | awk -v source="$source" '
		# b and d: data, zero or not; C: common; the letters of small data too.
		$(NF - 1) ~ /^[bBdDCcsSgG]$/ {
			print source ": writable data \"" $NF "\""
			bad = 1
		}
		$(NF - 1) == "U" && $NF ~ /^(_?_?exit|_Exit|quick_exit|abort|__assert_fail|raise|kill|fork|system|printf|puts|putchar|fputs|fputc|fprintf|vprintf|vfprintf|perror|stdin|stdout|stderr|setenv|putenv|setlocale|signal|sigaction|longjmp|siglongjmp|rand|srand|random|strtok|__printf_chk|__fprintf_chk)$/ {
			print source ": uses " $NF
			bad = 1
		}
		END { exit bad }
	' || bad=1
done
exit $bad
