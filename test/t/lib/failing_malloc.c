/*
 * failing_malloc.c - an allocator, for LD_PRELOAD, of which one call fails.
 *
 * The file named by FAILING_MALLOC says which: the n-th one that a process makes from within the extension's library.  How many
 * it made is written to the same name with ".count" when the process ends.  Until there is a file nothing fails or counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static _Atomic pid_t owner; /* the process that the counts are of: children begin anew */
static _Atomic long calls;
static _Atomic long fail_at;

/* Start counting in a process that has not yet. */
static void
begin(void)
{
	const char *name = getenv("FAILING_MALLOC");
	FILE *file = name != NULL ? fopen(name, "r") : NULL;
	long at = 0;

	if (file != NULL)
	{
		if (fscanf(file, "%ld", &at) != 1)
			at = 0;
		fclose(file);
	}
	atomic_store(&calls, 0);
	atomic_store(&fail_at, at);
}

/* Whether the call that came from this address is the one to fail. */
static int
fails(const void *caller)
{
	Dl_info info;
	pid_t self = getpid();

	if (dladdr(caller, &info) == 0 || strstr(info.dli_fname, "/pgml_auto.so") == NULL)
		return 0;
	if (atomic_exchange(&owner, self) != self || atomic_load(&fail_at) == 0)
		begin();
	if (atomic_load(&fail_at) == 0 || atomic_fetch_add(&calls, 1) + 1 != atomic_load(&fail_at))
		return 0;
	errno = ENOMEM;
	return 1;
}

__attribute__((destructor)) static void
write_count(void)
{
	const char *name = getenv("FAILING_MALLOC");
	char path[4096];
	FILE *file;

	if (name == NULL || atomic_load(&owner) != getpid() || atomic_load(&fail_at) == 0)
		return;
	snprintf(path, sizeof(path), "%s.count", name);
	file = fopen(path, "w");
	if (file == NULL)
		return;
	fprintf(file, "%ld\n", atomic_load(&calls));
	fclose(file);
}

void *
malloc(size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int
posix_memalign(void **p, size_t alignment, size_t size)
{
	if (fails(__builtin_return_address(0)))
		return ENOMEM;
	*p = __libc_memalign(alignment, size);
	return *p == NULL ? ENOMEM : 0;
}
