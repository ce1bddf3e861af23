/* The span kernels of the lane targets, written once. A target_*.c opens its instruction set, includes its lanes_*.h
 * and then this file.
 *
 * Everything works on blocks of four vectors, since that many vectors of int32 narrow to one vector of bytes. Where a
 * run is no multiple of a block, the rest is a block too, overlapping the one before or in a small buffer: the same
 * code, so the same result, and not one byte outside the run is read or written.
 *
 * What is constant during a run but changes the work (kernel, real type, kind of code, way of dividing, whether
 * parameters go by column) is an argument of functions that are always inlined, with a constant at the call: each
 * combination becomes a loop of its own. */

#define BLOCK (4 * LANES)

/* What is not of whole blocks goes through a buffer, or some of it is done twice: a short row feels it the more the
 * longer a block is. For rows below some length, and ranges of rows, a target may name one with shorter blocks, which
 * runs wherever it does. */
#if !defined(NARROWER_SPANS)
#define NARROWER_SPANS fq_portable_spans
#define NARROWER_BELOW 0
#define NARROWER_EXTENTS 0
#endif

LANE int is_for_narrower(const fq_tile *t, int whole) { return t->n < NARROWER_BELOW && t->n % whole != 0; }

#include "params.inc.h"
#include "codes.inc.h"
#include "small_floats.inc.h"
#include "extents.inc.h"
#include "packing.inc.h"
#include "blocks.inc.h"
#include "loops.inc.h"

/* ---- a run: head, blocks, tail ---- */

/* A run, of one row or of several side by side, is at most three pieces: what comes before the first aligned place of a
 * streamed output, whole blocks, and the rest. Whatever is less than a block goes through a buffer; but the last block may
 * overlap the one before, unless fake_quantize is at work in place, which gives the same again, or it would begin within a
 * byte. One loop over the pieces, so that the blocks are compiled once. */
LANE void lane_run(int op, lane_rows rows, size_t n, const lane_run_params *p, int real, int kind, int how, int columns,
                   int stream)
{
    const size_t from = in_bytes(op, real, kind), to = out_bytes(op, real, kind);
    const size_t each_in = in_packs(op, kind, &p->code), each_out = out_packs(op, kind, &p->code), each = each_in * each_out;
    size_t done = 0;
    const size_t misfit = (uintptr_t)rows.out & (STREAM_BYTES - 1), head = (STREAM_BYTES - misfit) * each_out / to;
    stream = stream && (uintptr_t)rows.out % to == 0 && each_out < 4 && (misfit == 0 || head % each == 0);
    while (done < n) {
        lane_rows piece = rows;
        size_t m = n - done, blocks = m / BLOCK, first = done;
        int streams = stream, buffered = 0;
        if (stream && done == 0 && misfit != 0) {
            m = m < head ? m : head;
            blocks = 0;
        }
        if (blocks > 0) {
            m = blocks * BLOCK;
        } else {
            buffered = !(done > 0 && m < BLOCK && done + m == n && n >= BLOCK && rows.in != rows.out && n % each == 0);
            first = buffered ? done : n - BLOCK;
            blocks = 1;
            streams = stream && !buffered && ((uintptr_t)(rows.out + first * to / each_out) & (STREAM_BYTES - 1)) == 0;
        }
        piece.in += first * from / each_in;
        piece.out += first * to / each_out;
        piece.n = buffered ? 1 : rows.n;
        for (size_t r = 0; r < rows.n; r += piece.n, piece.in += rows.in_step, piece.out += rows.out_step) {
            char buffer_in[BLOCK * sizeof(double)], buffer_out[BLOCK * sizeof(double)];
            lane_rows run = piece;
            if (buffered) {
                memset(buffer_in, 0, sizeof buffer_in);
                memcpy(buffer_in, piece.in, (m * from + each_in - 1) / each_in);
                run.in = buffer_in;
                run.out = buffer_out;
            }
            lane_blocks(op, run, first, blocks, p, real, kind, how, columns, streams);
            if (buffered) {
                if (each_out > 1)
                    clear_spare(buffer_out, m, (int)each_out);
                memcpy(piece.out, buffer_out, (m * to + each_out - 1) / each_out);
            }
        }
        done += m;
    }
}

/* ---- tiles ---- */

