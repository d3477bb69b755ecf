/*
 * gbm_block_avx2.c - kernels of blocks for processors with AVX2: 32 rows at a time.
 */
#include "learner/gbm_block.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

static bool
runs_here(void)
{
	return __builtin_cpu_supports("avx2");
}

/* Of 8 thresholds, or of 16, those with these numbers. */
AVX2 static inline __m256
look_up_8(const float *at, __m256i node)
{
	return _mm256_permutevar8x32_ps(_mm256_loadu_ps(at), node);
}

AVX2 static inline __m256
look_up_16(const float *at, __m256i node)
{
	return _mm256_blendv_ps(look_up_8(at, node), look_up_8(at + 8, node),
							_mm256_castsi256_ps(_mm256_slli_epi32(node, 28)));
}

/* Thresholds of one level of the search tree, which has 2^level, by the numbers of their nodes in it. */
AVX2 static inline __m256
look_up(const float *at, int32_t level, __m256i node)
{
	if (level <= 3)
		return look_up_8(at, node);
	if (level == 4)
		return look_up_16(at, node);
	if (level == 5)
		return _mm256_blendv_ps(look_up_16(at, node), look_up_16(at + 16, node),
								_mm256_castsi256_ps(_mm256_slli_epi32(node, 27)));
	return _mm256_i32gather_ps(at, node, sizeof(float));
}

/* Ranks of 8 numbers. */
AVX2 static inline __m256i
search(const PgmlGbmCuts *cuts, __m256 x)
{
	__m256i node = _mm256_setzero_si256();

	for (int32_t level = 0; level < cuts->depth; level++)
	{
		__m256 cut = look_up(cuts->at + (1 << level) - 1, level, node);

		/* Twice as many, and 1 more where the mask is -1. */
		node = _mm256_sub_epi32(_mm256_add_epi32(node, node),
								_mm256_castps_si256(_mm256_cmp_ps(cut, x, _CMP_LT_OQ)));
	}
	return node;
}

AVX2 static void
rank(const PgmlGbmCuts *cuts, const float *x, int64_t n, int64_t rows, int8_t missing, int8_t *line)
{
	__m256i bias = _mm256_set1_epi32(PGML_GBM_RANK_BIAS);
	__m256i if_missing = _mm256_set1_epi32(missing);
	float some[8] = { 0 };
	int32_t found_8[8];

	for (int64_t i = 0; i < rows; i += 8)
	{
		__m256 v;
		__m256i found;

		for (int64_t j = 0; i + 8 > n && j < 8; j++)
			some[j] = i + j < n ? x[i + j] : 0;
		v = _mm256_loadu_ps(i + 8 > n ? some : x + i);
		found = _mm256_sub_epi32(search(cuts, v), bias);
		found = _mm256_blendv_epi8(found, if_missing,
								   _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
		_mm256_storeu_si256((__m256i *) found_8, found);
		for (int j = 0; j < 8; j++)
			line[i + j] = (int8_t) found_8[j];
	}
}

AVX2 static void
contain(const uint8_t *bits, const uint8_t *byte, const uint8_t *bit, int64_t rows, int8_t *line)
{
	/* A shuffle looks up 16 bytes and gives 0 where the highest bit of the place is set. */
	__m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) bits));
	__m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) (bits + 16)));
	__m256i to_low = _mm256_set1_epi8(0x70);
	__m256i to_high = _mm256_set1_epi8(16);

	for (int64_t i = 0; i < rows; i += 32)
	{
		__m256i at = _mm256_load_si256((const __m256i *) (byte + i));
		__m256i found = _mm256_or_si256(_mm256_shuffle_epi8(low, _mm256_add_epi8(at, to_low)),
										_mm256_shuffle_epi8(high, _mm256_sub_epi8(at, to_high)));

		found = _mm256_and_si256(found, _mm256_load_si256((const __m256i *) (bit + i)));
		_mm256_store_si256((__m256i *) (line + i),
						   _mm256_cmpeq_epi8(found, _mm256_setzero_si256()));
	}
}

/* Pass 64 rows through the tree. */
AVX2 static inline void
find_64(const PgmlGbmTest *test, int32_t n, const int8_t *lines, uint8_t *leaf)
{
	__m256i a = _mm256_setzero_si256();
	__m256i b = _mm256_setzero_si256();

	for (int32_t k = 0; k < n; k++)
	{
		const __m256i *line = (const __m256i *) (lines + (int64_t) test[k].line * PGML_BLOCK_ROWS);
		__m256i limit = _mm256_set1_epi8(test[k].rank);
		__m256i from = _mm256_set1_epi8((char) test[k].from);
		__m256i to = _mm256_set1_epi8((char) test[k].to);
		__m256i go_a = _mm256_and_si256(_mm256_cmpgt_epi8(_mm256_load_si256(line), limit),
										_mm256_cmpeq_epi8(a, from));
		__m256i go_b = _mm256_and_si256(_mm256_cmpgt_epi8(_mm256_load_si256(line + 1), limit),
										_mm256_cmpeq_epi8(b, from));

		a = _mm256_blendv_epi8(a, to, go_a);
		b = _mm256_blendv_epi8(b, to, go_b);
	}
	_mm256_store_si256((__m256i *) leaf, a);
	_mm256_store_si256((__m256i *) (leaf + 32), b);
}

AVX2 static void
find(const PgmlGbmTest *test, int32_t n, const int8_t *lines, int64_t rows, uint8_t *leaf)
{
	for (int64_t i = 0; i < rows; i += 64)
		find_64(test, n, lines + i, leaf + i);
}

const PgmlGbmKernel pgml_gbm_kernel_avx2 = { "avx2", runs_here, rank, contain, find, NULL, NULL };

#endif
