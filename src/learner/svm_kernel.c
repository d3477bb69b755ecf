/*
 * svm_kernel.c - squared distances and the rbf kernel, many points at once.
 *
 * Lanes are points, and each lane adds up its features in their order: so a value does not depend on what it is computed
 * beside, nor on the width of the processor's registers.
 */
#include "learner/svm.h"

typedef float Lanes __attribute__((vector_size(64)));
typedef int32_t Bits __attribute__((vector_size(64)));

#define LANES   16
#define VECTORS (PGML_SVM_TILE / LANES)

PgmlStatus
pgml_svm_points(const PgmlEnv *env, PgmlArena *arena, int64_t n, int numbers, int codes,
				PgmlSvmPoints *points)
{
	size_t width = (size_t) (numbers + codes);

	*points = (PgmlSvmPoints){ .n = n, .numbers = numbers, .codes = codes };
	points->at =
		pgml_zalloc(arena, (size_t) pgml_svm_tiles(n) * PGML_SVM_TILE * width + 1, sizeof(float));
	return points->at != NULL ? PGML_OK : pgml_fail_nomem(env, "learner \"svm\"");
}

/* Where feature 0 of a point is. */
static float *
point_at(const PgmlSvmPoints *points, int64_t i)
{
	int64_t width = points->numbers + points->codes;

	return points->at + i / PGML_SVM_TILE * width * PGML_SVM_TILE + i % PGML_SVM_TILE;
}

void
pgml_svm_get_point(const PgmlSvmPoints *points, int64_t i, float *row)
{
	const float *at = point_at(points, i);

	for (int f = 0; f < points->numbers + points->codes; f++)
		row[f] = at[(int64_t) f * PGML_SVM_TILE];
}

void
pgml_svm_set_point(PgmlSvmPoints *points, int64_t i, const float *row)
{
	float *at = point_at(points, i);

	for (int f = 0; f < points->numbers + points->codes; f++)
		at[(int64_t) f * PGML_SVM_TILE] = row[f];
}

void
pgml_svm_swap_points(PgmlSvmPoints *points, int64_t i, int64_t j)
{
	float *a = point_at(points, i);
	float *b = point_at(points, j);

	for (int64_t f = 0; f < points->numbers + points->codes; f++)
	{
		float t = a[f * PGML_SVM_TILE];

		a[f * PGML_SVM_TILE] = b[f * PGML_SVM_TILE];
		b[f * PGML_SVM_TILE] = t;
	}
}

PGML_CLONES void
pgml_svm_add_distances(const float *tile, int64_t stride, int64_t n_tiles, const float *x,
					   int numbers, int codes, float *sum)
{
	const Bits two = (Bits) ((Lanes){ 0 } + 2.0f);

	for (int64_t t = 0; t < n_tiles; t++, tile += stride, sum += PGML_SVM_TILE)
	{
		Lanes at[VECTORS], s[VECTORS];
		const float *from = tile;

		memcpy(s, sum, sizeof(s));
		for (int f = 0; f < numbers; f++, from += PGML_SVM_TILE)
		{
			memcpy(at, from, sizeof(at));
			for (int v = 0; v < VECTORS; v++)
			{
				Lanes d = x[f] - at[v];

				s[v] += d * d;
			}
		}
		for (int f = numbers; f < numbers + codes; f++, from += PGML_SVM_TILE)
		{
			memcpy(at, from, sizeof(at));
			for (int v = 0; v < VECTORS; v++)
				s[v] += (Lanes) ((x[f] != at[v]) & two);
		}
		memcpy(sum, s, sizeof(s));
	}
}

/*
 * e^x for -87 <= x <= 0 and about 1e-7 of it: 2^n e^r with |r| <= log(2) / 2, and e^r by the polynomial of Cephes' expf.
 */
#define LOG2E    1.44269504088896341f
#define LN2_HIGH 0.693359375f
#define LN2_LOW  -2.12194440e-4f
#define ROUND    12582912.0f /* 1.5 * 2^23: the last bit of a sum with it is worth 1 */

PGML_CLONES void
pgml_svm_rbf(float gamma, int64_t n, float *value)
{
	for (int64_t i = 0; i < n; i++)
	{
		float x = -gamma * value[i];
		float whole, r, p;
		int32_t bits;

		x = x > -87.0f ? x : -87.0f; /* what is no number as well */
		whole = (x * LOG2E + ROUND) - ROUND;
		r = x - whole * LN2_HIGH - whole * LN2_LOW;
		p = 1.9875691500e-4f;
		p = p * r + 1.3981999507e-3f;
		p = p * r + 8.3334519073e-3f;
		p = p * r + 4.1665795894e-2f;
		p = p * r + 1.6666665459e-1f;
		p = p * r + 5.0000001201e-1f;
		p = p * r * r + r + 1.0f;
		bits = ((int32_t) whole + 127) << 23;
		memcpy(&x, &bits, sizeof(x));
		value[i] = p * x;
	}
}

void
pgml_svm_kernel_row(const PgmlSvmPoints *points, float gamma, const float *x, int64_t first,
					int64_t n_tiles, float *out)
{
	int64_t stride = (int64_t) (points->numbers + points->codes) * PGML_SVM_TILE;

	memset(out, 0, (size_t) (n_tiles * PGML_SVM_TILE) * sizeof(float));
	pgml_svm_add_distances(points->at + first * stride, stride, n_tiles, x, points->numbers,
						   points->codes, out);
	pgml_svm_rbf(gamma, n_tiles * PGML_SVM_TILE, out);
}
