/*
 * knn_kernel_avx2.c - kernels of nearest neighbours for processors with AVX2 and FMA: 16 rows with 6 rows to predict in registers.
 */
#include "learner/knn.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))

/* Rows to predict whose sums are in registers at once, and registers of rows each. */
#define QUERIES 6
#define LANES   8

static bool
runs_here(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* 16 rows of a panel and 6 rows to predict; the bits are put into mask at `shift`. */
AVX2 static inline void
corner(const float *panel, const float *query, int32_t dense, int32_t width, const float *start,
	   const float *least, int shift, uint32_t *mask)
{
	const __m256 one = _mm256_set1_ps(1);
	__m256 sum[QUERIES][2];

	for (int q = 0; q < QUERIES; q++)
	{
		sum[q][0] = _mm256_loadu_ps(start);
		sum[q][1] = _mm256_loadu_ps(start + LANES);
	}
	for (int32_t c = 0; c < dense; c++)
	{
		__m256 a = _mm256_loadu_ps(panel + c * PGML_KNN_PANEL);
		__m256 b = _mm256_loadu_ps(panel + c * PGML_KNN_PANEL + LANES);

		for (int q = 0; q < QUERIES; q++)
		{
			__m256 x = _mm256_broadcast_ss(query + c * PGML_KNN_GROUP + q);

			sum[q][0] = _mm256_fmadd_ps(a, x, sum[q][0]);
			sum[q][1] = _mm256_fmadd_ps(b, x, sum[q][1]);
		}
	}
	for (int32_t c = dense; c < width; c++)
	{
		__m256 a = _mm256_loadu_ps(panel + c * PGML_KNN_PANEL);
		__m256 b = _mm256_loadu_ps(panel + c * PGML_KNN_PANEL + LANES);

		for (int q = 0; q < QUERIES; q++)
		{
			__m256 x = _mm256_broadcast_ss(query + c * PGML_KNN_GROUP + q);

			sum[q][0] =
				_mm256_sub_ps(sum[q][0], _mm256_and_ps(_mm256_cmp_ps(a, x, _CMP_NEQ_OQ), one));
			sum[q][1] =
				_mm256_sub_ps(sum[q][1], _mm256_and_ps(_mm256_cmp_ps(b, x, _CMP_NEQ_OQ), one));
		}
	}
	for (int q = 0; q < QUERIES; q++)
	{
		__m256 bound = _mm256_broadcast_ss(least + q);
		uint32_t low = (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(sum[q][0], bound, _CMP_GE_OQ));
		uint32_t high = (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(sum[q][1], bound, _CMP_GE_OQ));

		mask[q] |= (low | high << LANES) << shift;
	}
}

AVX2 static void
tile(const float *panel, const float *query, int32_t dense, int32_t width, const float *start,
	 const float *least, uint32_t *mask)
{
	for (int q = 0; q < PGML_KNN_GROUP; q++)
		mask[q] = 0;
	for (int q = 0; q < PGML_KNN_GROUP; q += QUERIES)
		for (int r = 0; r < PGML_KNN_PANEL; r += 2 * LANES)
			corner(panel + r, query + q, dense, width, start + r, least + q, r, mask + q);
}

AVX2 static uint32_t
near(const float *panel, const float *query, int32_t dense, int32_t width, bool manhattan,
	 float most)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	const __m256 two = _mm256_set1_ps(2);
	__m256 sum[PGML_KNN_PANEL / LANES];
	uint32_t mask = 0;

	for (int r = 0; r < PGML_KNN_PANEL / LANES; r++)
		sum[r] = _mm256_setzero_ps();
	for (int32_t c = 0; c < dense; c++)
	{
		__m256 x = _mm256_broadcast_ss(query + c);

		for (int r = 0; r < PGML_KNN_PANEL / LANES; r++)
		{
			__m256 d = _mm256_sub_ps(_mm256_loadu_ps(panel + c * PGML_KNN_PANEL + r * LANES), x);

			sum[r] = manhattan ? _mm256_add_ps(sum[r], _mm256_andnot_ps(sign, d)) :
								 _mm256_fmadd_ps(d, d, sum[r]);
		}
	}
	for (int32_t c = dense; c < width; c++)
	{
		__m256 x = _mm256_broadcast_ss(query + c);

		for (int r = 0; r < PGML_KNN_PANEL / LANES; r++)
		{
			__m256 a = _mm256_loadu_ps(panel + c * PGML_KNN_PANEL + r * LANES);

			sum[r] = _mm256_add_ps(sum[r], _mm256_and_ps(_mm256_cmp_ps(a, x, _CMP_NEQ_OQ), two));
		}
	}
	for (int r = 0; r < PGML_KNN_PANEL / LANES; r++)
		mask |=
			(uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(sum[r], _mm256_set1_ps(most), _CMP_LE_OQ))
			<< (r * LANES);
	return mask;
}

const PgmlKnnKernel pgml_knn_kernel_avx2 = { "avx2", runs_here, tile, near };

#endif
