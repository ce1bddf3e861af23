/* AVX-512 with FMA, as CPUs have it since 2017: F, BW, DQ and VL. Open in this file only, as in target_avx2.c; or, with
 * FQ_SIMDE, not at all. */
#include "target.h"

#if FQ_HAVE_AVX512

#if defined(FQ_SIMDE)
#include "emulated_avx512.h"
#else
#include <immintrin.h>
#endif
#include <math.h>
#include <string.h>

#include "floats.h"
#include "numerics.h"
#include "spans.h"

#define TARGET_SPANS fq_avx512_spans
#define TARGET_BARE fq_avx512_bare
#if !defined(FQ_SIMDE)
extern const fq_span_table fq_avx2_spans;
#define NARROWER_SPANS fq_avx2_spans
#define NARROWER_BELOW 256
/* They do little but load, and of wider loads more cross lines of a cache: on Zen 4, 1.4 times as long where x is not
 * aligned to 64 bytes, and no shorter where it is. */
#define NARROWER_EXTENTS 1
FQ_OPEN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif
#include "lanes_avx512.h"
#include "spans.inc.h"
#include "bare.inc.h"
#if !defined(FQ_SIMDE)
FQ_CLOSE_TARGET
#endif

#else
typedef int fq_no_avx512;  /* ISO C wants a declaration in every file */
#endif
