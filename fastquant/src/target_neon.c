/* NEON, which every 64-bit Arm CPU has: there is no instruction set to open. */
#include "target.h"

#if FQ_HAVE_NEON

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "floats.h"
#include "numerics.h"
#include "spans.h"

#define TARGET_SPANS fq_neon_spans
#define TARGET_BARE fq_neon_bare
#include "lanes_neon.h"
#include "spans.inc.h"
#include "bare.inc.h"

#else
typedef int fq_no_neon;  /* ISO C wants a declaration in every file */
#endif
