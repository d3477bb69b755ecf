/* Tests of core/blas: loading, absence, and what loading does to threads and signals. */
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/blas.h"

extern int test_blas(void);

#define MAX_TASKS 256

/* Ids of the threads of this process. */
static int
list_tasks(int *ids)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL && n < MAX_TASKS)
		if (entry->d_name[0] != '.')
			ids[n++] = atoi(entry->d_name);
	closedir(dir);
	return n;
}

/* The set of blocked signals of a thread, as the kernel says. */
static unsigned long long
blocked_signals(int id)
{
	char path[64];
	char line[256];
	unsigned long long set = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", id);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "SigBlk: %llx", &set) == 1)
			break;
	fclose(file);
	return set;
}

static int
set_one_thread(void **state)
{
	(void) state;
	return setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
}

/* Threads that appear while the library is loaded and used must never take one of the process's signals. */
static void
loading_leaves_signals_to_the_main_thread(void **state)
{
	static const int watched[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1,
								   SIGUSR2, SIGALRM, SIGTERM, SIGURG };
	int before[MAX_TASKS];
	int after[MAX_TASKS];
	int n_before = list_tasks(before);
	double a[4] = { 1, 2, 3, 4 };
	double c[4] = { 0, 0, 0, 0 };
	sigset_t mask_before;
	sigset_t mask_after;
	PgmlBlas blas;
	PgmlError err = { 0 };

	(void) state;
	pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
	assert_int_equal(pgml_blas_load(&blas, NULL, &err), PGML_OK);
	blas.dgemm(PGML_ROW_MAJOR, PGML_NO_TRANS, PGML_NO_TRANS, 2, 2, 2, 1, a, 2, a, 2, 0, c, 2);
	pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
	for (int s = 1; s < 32; s++)
		assert_int_equal(sigismember(&mask_before, s), sigismember(&mask_after, s));

	int n_after = list_tasks(after);

	for (int i = 0; i < n_after; i++)
	{
		bool is_new = true;

		for (int j = 0; j < n_before; j++)
			is_new &= before[j] != after[i];
		for (size_t s = 0; is_new && s < sizeof(watched) / sizeof(watched[0]); s++)
			assert_true(blocked_signals(after[i]) >> (watched[s] - 1) & 1);
	}
}

static void
every_routine_computes(void **state)
{
	const double a[6] = { 1, 2, 3, 4, 5, 6 }; /* 3 x 2 */
	const float fa[4] = { 1, 2, 3, 4 };
	const double x[2] = { 1, -1 };
	double y[3] = { 0, 0, 0 };
	double gram[4] = { 0, 0, 0, 0 };
	double c[4];
	float fc[4];
	double b[2] = { 1, 2 };
	int n = 2;
	int one = 1;
	int info = -1;
	PgmlBlas blas;

	(void) state;
	assert_int_equal(pgml_blas_load(&blas, NULL, NULL), PGML_OK);
	blas.dgemv(PGML_ROW_MAJOR, PGML_NO_TRANS, 3, 2, 1, a, 2, x, 1, 0, y, 1);
	for (int i = 0; i < 3; i++)
		assert_true(y[i] == -1);
	blas.dgemm(PGML_ROW_MAJOR, PGML_TRANS, PGML_NO_TRANS, 2, 2, 3, 1, a, 2, a, 2, 0, c, 2);
	assert_true(c[0] == 35 && c[1] == 44 && c[2] == 44 && c[3] == 56);
	blas.sgemm(PGML_ROW_MAJOR, PGML_NO_TRANS, PGML_NO_TRANS, 2, 2, 2, 1, fa, 2, fa, 2, 0, fc, 2);
	assert_true(fc[0] == 7 && fc[1] == 10 && fc[2] == 15 && fc[3] == 22);
	blas.dsyrk(PGML_ROW_MAJOR, PGML_LOWER, PGML_TRANS, 2, 3, 1, a, 2, 0, gram, 2);
	assert_true(gram[0] == 35 && gram[1] == 0 && gram[2] == 44 && gram[3] == 56);
	blas.dpotrf("U", &n, gram, &n, &info);
	assert_int_equal(info, 0);
	blas.dpotrs("U", &n, &one, gram, &n, b, &n, &info);
	assert_int_equal(info, 0);
	assert_true(fabs(35 * b[0] + 44 * b[1] - 1) < 1e-9);
	assert_true(fabs(44 * b[0] + 56 * b[1] - 2) < 1e-9);
}

static void
an_absent_library_is_named_with_its_package(void **state)
{
	PgmlBlas blas;
	PgmlError err = { 0 };

	(void) state;
	assert_int_equal(pgml_blas_load(&blas, "libnosuchblas.so.0", &err), PGML_ERR_UNAVAILABLE);
	assert_int_equal(err.status, PGML_ERR_UNAVAILABLE);
	assert_non_null(strstr(err.message, "libnosuchblas.so.0"));
	assert_non_null(strstr(err.hint, "libopenblas0"));
	assert_non_null(strstr(err.detail, "libnosuchblas.so.0"));
	assert_null(blas.dgemm);
	assert_int_equal(pgml_blas_load(&blas, "libnosuchblas.so.0", NULL), PGML_ERR_UNAVAILABLE);
}

static void
another_library_is_refused(void **state)
{
	PgmlBlas blas;
	PgmlError err = { 0 };

	(void) state;
	assert_int_equal(pgml_blas_load(&blas, "libm.so.6", &err), PGML_ERR_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "cblas_sgemm"));
	assert_null(blas.sgemm);
}

static void
the_thread_count_must_be_set_before(void **state)
{
	PgmlBlas blas;
	PgmlError err = { 0 };

	(void) state;
	unsetenv(PGML_BLAS_THREADS_VARIABLE);
	assert_int_equal(pgml_blas_load(&blas, NULL, &err), PGML_ERR_INTERNAL);
	assert_non_null(strstr(err.message, PGML_BLAS_THREADS_VARIABLE));
	setenv(PGML_BLAS_THREADS_VARIABLE, "4", 1);
	assert_int_equal(pgml_blas_load(&blas, NULL, &err), PGML_ERR_INTERNAL);
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	assert_int_equal(pgml_blas_load(&blas, NULL, &err), PGML_OK);
}

int
test_blas(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loading_leaves_signals_to_the_main_thread),
		cmocka_unit_test(every_routine_computes),
		cmocka_unit_test(an_absent_library_is_named_with_its_package),
		cmocka_unit_test(another_library_is_refused),
		cmocka_unit_test(the_thread_count_must_be_set_before),
	};

	return cmocka_run_group_tests_name("blas", tests, set_one_thread, NULL);
}
