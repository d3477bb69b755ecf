/*
 * gbm_block_avx512.c - kernels of blocks for processors with AVX-512 (F and BW): 64 rows at a time; with VBMI, 64 trees at
 * a time for one row.
 */
#include "learner/gbm_block.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX512     __attribute__((target("avx512f,avx512bw")))
#define AVX512VBMI __attribute__((target("avx512f,avx512bw,avx512vbmi")))

static bool
runs_here(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

/* Of 32 thresholds, those with these numbers. */
AVX512 static inline __m512
look_up_32(const float *at, __m512i node)
{
	return _mm512_permutex2var_ps(_mm512_loadu_ps(at), node, _mm512_loadu_ps(at + 16));
}

/* Thresholds of one level of the search tree, which has 2^level, by the numbers of their nodes in it. */
AVX512 static inline __m512
look_up(const float *at, int32_t level, __m512i node)
{
	__mmask16 odd;
	__m512 low;

	if (level <= 4)
		return _mm512_permutexvar_ps(node, _mm512_loadu_ps(at));
	low = look_up_32(at, node);
	if (level == 5)
		return low;
	odd = _mm512_test_epi32_mask(node, _mm512_set1_epi32(32));
	low = _mm512_mask_blend_ps(odd, low, look_up_32(at + 32, node));
	if (level == 6)
		return low;
	return _mm512_mask_blend_ps(
		_mm512_test_epi32_mask(node, _mm512_set1_epi32(64)), low,
		_mm512_mask_blend_ps(odd, look_up_32(at + 64, node), look_up_32(at + 96, node)));
}

AVX512 static void
rank(const PgmlGbmCuts *cuts, const float *x, int64_t n, int64_t rows, int8_t missing, int8_t *line)
{
	__m512i bias = _mm512_set1_epi32(PGML_GBM_RANK_BIAS);
	__m512i one = _mm512_set1_epi32(1);

	for (int64_t i = 0; i < rows; i += 16)
	{
		__mmask16 there = i + 16 <= n ? 0xffff : i < n ? (__mmask16) ((1u << (n - i)) - 1) : 0;
		__m512 v = _mm512_maskz_loadu_ps(there, x + i);
		__m512i node = _mm512_setzero_si512();

		for (int32_t level = 0; level < cuts->depth; level++)
		{
			__m512 cut = look_up(cuts->at + (1 << level) - 1, level, node);

			node = _mm512_add_epi32(node, node);
			node = _mm512_mask_add_epi32(node, _mm512_cmp_ps_mask(cut, v, _CMP_LT_OQ), node, one);
		}
		node = _mm512_sub_epi32(node, bias);
		node = _mm512_mask_mov_epi32(node, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
									 _mm512_set1_epi32(missing));
		_mm_store_si128((__m128i *) (line + i), _mm512_cvtepi32_epi8(node));
	}
}

AVX512 static void
contain(const uint8_t *bits, const uint8_t *byte, const uint8_t *bit, int64_t rows, int8_t *line)
{
	/* A shuffle looks up 16 bytes and gives 0 where the highest bit of the place is set. */
	__m512i low = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *) bits));
	__m512i high = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *) (bits + 16)));
	__m512i to_low = _mm512_set1_epi8(0x70);
	__m512i to_high = _mm512_set1_epi8(16);

	for (int64_t i = 0; i < rows; i += 64)
	{
		__m512i at = _mm512_load_si512(byte + i);
		__m512i found = _mm512_or_si512(_mm512_shuffle_epi8(low, _mm512_add_epi8(at, to_low)),
										_mm512_shuffle_epi8(high, _mm512_sub_epi8(at, to_high)));
		__mmask64 out = _mm512_testn_epi8_mask(found, _mm512_load_si512(bit + i));

		_mm512_store_si512(line + i, _mm512_movm_epi8(out));
	}
}

/* Where 64 rows go from leaf `at` by a test. */
AVX512 static inline __m512i
step(__m512i at, const int8_t *line, __m512i limit, __m512i from, __m512i to)
{
	__mmask64 right = _mm512_cmpgt_epi8_mask(_mm512_load_si512(line), limit);

	return _mm512_mask_mov_epi8(at, _mm512_mask_cmpeq_epi8_mask(right, at, from), to);
}

