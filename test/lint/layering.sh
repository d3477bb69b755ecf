#!/bin/sh
# Includes go downwards only: worker -> pg -> search -> prep, learner, model -> data, stats -> core.
# Everything but pg and worker knows nothing of PostgreSQL.  Run from the repository root.
set -u

awk '
function dir_of(path)
{
	sub(/\/[^\/]*$/, "", path)
	sub(/.*\//, "", path)
	return path
}
function complain(what)
{
	printf "%s:%d: %s\n", FILENAME, FNR, what
	bad = 1
}
BEGIN {
	may["core"] = "core"
	may["data"] = "core data"
	may["stats"] = "core stats learner/task.h"
	may["prep"] = "core data stats prep learner/task.h"
	may["learner"] = "core data stats learner"
	may["model"] = "core data stats prep learner model"
	may["search"] = "core data stats prep learner model search"
	may["pg"] = may["search"] " pg"
	may["worker"] = may["pg"] " worker"
	ours = may["worker"]
	free = may["search"]
	standard = "ctype dlfcn errno fcntl fenv float inttypes limits locale malloc math pthread sched " \
		"signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib string time unistd " \
		"immintrin cpuid"
}
function listed(word, list)
{
	return index(" " list " ", " " word " ") > 0
}
/^[ \t]*#[ \t]*include/ {
	from = dir_of(FILENAME)
	if (!(from in may))
	{
		complain("folder \"" from "\" is not in the list of layers")
		next
	}
	header = $0
	sub(/^[^"<]*["<]/, "", header)
	sub(/[">].*/, "", header)
	if ($0 ~ /</)
	{
		name = header
		sub(/\.h$/, "", name)
		if (listed(from, free) && !listed(name, standard) && header !~ /^(sys|sanitizer)\//)
			complain("<" header "> is not a standard header: " from " knows nothing of others")
		next
	}
	to = header
	if (!sub(/\/[^\/]*$/, "", to))
		to = ""
	if (!listed(to, ours))
	{
		if (listed(from, free))
			complain("\"" header "\" is not ours: " from " knows nothing of PostgreSQL")
		next
	}
	if (!listed(to, may[from]) && !listed(header, may[from]))
		complain(from " must not use \"" header "\" (it may use: " may[from] ")")
}
END { exit bad }
' src/*/*.[ch]
