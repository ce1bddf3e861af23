/* Span kernels: what they are called with, and the tables that hold them.
 *
 * A span kernel handles one tile: `rows` rows of `n` contiguous elements, with one set of parameters for each row or, for
 * the `_columns` kernels, for every `run` elements of each row. It knows nothing of shapes, layouts, threads or Python; the walk
 * in _walk.pxi knows nothing of lanes. A table row is found by [kernel][real type][code type]. */
#ifndef FQ_SPANS_H
#define FQ_SPANS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

#include "kernels.def.h"

#define FQ_OP_ID(op) FQ_##op,
#define FQ_RULE_ID(rule) FQ_##rule,
#define FQ_REAL_ID(id, name, type, arithmetic) FQ_##id,
#define FQ_INTEGER_ID(id, name, type, bits, lowest, highest) FQ_##id,
#define FQ_FLOAT_ID(id, name, bits, mantissa, bias, largest, nan, beyond, signed_zero) FQ_##id,

/* int32 is a code type only for reading: accumulators of integer arithmetic. */
enum { FQ_OPS(FQ_OP_ID) FQ_OP_COUNT };
enum { FQ_RULES(FQ_RULE_ID) FQ_RULE_COUNT };
enum { FQ_REALS(FQ_REAL_ID) FQ_REAL_COUNT };
enum { FQ_INTEGERS(FQ_INTEGER_ID) FQ_FLOATS(FQ_FLOAT_ID) FQ_i32, FQ_CODE_COUNT };

typedef struct fq_code_type {
    const char *name;
    int32_t lowest, highest;         /* codes; 0 for floats, which floats.h describes */
    uint8_t size, bits, is_float;    /* size in bytes */
} fq_code_type;

typedef struct fq_real_type {
    const char *name;
    uint8_t size, is_double;         /* whether its arithmetic is that of float64 */
} fq_real_type;

extern const fq_code_type fq_code_types[FQ_CODE_COUNT];
extern const fq_real_type fq_real_types[FQ_REAL_COUNT];
extern const char *const fq_op_names[FQ_OP_COUNT];
extern const char *const fq_rule_names[FQ_RULE_COUNT];

/* Scales (finite and > 0) and offsets are of the type that the arithmetic runs in: float, or double for float64. A set of
 * parameters is `step` elements from the one before, 0 if there is only one. */
typedef struct fq_tile {
    const char *in;                  /* reals, codes, or packed codes */
    char *out;
    ptrdiff_t rows, n;
    ptrdiff_t in_step, out_step;     /* bytes from row to row */
    const void *scales, *offsets;    /* offsets: NULL for none */
    const int32_t *zero_points;
    ptrdiff_t scale_step, offset_step, zero_point_step;
    ptrdiff_t run, phase;            /* `_columns`: element j has set (phase + j) / run; 0 <= phase < run */
    /* minmax leaves its findings here, of the arithmetic type, merged with what is there: start with lo = +inf, hi = -inf,
     * poison = 0. poison becomes NaN when a NaN was met; it is a sum, so nothing else can be read from it. */
    void *lo, *hi, *poison;
    ptrdiff_t extent_step;
    uint8_t real, code;              /* FQ_f32..., FQ_i8... */
    uint8_t far;                     /* some zero point is beyond FQ_NEAR: see numerics.h */
    uint8_t packs;                   /* codes in a byte: 1, or 2 or 4 where they are packed, low bits first */
    uint8_t stream;                  /* the arrays will not fit a cache: read ahead, and store past it */
    uint8_t beyond;                  /* float codes: numbers beyond the finite ones do not saturate */
    uint8_t precision;               /* FQ_f16, FQ_bf16: results are rounded to that type too; FQ_f32: nothing more */
    uint8_t rule;                    /* FQ_divide... */
    uint8_t limited;                 /* codes are limited to lowest ... highest, and not to all of their type */
    int32_t lowest, highest;
    void *room;                      /* FQ_ROOM_BYTES for prepared parameters of wide rows, or NULL: fewer at a time */
} fq_tile;

/* Sets of parameters that there is room for; more than one would like on a stack. */
#define FQ_ROOM_SETS 8192
#define FQ_ROOM_BYTES ((FQ_ROOM_SETS + 64) * 20)

/* in and out do not overlap, except that fake_quantize may work in place. Nothing outside the rows is read or written. Who
 * sets `stream` calls fq_stream_end when all tiles are done. */
typedef void (*fq_span)(const fq_tile *t);
typedef fq_span fq_span_table[FQ_OP_COUNT][FQ_REAL_COUNT][FQ_CODE_COUNT];

/* Targets in the order of preference, best last; the first is the portable one, whose table _kernels.pyx fills. */
typedef struct fq_target {
    const char *name;
    int (*runs_here)(void);
    const fq_span_table *spans;      /* NULL rows: the portable span serves */
} fq_target;

/* Streaming stores are weakly ordered, and another thread may read the output once the call has returned. Waiting for them
 * takes time: once for a call, not for each tile. */
static inline void fq_stream_end(void)
{
#if defined(__SSE__) || defined(_M_X64)
    _mm_sfence();
#endif
}

extern fq_span_table fq_portable_spans;
int fq_target_count(void);
const char *fq_target_name(int target);
int fq_target_runs_here(int target);
void fq_merge_tables(void);  /* once, when the portable table has been filled */
const fq_span_table *fq_target_table(int target);  /* complete: rows that the target lacks are portable */

#endif
