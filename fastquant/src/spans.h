/* Span kernels: what they are called with, and the tables that hold them.
 *
 * A span kernel handles one contiguous run of n elements with one set of parameters (or, for the `_columns` kernels,
 * one parameter per element). It knows nothing of shapes, threads or Python; the loops in _kernels.pyx know nothing
 * of lanes. A table row is found by [kernel][real type][code type]. */
#ifndef FQ_SPANS_H
#define FQ_SPANS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.def.h"

#define FQ_OP_ID(op) FQ_##op,
#define FQ_REAL_ID(id, name, type) FQ_##id,
#define FQ_CODE_ID(id, name, type, lowest, highest) FQ_##id,

enum { FQ_OPS(FQ_OP_ID) FQ_OP_COUNT };
enum { FQ_REALS(FQ_REAL_ID) FQ_REAL_COUNT };
enum { FQ_CODES(FQ_CODE_ID) FQ_CODE_COUNT };

typedef struct fq_code_type {
    const char *name;
    int32_t lowest, highest;
} fq_code_type;

extern const fq_code_type fq_code_types[FQ_CODE_COUNT];
extern const char *const fq_op_names[FQ_OP_COUNT];
extern const char *const fq_real_names[FQ_REAL_COUNT];

/* One set of parameters. scale is finite and > 0 and, like offset, exactly representable in the span's real type. */
typedef struct fq_affine {
    double scale, offset;
    int32_t zero_point;
    int32_t lowest, highest;       /* of the code type */
    uint8_t real, code;            /* FQ_f32..., FQ_i8... */
    uint8_t far;                   /* some zero point is beyond FQ_NEAR: see numerics.h */
    uint8_t stream;                /* the output will not fit a cache: store past it */
    const void *scales, *offsets;  /* `_columns` kernels: n of the span's real type */
    const int32_t *zero_points;    /* `_columns` kernels: n */
} fq_affine;

/* Where minmax leaves its findings, each of the span's real type: one element, or n for minmax_columns.
 * They are merged with what is there: start with lo = +inf, hi = -inf, poison = 0.
 * poison becomes NaN when a NaN was met; it is a sum, so nothing else can be read from it. */
typedef struct fq_extent {
    void *lo, *hi, *poison;
} fq_extent;

/* in: reals or codes; out: codes, reals or a fq_extent. in and out do not overlap, except that fake_quantize may
 * work in place. Nothing outside the n elements is read or written. */
typedef void (*fq_span)(const void *in, void *out, ptrdiff_t n, const fq_affine *p);
typedef fq_span fq_span_table[FQ_OP_COUNT][FQ_REAL_COUNT][FQ_CODE_COUNT];

/* Targets in the order of preference, best last; the first is the portable one, whose table _kernels.pyx fills. */
typedef struct fq_target {
    const char *name;
    int (*runs_here)(void);
    const fq_span_table *spans;    /* NULL rows: the portable span serves */
} fq_target;

extern fq_span_table fq_portable_spans;
int fq_target_count(void);
const char *fq_target_name(int target);
int fq_target_runs_here(int target);
void fq_merge_tables(void);  /* once, when the portable table has been filled */
const fq_span_table *fq_target_table(int target);  /* complete: rows that the target lacks are portable */

#endif
