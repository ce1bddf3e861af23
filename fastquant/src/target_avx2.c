/* AVX2 with FMA. The instruction set is open in this file only, after the headers of others: the rest of the module
 * runs on every CPU of its architecture. */
#include "target.h"

#if FQ_HAVE_AVX2

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "floats.h"
#include "numerics.h"
#include "spans.h"

#define TARGET_SPANS fq_avx2_spans
#define TARGET_BARE fq_avx2_bare
FQ_OPEN_TARGET("avx2,fma,f16c")
#include "lanes_avx2.h"
#include "spans.inc.h"
#include "bare.inc.h"
FQ_CLOSE_TARGET

#else
typedef int fq_no_avx2;  /* ISO C wants a declaration in every file */
#endif
