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

#include "../include/fastquant.h"
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

/* A tile, as fastquant.h describes it, with `packs` and `run` filled in. Inside, `far` tells whether some zero point is far
 * (fq_is_far, numerics.h), and `room`, if it is not NULL, is FQ_ROOM_BYTES for the prepared parameters of wide rows. */
typedef fastquant_tile fq_tile;

/* Sets of parameters that there is room for; more than one would like on a stack. */
#define FQ_ROOM_SETS 8192
#define FQ_ROOM_BYTES ((FQ_ROOM_SETS + 64) * 20)

/* in and out do not overlap, except that fake_quantize may work in place. Nothing outside the rows is read or written. Who
 * sets `stream` calls fq_stream_end when all tiles are done. */
typedef void (*fq_span)(const fq_tile *t);
typedef fq_span fq_span_table[FQ_OP_COUNT][FQ_REAL_COUNT][FQ_CODE_COUNT];

/* The bare loop of the benchmarks (bare.inc.h), and the one of the target in use. */
typedef uint8_t fq_bare_loop(const char *in, size_t in_bytes, char *out, size_t out_bytes, int stream);
typedef fq_bare_loop *fq_bare;
extern fq_bare_loop fq_portable_bare;
fq_bare fq_active_bare(void);
extern const char fq_compiler[];  /* what compiled the kernels, "" where it does not say */

/* Targets in the order of preference, best last; the first is the portable one, whose table _kernels.pyx fills. */
typedef struct fq_target {
    const char *name;
    int (*runs_here)(void);
    const fq_span_table *spans;      /* NULL rows: the portable span serves */
    fq_bare bare;
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

/* The table in use: one of the above. Any thread may change it at any time. */
extern const fq_span_table *fq_spans_in_use;
void fq_activate(int target);
int fq_active_target(void);

static inline const fq_span_table *fq_active_table(void)
{
#if defined(__GNUC__)
    return __atomic_load_n(&fq_spans_in_use, __ATOMIC_RELAXED);
#else
    return *(const fq_span_table *volatile *)&fq_spans_in_use;
#endif
}

extern const fastquant_api fq_api;

#endif
