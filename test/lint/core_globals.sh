#!/bin/sh
# The PostgreSQL-free folders compile without PostgreSQL's headers, keep no writable global or static
# data, and never end or write to the process they are guests of.  Run from the repository root.
set -u

out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
bad=0

for folder in core data stats prep learner search model
do
	mkdir -p "$out/src/$folder"
	ls src/$folder/*.c
done >"$out/sources"
# Not position-independent: constant tables of pointers are read-only then.
xargs -P "$(nproc)" -I {} ${CC:-gcc} -std=gnu11 -O0 -w -fno-pic -fno-pie -pthread -Isrc -c -o "$out/{}.o" {} \
	<"$out/sources" || bad=1

while read -r source
do
	nm "$out/$source.o" | awk -v source="$source" '
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
done <"$out/sources"
exit $bad