/* Pass 256 rows through the tree, so that each test is read once for all. */
AVX512 static inline void
find_256(const PgmlGbmTest *test, int32_t n, const int8_t *lines, uint8_t *leaf)
{
	__m512i a = _mm512_setzero_si512();
	__m512i b = a;
	__m512i c = a;
	__m512i d = a;

	for (int32_t k = 0; k < n; k++)
	{
		const int8_t *line = lines + (int64_t) test[k].line * PGML_BLOCK_ROWS;
		__m512i limit = _mm512_set1_epi8(test[k].rank);
		__m512i from = _mm512_set1_epi8((char) test[k].from);
		__m512i to = _mm512_set1_epi8((char) test[k].to);

		a = step(a, line, limit, from, to);
		b = step(b, line + 64, limit, from, to);
		c = step(c, line + 128, limit, from, to);
		d = step(d, line + 192, limit, from, to);
	}
	_mm512_store_si512(leaf, a);
	_mm512_store_si512(leaf + 64, b);
	_mm512_store_si512(leaf + 128, c);
	_mm512_store_si512(leaf + 192, d);
}

/* Pass 64 rows through the tree. */
AVX512 static inline void
find_64(const PgmlGbmTest *test, int32_t n, const int8_t *lines, uint8_t *leaf)
{
	__m512i at = _mm512_setzero_si512();

	for (int32_t k = 0; k < n; k++)
		at = step(at, lines + (int64_t) test[k].line * PGML_BLOCK_ROWS,
				  _mm512_set1_epi8(test[k].rank), _mm512_set1_epi8((char) test[k].from),
				  _mm512_set1_epi8((char) test[k].to));
	_mm512_store_si512(leaf, at);
}

AVX512 static void
find(const PgmlGbmTest *test, int32_t n, const int8_t *lines, int64_t rows, uint8_t *leaf)
{
	int64_t i = 0;

	for (; i + 256 <= rows; i += 256)
		find_256(test, n, lines + i, leaf + i);
	for (; i < rows; i += 64)
		find_64(test, n, lines + i, leaf + i);
}

const PgmlGbmKernel pgml_gbm_kernel_avx512 = {
	"avx512", runs_here, rank, contain, find, NULL, NULL
};

/* ---- one row ---- */

static bool
has_vbmi(void)
{
	return runs_here() && __builtin_cpu_supports("avx512vbmi");
}

/* Of the thresholds, first the 16 among which x belongs, then those of them less than x. */
AVX512VBMI static void
rank_row(const PgmlGbmCuts *cuts, const PgmlGbmNumberLine *number, uint32_t n, const float *x,
		 int64_t stride, int8_t *bytes)
{
	for (uint32_t k = 0; k < n; k++)
	{
		const PgmlGbmCuts *c = &cuts[number[k].cuts];
		float v = x[number[k].feature * stride];
		__m512 all = _mm512_set1_ps(v);
		int sixteen =
			__builtin_popcount(_mm512_cmp_ps_mask(_mm512_loadu_ps(c->last), all, _CMP_LT_OQ));
		int rest = __builtin_popcount(
			_mm512_cmp_ps_mask(_mm512_loadu_ps(c->sorted + 16 * sixteen), all, _CMP_LT_OQ));

		bytes[k] = v == v ? (int8_t) (16 * sixteen + rest - PGML_GBM_RANK_BIAS) : number[k].missing;
	}
}

AVX512VBMI static void
find_row(const PgmlGbmStep *step, int32_t n, const int8_t *bytes, int32_t n_lines,
		 const int8_t *contained, uint8_t *leaf)
{
	__m512i low = _mm512_loadu_si512(bytes);
	__m512i high = _mm512_loadu_si512(bytes + 64);
	__m512i at = _mm512_setzero_si512();

	for (int32_t k = 0; k < n; k++)
	{
		__m512i line = _mm512_load_si512(step[k].line);
		__m512i byte = n_lines <= 64 ? _mm512_permutexvar_epi8(line, low) :
									   _mm512_permutex2var_epi8(low, line, high);
		__mmask64 set = _mm512_movepi8_mask(line);

		if (set != 0)
			byte = _mm512_mask_loadu_epi8(byte, set, contained + k * PGML_GBM_STEP_TREES);
		set = _mm512_cmpgt_epi8_mask(byte, _mm512_load_si512(step[k].rank));
		set = _mm512_mask_cmpeq_epi8_mask(set, at, _mm512_load_si512(step[k].from));
		at = _mm512_mask_mov_epi8(at, set, _mm512_load_si512(step[k].to));
	}
	_mm512_store_si512(leaf, at);
}

const PgmlGbmKernel pgml_gbm_kernel_avx512vbmi = { "avx512vbmi", has_vbmi, rank,    contain,
												   find,         rank_row, find_row };

#endif