/* Rows of 32 that follow each other, with parameters of their own; for work that is faster so than by AVX2 with a block
 * for each row, or than one row after the other. */
LANE int is_of_32(int op, const fq_tile *t, int real, int kind)
{
    const ptrdiff_t reals = t->n * (ptrdiff_t)real_bytes(real), codes = t->n / t->packs;
    const int floats = op == FQ_quantize && kind == SMALL_FLOATS && BLOCK == 64;
    const int has = (op == FQ_dequantize || floats) && real == FQ_f32 && code_bytes(kind) == 1;
    return has && t->n == 32 && t->rows > 1 && (t->scale_step | t->zero_point_step | t->offset_step) != 0
        && t->in_step == (op == FQ_quantize ? reals : codes) && t->out_step == (op == FQ_quantize ? codes : reals);
}

/* Whether rows of n elements, row_bytes of output, are streamed: if no part of any has to be stored in the usual way.
 * Where the two ways meet in a line of a cache, it is written to memory and read again: some 2 us for a row, which took
 * dequantize 30 times as long for rows of 300. Long rows are streamed wherever they begin; those that are side by side are
 * never so long. */
#define LONG_ROW ((size_t)256 << 10)
_Static_assert(FQ_ROOM_SETS * sizeof(double) < LONG_ROW, "rows side by side are streamed only if all are aligned");

LANE int tile_streams(const fq_tile *t, size_t n, size_t row_bytes)
{
    const int ends_overlap = t->in != t->out && n % t->packs == 0;
    if (!t->stream || t->rows == 1 || row_bytes >= LONG_ROW)
        return t->stream;
    return n >= BLOCK && (n % BLOCK == 0 || ends_overlap)
        && (((uintptr_t)t->out | (uintptr_t)t->out_step | (uintptr_t)row_bytes) & (STREAM_BYTES - 1)) == 0;
}

/* Rows first ... first + m - 1, with the parameters of the batch, or with the only ones that there are. */
LANE void tile_rows(int op, const fq_tile *t, size_t first, size_t m, int single, lane_run_params *p, int real, int kind,
                    int how)
{
    const size_t n = (size_t)t->n;
    const size_t from = n * in_bytes(op, real, kind) / in_packs(op, kind, &p->code);
    const size_t to = n * out_bytes(op, real, kind) / out_packs(op, kind, &p->code);
    const char *in = t->in + (ptrdiff_t)first * t->in_step;
    char *out = t->out + (ptrdiff_t)first * t->out_step;
    size_t runs = m, length = n;
    int stream = tile_streams(t, n, to);
    p->per_set = SIZE_MAX;
    if (is_of_32(op, t, real, kind)) {
        const lane_rows all = {in, out, 0, 0, 1};
        p->set = 0;
        p->ahead = ahead_of(t);
        /* Without a head: blocks begin where sets do. */
        lane_run(op, all, m * n, p, real, kind, how, BY_32, t->stream && ((uintptr_t)out & (STREAM_BYTES - 1)) == 0);
        return;
    }
    p->ahead = stream ? ahead_of(t) : 0;
    /* Short rows of whole blocks that follow each other are one run, in which the parameters change. */
    if (m > 1 && !single && n % BLOCK == 0 && n < BATCH && t->in_step == (ptrdiff_t)from
        && t->out_step == (ptrdiff_t)to) {
        p->per_set = n / BLOCK;
        runs = 1;
        length = m * n;
        stream = stream && ((uintptr_t)out & (STREAM_BYTES - 1)) == 0;
    }
    for (size_t i = 0; i < runs; i++) {
        const lane_rows row = {in + (ptrdiff_t)i * t->in_step, out + (ptrdiff_t)i * t->out_step, 0, 0, 1};
        p->set = single ? 0 : i;
        lane_run(op, row, length, p, real, kind, how, BY_ROW, stream);
    }
}

/* Columns first ... first + m - 1 of all rows: four rows side by side or one after the other. Side by side, parameters are
 * loaded once for four, but four rows are harder to read ahead of. So where parameters fill the first cache, or where the
 * array is in the second; on Zen 4, int8, times over a plain call, side by side and not: 0.25Mi elements, 1024 columns 1.3
 * and 1.4; 16Mi, 1024 columns 1.8 and 1.2, 4096 columns 1.4 and 2.2. Prefetching helps neither. */
