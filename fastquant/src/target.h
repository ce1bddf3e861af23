/* Which targets this compiler can build for this architecture, and how a file opens one. */
#ifndef FQ_TARGET_H
#define FQ_TARGET_H

#if (defined(__x86_64__) || defined(_M_X64)) && !defined(FQ_PORTABLE_ONLY)
#define FQ_HAVE_AVX2 1
#else
#define FQ_HAVE_AVX2 0
#endif

/* FQ_SIMDE: its instructions in portable C instead, for tests on CPUs without it (CONTRIBUTING.md). */
#if FQ_HAVE_AVX2
#define FQ_HAVE_AVX512 1
#else
#define FQ_HAVE_AVX512 0
#endif

/* Big-endian Arm numbers the bytes of a vector otherwise. */
#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__) && !defined(FQ_PORTABLE_ONLY)
#define FQ_HAVE_NEON 1
#else
#define FQ_HAVE_NEON 0
#endif

/* Span bodies rely on constant arguments becoming constants: the compiler may not decline to inline. Without optimisation,
 * or with the checks of sanitizers in each of thousands of copies, that would take it hours and 20 GB; there, they are
 * functions (FQ_CALLS for sanitizers). */
#if defined(FQ_CALLS) || (defined(__GNUC__) && !defined(__OPTIMIZE__))
#define LANE static __attribute__((unused))
#define LANE_CALL LANE
#elif defined(_MSC_VER) && !defined(__clang__)
#define LANE static __forceinline
#define LANE_CALL static __declspec(noinline)
#else
#define LANE static inline __attribute__((always_inline))
#define LANE_CALL static __attribute__((noinline))
#endif

#define FQ_PRAGMA(text) _Pragma(#text)

/* MSVC accepts every intrinsic without a switch. */
#if defined(__clang__)
#define FQ_OPEN_TARGET(features) FQ_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define FQ_CLOSE_TARGET FQ_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define FQ_OPEN_TARGET(features) FQ_PRAGMA(GCC push_options) FQ_PRAGMA(GCC target(features))
#define FQ_CLOSE_TARGET FQ_PRAGMA(GCC pop_options)
#else
#define FQ_OPEN_TARGET(features)
#define FQ_CLOSE_TARGET
#endif

#endif
