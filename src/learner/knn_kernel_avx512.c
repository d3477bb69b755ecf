/*
 * knn_kernel_avx512.c - kernels of nearest neighbours for processors with AVX-512F: a panel with a whole group in registers.
 */
#include "learner/knn.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))
#define LANES  16

static bool
runs_here(void)
{
	return __builtin_cpu_supports("avx512f");
}

AVX512 static void
tile(const float *panel, const float *query, int32_t dense, int32_t width, const float *start,
	 const float *least, uint32_t *mask)
{
	const __m512 one = _mm512_set1_ps(1);
	__m512 sum[PGML_KNN_GROUP][2];

	for (int q = 0; q < PGML_KNN_GROUP; q++)
	{
		sum[q][0] = _mm512_loadu_ps(start);
		sum[q][1] = _mm512_loadu_ps(start + LANES);
	}
	for (int32_t c = 0; c < dense; c++)
	{
		__m512 a = _mm512_loadu_ps(panel + c * PGML_KNN_PANEL);
		__m512 b = _mm512_loadu_ps(panel + c * PGML_KNN_PANEL + LANES);

		for (int q = 0; q < PGML_KNN_GROUP; q++)
		{
			__m512 x = _mm512_set1_ps(query[c * PGML_KNN_GROUP + q]);

			sum[q][0] = _mm512_fmadd_ps(a, x, sum[q][0]);
			sum[q][1] = _mm512_fmadd_ps(b, x, sum[q][1]);
		}
	}
	for (int32_t c = dense; c < width; c++)
	{
		__m512 a = _mm512_loadu_ps(panel + c * PGML_KNN_PANEL);
		__m512 b = _mm512_loadu_ps(panel + c * PGML_KNN_PANEL + LANES);

		for (int q = 0; q < PGML_KNN_GROUP; q++)
		{
			__m512 x = _mm512_set1_ps(query[c * PGML_KNN_GROUP + q]);

			sum[q][0] = _mm512_mask_sub_ps(sum[q][0], _mm512_cmp_ps_mask(a, x, _CMP_NEQ_OQ),
										   sum[q][0], one);
			sum[q][1] = _mm512_mask_sub_ps(sum[q][1], _mm512_cmp_ps_mask(b, x, _CMP_NEQ_OQ),
										   sum[q][1], one);
		}
	}
	for (int q = 0; q < PGML_KNN_GROUP; q++)
	{
		__m512 bound = _mm512_set1_ps(least[q]);
		uint32_t low = _mm512_cmp_ps_mask(sum[q][0], bound, _CMP_GE_OQ);
		uint32_t high = _mm512_cmp_ps_mask(sum[q][1], bound, _CMP_GE_OQ);

		mask[q] = low | high << LANES;
	}
}

AVX512 static uint32_t
near(const float *panel, const float *query, int32_t dense, int32_t width, bool manhattan,
	 float most)
{
	const __m512 two = _mm512_set1_ps(2);
	__m512 low = _mm512_setzero_ps();
	__m512 high = _mm512_setzero_ps();

	for (int32_t c = 0; c < dense; c++)
	{
		__m512 x = _mm512_set1_ps(query[c]);
		__m512 a = _mm512_sub_ps(_mm512_loadu_ps(panel + c * PGML_KNN_PANEL), x);
		__m512 b = _mm512_sub_ps(_mm512_loadu_ps(panel + c * PGML_KNN_PANEL + LANES), x);

		low = manhattan ? _mm512_add_ps(low, _mm512_abs_ps(a)) : _mm512_fmadd_ps(a, a, low);
		high = manhattan ? _mm512_add_ps(high, _mm512_abs_ps(b)) : _mm512_fmadd_ps(b, b, high);
	}
	for (int32_t c = dense; c < width; c++)
	{
		__m512 x = _mm512_set1_ps(query[c]);
		__m512 a = _mm512_loadu_ps(panel + c * PGML_KNN_PANEL);
		__m512 b = _mm512_loadu_ps(panel + c * PGML_KNN_PANEL + LANES);

		low = _mm512_mask_add_ps(low, _mm512_cmp_ps_mask(a, x, _CMP_NEQ_OQ), low, two);
		high = _mm512_mask_add_ps(high, _mm512_cmp_ps_mask(b, x, _CMP_NEQ_OQ), high, two);
	}
	return (uint32_t) _mm512_cmp_ps_mask(low, _mm512_set1_ps(most), _CMP_LE_OQ) |
		   (uint32_t) _mm512_cmp_ps_mask(high, _mm512_set1_ps(most), _CMP_LE_OQ) << LANES;
}

const PgmlKnnKernel pgml_knn_kernel_avx512 = { "avx512", runs_here, tile, near };

#endif