#define PREPARED_BYTES ((size_t)20 << 10)
#define NEAR_BYTES ((size_t)2 << 20)

LANE void tile_columns(int op, const fq_tile *t, size_t first, size_t m, lane_run_params *p, int real, int kind, int how)
{
    const size_t from = in_bytes(op, real, kind), each_in = in_packs(op, kind, &p->code);
    const size_t to = out_bytes(op, real, kind), each_out = out_packs(op, kind, &p->code);
    const int stream = tile_streams(t, m, m * to / each_out);
    const size_t each_set = (op == FQ_dequantize ? 4 : op == FQ_quantize ? 8 : 12) + 4 * (real == FQ_f64 || p->batch->uneven);
    const int near = !t->stream && (size_t)t->rows * (size_t)t->n <= NEAR_BYTES / (from + to);
    const int shares = near || m * each_set > PREPARED_BYTES;
    const ptrdiff_t together = shares && shares_rows(real, kind) && each_in * each_out == 1 ? SIDE_BY_SIDE : 1;
    p->ahead = 0;
    p->set = 0;
    for (ptrdiff_t r = 0; r < t->rows; r += together) {
        const char *in = t->in + r * t->in_step + first * from / each_in;
        char *out = t->out + r * t->out_step + first * to / each_out;
        const ptrdiff_t n = together < t->rows - r ? together : t->rows - r;
        const lane_rows rows = {in, out, t->in_step, t->out_step, (size_t)n};
        lane_run(op, rows, m, p, real, kind, how, BY_COLUMN, stream);
    }
}

/* The way to divide by a known scale, where it is worth one. */
LANE int best_how(int op, int kind)
{
    if (op == FQ_dequantize)
        return FQ_GENERAL;
    return kind == SIGNED_WORDS || kind == UNSIGNED_WORDS ? FQ_CORRECTED : FQ_TWO_PRODUCTS;
}

/* Parts of a tile that share a batch of parameters: so many rows, or so many columns of all rows. */
typedef struct {
    size_t first, m;           /* rows or columns */
    size_t set, sets, phase;   /* of parameters */
} lane_part;

LANE lane_part part_of(const fq_tile *t, size_t first, size_t most, int single, int columns)
{
    const size_t all = (size_t)(columns ? t->n : t->rows), left = all - first;
    lane_part part = {first, single || left < most ? left : most, first, 0, 0};
    part.sets = single ? 1 : part.m;
    if (columns && t->run > 1) {
        part.set = ((size_t)t->phase + first) / (size_t)t->run;
        part.phase = ((size_t)t->phase + first) % (size_t)t->run;
        part.sets = (part.phase + part.m - 1) / (size_t)t->run + 1;
    }
    return part;
}

LANE int tile_is_single(const fq_tile *t, int columns)
{
    return !columns && !(t->scale_step | t->zero_point_step | t->offset_step);
}

/* Rules of other libraries have bodies where they are wanted often: integers of float32. */
LANE int has_rules(int op, int real, int kind) { return op == FQ_quantize && real == FQ_f32 && kind != SMALL_FLOATS; }

LANE void lane_batches(int op, const fq_tile *t, int real, int kind, int columns)
{
    const int best = best_how(op, kind), single = tile_is_single(t, columns);
    /* Powers of two have a loop of their own where it is worth one; elsewhere their rest is 0. */
    const int plain = !columns && real == FQ_f32 && best == FQ_TWO_PRODUCTS;
    const size_t all = (size_t)(columns ? t->n : t->rows);
    const size_t most = batch_sets(t, columns);
    lane_room own;
    lane_batch b = lane_batch_in(t, most, &own);
    lane_run_params p;
    p.batch = &b;
    p.code = lane_code_of(t);
    b.last = kind == SMALL_FLOATS ? p.code.last : 0;
    for (size_t first = 0; first < all;) {
        const lane_part part = part_of(t, first, most, single, columns);
        /* Few uses do not pay for preparing; t->run first, since the product of two large ones may overflow. */
        const int rare = columns && t->run < 8 && t->rows * t->run < 8;
        lane_prepare(&b, t, part.set, part.sets, t->rule != FQ_divide || rare ? FQ_GENERAL : best);
        if (columns)
            lane_columns(&b, t, part.sets, part.phase, part.m);
        if (op == FQ_dequantize && !b.has_offset) {
            const size_t scales = columns ? part.m : part.sets;
            if (kind != SMALL_FLOATS || scale_values(&b, scales, p.code.values.power))
                b.how = FQ_ONE_PRODUCT;
        }
#define WITH(how)                                                            \
    do {                                                                     \
        if (columns)                                                         \
            tile_columns(op, t, first, part.m, &p, real, kind, how);         \
        else                                                                 \
            tile_rows(op, t, first, part.m, single, &p, real, kind, how);    \
    } while (0)
        if (has_rules(op, real, kind) && t->rule == FQ_floor)
            WITH(FQ_FLOORED);
        else if (has_rules(op, real, kind) && t->rule != FQ_divide)
            WITH(FQ_MULTIPLIED);
        else if (b.how == FQ_GENERAL)
            WITH(FQ_GENERAL);
        else if (best == FQ_GENERAL || (b.how == FQ_ONE_PRODUCT && plain))
            WITH(FQ_ONE_PRODUCT);
        else
            WITH(best);
#undef WITH
        first += part.m;
    }
}

