/*
 * clones.h - functions compiled for several kinds of processors.
 */
#ifndef PGML_CORE_CLONES_H
#define PGML_CORE_CLONES_H

/*
 * Kernels are compiled for plain x86-64, for AVX2 and for AVX-512, and chosen at load time; none fuses multiply and
 * add, so they give equal results.  Sanitised builds keep the plain one: resolvers run before the sanitiser is ready.
 */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__OPTIMIZE__) &&                      \
	!defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#if __GNUC__ >= 12
#define PGML_CLONES __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define PGML_CLONES __attribute__((target_clones("default", "avx2")))
#endif
#else
#define PGML_CLONES
#endif

#endif
