/* The table that fastquant.h describes. */
#include <math.h>
#include <string.h>

#include "floats.h"
#include "fpenv.h"
#include "numerics.h"
#include "spans.h"

enum { FINE, NO_KERNEL, NO_TYPE, NO_RULE, BAD_SIZE, BAD_ARRAY, MISALIGNED, BAD_PACKS, BAD_COLUMNS, NO_PARAMETERS, BAD_SCALE,
       BAD_OFFSET, BAD_ZERO_POINT, BAD_LIMITS, BAD_RANGE, NO_SCALE, NO_ZERO_POINT, ERRORS };

static const char *const messages[ERRORS] = {
    [FINE] = "no error",
    [NO_KERNEL] = "kernel: expected a number that the table's function of that name gave",
    [NO_TYPE] = "real, code, precision: expected types that the kernel converts",
    [NO_RULE] = "rule: expected 0, or one for quantize; dequantize has \"multiply\", float codes none",
    [BAD_SIZE] = "bytes, rows, n: expected the size of a tile, and lengths >= 0",
    [BAD_ARRAY] = "in, out, lo, hi, poison: got NULL, expected arrays",
    [MISALIGNED] = "in, out, parameters, ranges: expected arrays and steps aligned to their elements",
    [BAD_PACKS] = "packs: expected 1, or 2 for types of 4 bits and 4 for types of 2",
    [BAD_COLUMNS] = "run, phase: expected run >= 0 and 0 <= phase < run",
    [NO_PARAMETERS] = "scales, zero_points: got NULL, expected arrays",
    [BAD_SCALE] = "scales: expected finite numbers > 0",
    [BAD_OFFSET] = "offsets: expected finite numbers",
    [BAD_ZERO_POINT] = "zero_points: expected 0 for float codes",
    [BAD_LIMITS] = "lowest, highest: expected codes of the type, in order, and no float type",
    [BAD_RANGE] = "lo, hi: expected finite numbers, lo <= hi; for float codes a symmetric, full range",
    [NO_SCALE] = "lo, hi: a range this wide has no float32 scale",
    [NO_ZERO_POINT] = "lo, hi: a range this far from 0 has no int32 zero point",
};

static const char *message(int error) { return error >= 0 && error < ERRORS ? messages[error] : "an unknown error"; }

#define FIND(function, count, name_of)                      \
    static int function(const char *name)                   \
    {                                                       \
        for (int i = 0; i < (count); i++)                   \
            if (strcmp(name, (name_of)) == 0)               \
                return i;                                   \
        return -1;                                          \
    }
FIND(kernel_of, FQ_OP_COUNT, fq_op_names[i])
FIND(real_of, FQ_REAL_COUNT, fq_real_types[i].name)
FIND(code_of, FQ_CODE_COUNT, fq_code_types[i].name)
FIND(rule_of, FQ_RULE_COUNT, fq_rule_names[i])

/* ---- checks ---- */

static int is_columns(int op) { return op >= FQ_quantize_columns && op <= FQ_minmax_columns; }
static int base_of(int op) { return is_columns(op) ? op - FQ_quantize_columns + FQ_quantize : op; }

/* Bytes of an element of an array that is not packed. */
static size_t in_size(const fq_tile *t, int op)
{
    return op == FQ_dequantize || op == FQ_pack ? fq_code_types[t->code].size : op == FQ_unpack ? 1 : fq_real_types[t->real].size;
}

static size_t out_size(const fq_tile *t, int op)
{
    return op == FQ_quantize || op == FQ_unpack ? fq_code_types[t->code].size
         : op == FQ_pack || op == FQ_signs ? 1 : fq_real_types[t->real].size;
}

/* To what C asks for, which for a double is less than its size on 32-bit x86. */
static int is_aligned(const void *array, ptrdiff_t step, size_t size)
{
    const size_t unit = size == sizeof(double) ? _Alignof(double) : size;
    return (((uintptr_t)array | (uintptr_t)step) & (unit - 1)) == 0;
}

static int check_arrays(const fq_tile *t, int op)
{
    const int ranges = op == FQ_minmax;
    if (t->in == NULL || (ranges ? !t->lo || !t->hi || !t->poison : t->out == NULL))
        return BAD_ARRAY;
    if (!is_aligned(t->in, t->rows > 1 ? t->in_step : 0, op == FQ_dequantize && t->packs > 1 ? 1 : in_size(t, op)))
        return MISALIGNED;
    if (!ranges && !is_aligned(t->out, t->rows > 1 ? t->out_step : 0, op == FQ_quantize && t->packs > 1 ? 1 : out_size(t, op)))
        return MISALIGNED;
    if (ranges) {
        const size_t size = fq_real_types[t->real].is_double ? sizeof(double) : sizeof(float);
        if (!is_aligned(t->lo, 0, size) || !is_aligned(t->hi, 0, size) || !is_aligned(t->poison, 0, size))
            return MISALIGNED;
    }
    return FINE;
}

static int check_rule(const fq_tile *t, int op)
{
    const fq_code_type *code = &fq_code_types[t->code];
    if (t->rule >= FQ_RULE_COUNT)
        return NO_RULE;
    if (t->rule != FQ_divide && (code->is_float || !(op == FQ_quantize || (op == FQ_dequantize && t->rule == FQ_multiply))))
        return NO_RULE;
    if (t->precision != FQ_f32 && (t->real == FQ_f64 || (t->precision != FQ_f16 && t->precision != FQ_bf16)))
        return NO_TYPE;
    if (t->limited && (code->is_float || t->lowest < code->lowest || t->highest > code->highest || t->lowest > t->highest))
        return BAD_LIMITS;
    return FINE;
}