LANE void wide_batches(int op, const fq_tile *t, int kind, int columns)
{
    const int single = tile_is_single(t, columns);
    const size_t all = (size_t)(columns ? t->n : t->rows);
    const size_t most = batch_sets(t, columns);
    wide_room own;
    wide_batch w = wide_batch_in(t, most, &own);
    lane_run_params p;
    p.wide_batch = &w;
    p.code = lane_code_of(t);
    for (size_t first = 0; first < all;) {
        const lane_part part = part_of(t, first, most, single, columns);
        wide_prepare(&w, t, part.set, part.sets);
        if (columns)
            wide_columns(&w, t, part.sets, part.phase, part.m);
        if (columns)
            tile_columns(op, t, first, part.m, &p, FQ_f64, kind, FQ_GENERAL);
        else
            tile_rows(op, t, first, part.m, single, &p, FQ_f64, kind, FQ_GENERAL);
        first += part.m;
    }
}

/* What only the portable spans do. */
LANE int is_rare(int op, const fq_tile *t, int real, int kind)
{
    if (t->rule == FQ_divide)
        return t->limited || t->precision != FQ_f32;
    return !has_rules(op, real, kind) || t->precision != FQ_f32;
}

LANE void lane_span(int op, const fq_tile *t, int real, int kind, int columns)
{
    if (t->n == 0)
        return;
    if (is_rare(op, t, real, kind)) {
        fq_portable_spans[columns ? op + FQ_quantize_columns - FQ_quantize : op][real][t->code](t);
        return;
    }
    if (is_for_narrower(t, BLOCK) && (columns || !is_of_32(op, t, real, kind))) {
        NARROWER_SPANS[columns ? op + FQ_quantize_columns - FQ_quantize : op][real][t->code](t);
        return;
    }
    if (real == FQ_f64)
        wide_batches(op, t, kind, columns);
    else
        lane_batches(op, t, real, kind, columns);
}

/* ---- the target's table ---- */

#define KIND_i8 SIGNED_BYTES
#define KIND_u8 UNSIGNED_BYTES
#define KIND_i16 SIGNED_WORDS
#define KIND_u16 UNSIGNED_WORDS
#define KIND_i4 SMALL_INTEGERS
#define KIND_u4 SMALL_INTEGERS
#define KIND_i2 SMALL_INTEGERS
#define KIND_u2 SMALL_INTEGERS

