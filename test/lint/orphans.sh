#!/bin/sh
# Every test script has its expected output and the reverse (name_1.out, an alternative, belongs to
# name), and every unit test is in the list of test/unit/main.c.
# Run from the repository root.
set -u
bad=0

# pair <folder of scripts> <their suffix> <folder of expected output>
pair()
{
	for f in "$1"/*"$2"
	do
		[ -f "$f" ] || continue
		name=$(basename "$f" "$2")
		[ -f "$3/$name.out" ] || {
			echo "$f: no expected output $3/$name.out"
			bad=1
		}
	done
	for f in "$3"/*.out
	do
		[ -f "$f" ] || continue
		name=$(basename "$f" .out)
		main=$(echo "$name" | sed 's/_[0-9]$//')
		[ -f "$1/$name$2" ] || [ -f "$1/$main$2" ] || {
			echo "$f: no test $1/$name$2"
			bad=1
		}
	done
}

pair test/sql .sql expected
pair test/isolation/specs .spec test/isolation/expected

for f in test/unit/test_*.c
do
	[ -f "$f" ] || continue
	name=$(basename "$f" .c)
	grep -q "[ {]${name}[ ,}]" test/unit/main.c || {
		echo "$f: $name is not in the list of test/unit/main.c"
		bad=1
	}
done
exit $bad
