/* blas.c - OpenBLAS by dlopen. */
#include "core/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_LIBRARY "libopenblas.so.0"

/* Where each entry point goes in a PgmlBlas. */
typedef struct EntryPoint
{
	const char *symbol;
	size_t offset;
} EntryPoint;

static const EntryPoint entry_points[] = {
	{ "cblas_sgemm", offsetof(PgmlBlas, sgemm) }, { "cblas_dgemm", offsetof(PgmlBlas, dgemm) },
	{ "cblas_dsyrk", offsetof(PgmlBlas, dsyrk) }, { "cblas_dgemv", offsetof(PgmlBlas, dgemv) },
	{ "dpotrf_", offsetof(PgmlBlas, dpotrf) },    { "dpotrs_", offsetof(PgmlBlas, dpotrs) },
};

/* The failure every cause leads to: a user can do the same about all of them. */
static PgmlStatus
unavailable(PgmlError *err, const char *library_name, const char *cause)
{
	pgml_fail(err, PGML_ERR_UNAVAILABLE, "could not load OpenBLAS (\"%s\")", library_name);
	pgml_fail_detail(err, "%s.", cause != NULL ? cause : "The cause is not known");
	pgml_fail_hint(err,
				   "Install the system package libopenblas0 (its name in Debian and Ubuntu) on the "
				   "database server.");
	return PGML_ERR_UNAVAILABLE;
}

/* Look every routine up; the name of the first missing one, NULL when all are there. */
static const char *
find_entry_points(void *handle, PgmlBlas *blas)
{
	for (size_t i = 0; i < sizeof(entry_points) / sizeof(entry_points[0]); i++)
	{
		void *address = dlsym(handle, entry_points[i].symbol);

		if (address == NULL)
			return entry_points[i].symbol;
		/* ISO C has no cast from an object to a function pointer; POSIX says the bytes agree. */
		memcpy((char *) blas + entry_points[i].offset, &address, sizeof(address));
	}
	return NULL;
}

/* Version, build and the kernels that were chosen for this processor: results depend on them. */
static void
describe(void *handle, PgmlBlas *blas)
{
	void *address = dlsym(handle, "openblas_get_config");
	const char *(*get_config)(void);
	const char *config;

	if (address == NULL)
		return;
	memcpy(&get_config, &address, sizeof(address));
	config = get_config();
	if (config != NULL)
		snprintf(blas->name, sizeof(blas->name), "%s", config);
}

PgmlStatus
pgml_blas_load(PgmlBlas *blas, const char *library_name, PgmlError *err)
{
	const char *name = library_name != NULL ? library_name : DEFAULT_LIBRARY;
	const char *threads = getenv(PGML_BLAS_THREADS_VARIABLE);
	sigset_t all;
	sigset_t before;

	memset(blas, 0, sizeof(*blas));
	if (threads == NULL || strcmp(threads, "1") != 0)
		return pgml_fail(err, PGML_ERR_INTERNAL, "%s must be 1 before OpenBLAS is loaded",
						 PGML_BLAS_THREADS_VARIABLE);
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
		return pgml_fail(err, PGML_ERR_INTERNAL, "could not mask signals");
	void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	const char *cause = handle == NULL ? dlerror() : NULL;
	pthread_sigmask(SIG_SETMASK, &before, NULL);

	if (handle == NULL)
		return unavailable(err, name, cause);

	const char *missing = find_entry_points(handle, blas);

	if (missing != NULL)
	{
		char words[128] = "The library has no routine ";

		strncat(words, missing, sizeof(words) - strlen(words) - 1);
		memset(blas, 0, sizeof(*blas));
		dlclose(handle);
		return unavailable(err, name, words);
	}
	describe(handle, blas);
	return PGML_OK;
}