#define SPAN(op, real, kind) op##_##real##_##kind
#define DEFINE(op, base, real, kind, columns) \
    static void SPAN(op, real, kind)(const fq_tile *t) { lane_span(FQ_##base, t, FQ_##real, kind, columns); }

#define DEFINE_KIND(real, kind)                                        \
    DEFINE(quantize, quantize, real, kind, 0)                          \
    DEFINE(quantize_columns, quantize, real, kind, 1)
#define DEFINE_BACK(real, kind)                                        \
    DEFINE(dequantize, dequantize, real, kind, 0)                      \
    DEFINE(dequantize_columns, dequantize, real, kind, 1)
/* fake_quantize never makes an integer: bytes of all kinds divide alike, and words. */
#define DEFINE_FAKE(real, kind)                                        \
    DEFINE(fake_quantize, fake_quantize, real, kind, 0)                \
    DEFINE(fake_quantize_columns, fake_quantize, real, kind, 1)

#define DEFINE_REAL(id, name, type, arithmetic)                                                            \
    DEFINE_KIND(id, SIGNED_BYTES) DEFINE_KIND(id, UNSIGNED_BYTES) DEFINE_KIND(id, SMALL_INTEGERS)          \
    DEFINE_KIND(id, SIGNED_WORDS) DEFINE_KIND(id, UNSIGNED_WORDS)                                          \
    DEFINE_BACK(id, SIGNED_BYTES) DEFINE_BACK(id, UNSIGNED_BYTES) DEFINE_BACK(id, SMALL_INTEGERS)          \
    DEFINE_BACK(id, SIGNED_WORDS) DEFINE_BACK(id, UNSIGNED_WORDS) DEFINE_BACK(id, SMALL_FLOATS)            \
    DEFINE_BACK(id, ACCUMULATORS) DEFINE_FAKE(id, SIGNED_BYTES) DEFINE_FAKE(id, SIGNED_WORDS)              \
    DEFINE_KIND(id, SMALL_FLOATS) DEFINE_FAKE(id, SMALL_FLOATS)
FQ_REALS(DEFINE_REAL)

#define FAKE_KIND_SIGNED_BYTES SIGNED_BYTES
#define FAKE_KIND_UNSIGNED_BYTES SIGNED_BYTES
#define FAKE_KIND_SMALL_INTEGERS SIGNED_BYTES
#define FAKE_KIND_SIGNED_WORDS SIGNED_WORDS
#define FAKE_KIND_UNSIGNED_WORDS SIGNED_WORDS
#define FAKE_KIND_SMALL_FLOATS SMALL_FLOATS

#define ROW(op, real, code, kind) [FQ_##op][FQ_##real][FQ_##code] = SPAN(op, real, kind),
#define ROWS_BACK(real, code, kind) ROW(dequantize, real, code, kind) ROW(dequantize_columns, real, code, kind)
#define ROWS_OF_CODE_(real, code, kind, fake)                                                              \
    ROW(quantize, real, code, kind) ROW(quantize_columns, real, code, kind) ROWS_BACK(real, code, kind)    \
    ROW(fake_quantize, real, code, fake) ROW(fake_quantize_columns, real, code, fake)
#define JOIN(a, b) a##b
#define FAKE_KIND(kind) JOIN(FAKE_KIND_, kind)
#define ROWS_OF_CODE(real, code, kind) ROWS_OF_CODE_(real, code, kind, FAKE_KIND(kind))
#define ROWS_OF_INTEGER(id, name, type, bits, lowest, highest)                                 \
    ROWS_OF_CODE(f32, id, KIND_##id) ROWS_OF_CODE(f64, id, KIND_##id)                          \
    ROWS_OF_CODE(f16, id, KIND_##id) ROWS_OF_CODE(bf16, id, KIND_##id)
#define ROWS_OF_FLOAT(id, name, bits, mantissa, bias, largest, nan, beyond, signed_zero)       \
    ROWS_OF_CODE(f32, id, SMALL_FLOATS) ROWS_OF_CODE(f64, id, SMALL_FLOATS)                    \
    ROWS_OF_CODE(f16, id, SMALL_FLOATS) ROWS_OF_CODE(bf16, id, SMALL_FLOATS)
#define ROWS_OF_REAL(id, name, type, arithmetic)                                               \
    ROWS_BACK(id, i32, ACCUMULATORS)                                                           \
    [FQ_signs][FQ_##id][0] = signs_##id,                                                       \
    [FQ_minmax][FQ_##id][0] = minmax_##id,                                                     \
    [FQ_minmax_columns][FQ_##id][0] = minmax_columns_##id,
#define ROWS_PACKED(code) [FQ_pack][FQ_f32][FQ_##code] = pack_tile, [FQ_unpack][FQ_f32][FQ_##code] = unpack_tile,

const fq_span_table TARGET_SPANS = {
    FQ_INTEGERS(ROWS_OF_INTEGER)
    FQ_FLOATS(ROWS_OF_FLOAT)
    FQ_REALS(ROWS_OF_REAL)
    ROWS_PACKED(i4) ROWS_PACKED(u4) ROWS_PACKED(i2) ROWS_PACKED(u2) ROWS_PACKED(e2m1fn)
};
