/*
 * oblivious_kernel.c - leaves of many rows in an oblivious tree, a bit a level.
 */
#include "learner/oblivious_block.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX2   __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw")))

AVX512 static void
bits_avx512(const PgmlGbmTest *test, uint32_t n, const int8_t *lines, int64_t rows, uint8_t *leaf)
{
	for (int64_t i = 0; i < rows; i += 64)
	{
		__m512i at = _mm512_setzero_si512();

		for (uint32_t d = 0; d < n; d++)
		{
			const int8_t *line = lines + (int64_t) test[d].line * PGML_BLOCK_ROWS + i;
			__mmask64 go =
				_mm512_cmpgt_epi8_mask(_mm512_load_si512(line), _mm512_set1_epi8(test[d].rank));

			at = _mm512_or_si512(at, _mm512_maskz_set1_epi8(go, (char) (1u << d)));
		}
		_mm512_store_si512(leaf + i, at);
	}
}

AVX2 static void
bits_avx2(const PgmlGbmTest *test, uint32_t n, const int8_t *lines, int64_t rows, uint8_t *leaf)
{
	for (int64_t i = 0; i < rows; i += 32)
	{
		__m256i at = _mm256_setzero_si256();

		for (uint32_t d = 0; d < n; d++)
		{
			const int8_t *line = lines + (int64_t) test[d].line * PGML_BLOCK_ROWS + i;
			__m256i go = _mm256_cmpgt_epi8(_mm256_load_si256((const __m256i *) line),
										   _mm256_set1_epi8(test[d].rank));

			at = _mm256_or_si256(at, _mm256_and_si256(go, _mm256_set1_epi8((char) (1u << d))));
		}
		_mm256_store_si256((__m256i *) (leaf + i), at);
	}
}

#endif

static void
bits_plain(const PgmlGbmTest *test, uint32_t n, const int8_t *lines, int64_t rows, uint8_t *leaf)
{
	for (int64_t i = 0; i < rows; i++)
		leaf[i] = 0;
	for (uint32_t d = 0; d < n; d++)
	{
		const int8_t *restrict line = lines + (int64_t) test[d].line * PGML_BLOCK_ROWS;
		uint8_t *restrict at = leaf;
		int8_t rank = test[d].rank;

		for (int64_t i = 0; i < rows; i++)
			at[i] = (uint8_t) (at[i] | (line[i] > rank) << d);
	}
}

const PgmlOblKernel *
pgml_obl_kernels(int *n)
{
	static const PgmlOblKernel kernels[] = {
#if defined(__x86_64__) && defined(__GNUC__)
		{ &pgml_gbm_kernel_avx512, bits_avx512 },
		{ &pgml_gbm_kernel_avx2, bits_avx2 },
#endif
		{ &pgml_gbm_kernel_plain, bits_plain },
	};

	*n = (int) (sizeof(kernels) / sizeof(kernels[0]));
	return kernels;
}