/* How many sets the steps reach. Unsigned: phase + n may be too large for a signed number. */
static ptrdiff_t sets_of(const fq_tile *t, int op)
{
    if (!is_columns(op))
        return t->rows;
    return (ptrdiff_t)(((size_t)t->phase + (size_t)t->n - 1) / (size_t)t->run + 1);
}

static int check_parameters(fq_tile *t, int op)
{
    const int wide = fq_real_types[t->real].is_double, is_float = fq_code_types[t->code].is_float;
    const ptrdiff_t sets = sets_of(t, op);
    const size_t size = wide ? sizeof(double) : sizeof(float);
    if (t->scales == NULL || t->zero_points == NULL)
        return NO_PARAMETERS;
    if (!is_aligned(t->scales, 0, size) || !is_aligned(t->offsets, 0, size)
        || !is_aligned(t->zero_points, 0, sizeof *t->zero_points))
        return MISALIGNED;
    for (ptrdiff_t i = 0; i < sets; i++) {
        const ptrdiff_t s = i * t->scale_step, o = i * t->offset_step;
        const int32_t zero_point = t->zero_points[i * t->zero_point_step];
        if (!(wide ? fq_are_scales_f64((const double *)t->scales + s, 1) : fq_are_scales_f32((const float *)t->scales + s, 1)))
            return BAD_SCALE;
        if (t->offsets != NULL && !(wide ? fq_are_finite_f64((const double *)t->offsets + o, 1)
                                         : fq_are_finite_f32((const float *)t->offsets + o, 1)))
            return BAD_OFFSET;
        if (is_float && zero_point != 0)
            return BAD_ZERO_POINT;
        t->far |= (uint8_t)(t->code != FQ_i32 && fq_is_far(zero_point, fq_code_types[t->code].bits));
        if (t->scale_step == 0 && t->offset_step == 0 && t->zero_point_step == 0)
            break;
    }
    return FINE;
}

static int check(fq_tile *t, int kernel)
{
    int op, error, bits;
    if (kernel < 0 || kernel >= FQ_OP_COUNT)
        return NO_KERNEL;
    op = base_of(kernel);
    if (t->rows < 0 || t->n < 0)
        return BAD_SIZE;
    if (op == FQ_minmax || op == FQ_signs)
        t->code = t->limited = 0;
    if (op == FQ_pack || op == FQ_unpack)
        t->real = FQ_f32;
    if (t->real >= FQ_REAL_COUNT || t->code >= FQ_CODE_COUNT || fq_portable_spans[kernel][t->real][t->code] == NULL)
        return NO_TYPE;
    bits = fq_code_types[t->code].bits;
    if (op == FQ_pack || op == FQ_unpack)
        t->packs = (uint8_t)(8 / bits);
    if (op == FQ_signs)
        t->packs = 8;
    else if (t->packs > 1 && (t->packs != 8 / bits || !(bits == 4 || bits == 2) || op == FQ_fake_quantize || op == FQ_minmax))
        return BAD_PACKS;
    t->packs = t->packs ? t->packs : 1;
    t->run = t->run ? t->run : 1;
    if (t->run < 0 || t->phase < 0 || t->phase >= t->run)
        return BAD_COLUMNS;
    if (t->rows == 0 || t->n == 0)
        return FINE;
    error = check_arrays(t, op);
    if (error == FINE)
        error = check_rule(t, op);
    if (error == FINE && op <= FQ_fake_quantize)
        error = check_parameters(t, kernel);
    return error;
}

/* ---- the table ---- */

static int run(int kernel, const fastquant_tile *tile, size_t bytes)
{
    fq_tile t;
    fq_fpenv env;
    int error;
    if (tile == NULL || bytes < offsetof(fq_tile, lowest))  /* the first version's tile is longer */
        return BAD_SIZE;
    memset(&t, 0, sizeof t);
    memcpy(&t, tile, bytes < sizeof t ? bytes : sizeof t);
    t.room = NULL;
    t.far = 0;
    error = check(&t, kernel);
    if (error != FINE || t.rows == 0 || t.n == 0)
        return error;
    env = fq_fpenv_enter();
    (*(t.far ? fq_target_table(0) : fq_active_table()))[kernel][t.real][t.code](&t);
    if (t.stream)
        fq_stream_end();
    fq_fpenv_leave(env);
    return FINE;
}

static int qparams(double lo, double hi, int code, int symmetric, int narrow_range, int include_zero, float *scale,
                   int32_t *zero_point)
{
    fq_scheme scheme;
    fq_fpenv env;
    float found_scale;
    int32_t found_zero_point;
    int status;
    if (scale == NULL || zero_point == NULL)
        return NO_PARAMETERS;
    if (code < 0 || code >= FQ_CODE_COUNT || code == FQ_i32)
        return NO_TYPE;
    if (!(lo <= hi) || !isfinite(lo) || !isfinite(hi))
        return BAD_RANGE;
    if (!fq_scheme_of(&scheme, code, symmetric, narrow_range, include_zero))
        return BAD_RANGE;
    env = fq_fpenv_enter();
    status = fq_qparams_f64(&lo, &hi, 1, &scheme, &found_scale, &found_zero_point);
    fq_fpenv_leave(env);
    if (status == FQ_RANGE_OK) {
        *scale = found_scale;
        *zero_point = found_zero_point;
        return FINE;
    }
    return status == FQ_RANGE_TOO_WIDE ? NO_SCALE : NO_ZERO_POINT;
}

const fastquant_api fq_api = {
    FASTQUANT_API_VERSION, sizeof(fastquant_api), kernel_of, real_of, code_of, rule_of, run, qparams, message,
};
