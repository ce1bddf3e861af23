/* What fastquant's formulas give, for tests/oracle.py: an oracle that shares no code, no table and no method with it.
 *
 * Formats are written down here as their definitions have them, and numbers are rounded by integer arithmetic alone.
 * Two operations are left to the machine, since the README's formulas are about them: the quotient x / scale and the
 * product level * scale, each of which IEEE 754 rounds once, to the nearest number, ties to even.
 *
 * Compile with -ffp-contract=off. Plain and slow: 6 to 8 ns for an element with -O3, twice that with -O2. */
#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "here a quotient of floats would be rounded twice"
#endif

/* ---- formats ---- */

/* Binary floating point: sign bit, exponent_bits of a biased exponent E, fraction_bits of the significand. The value is
 * 1.fraction * 2^(E - bias), with E = 0 it is 0.fraction * 2^(1 - bias). IEEE 754-2019, 3.4.
 *
 * What formats differ in is the codes that are no such numbers:
 *
 *     IEEE    E of all ones: an infinity where the fraction is 0, else NaN. IEEE 754-2019, 3.4; for float8_e5m2 table 1
 *             of Micikevicius et al., "FP8 Formats for Deep Learning", arXiv 2209.05433
 *     FN      all ones but for the sign is NaN; no infinities. float8_e4m3fn in the same table
 *     FNUZ    a single NaN, at the place of -0; neither infinities nor -0. Noune et al., "8-bit Numerical Formats for
 *             Deep Neural Networks", arXiv 2206.02915, whose biases are one more than those of IEEE
 *     NONE    all codes are numbers. OCP Microscaling Formats (MX) 1.0, 5.3: E2M3, E3M2, E2M1 */
enum kind { INTEGER, IEEE, FN, FNUZ, NONE };

typedef struct {
    const char *name;
    enum kind kind;
    int bits;                               /* of a code; the lowest of its bytes, the rest is 0 */
    int bytes;                              /* of an element of an array */
    int exponent_bits, fraction_bits, bias; /* of floats */
    int64_t lowest, highest;                /* of integers */
} format;

static const format formats[] = {
    /* IEEE 754-2019, table 3.5; bfloat16 is the first half of a binary32. */
    {"float32", IEEE, 32, 4, 8, 23, 127, 0, 0},
    {"float64", IEEE, 64, 8, 11, 52, 1023, 0, 0},
    {"float16", IEEE, 16, 2, 5, 10, 15, 0, 0},
    {"bfloat16", IEEE, 16, 2, 8, 7, 127, 0, 0},
    {"float8_e4m3fn", FN, 8, 1, 4, 3, 7, 0, 0},
    {"float8_e4m3fnuz", FNUZ, 8, 1, 4, 3, 8, 0, 0},
    {"float8_e5m2", IEEE, 8, 1, 5, 2, 15, 0, 0},
    {"float8_e5m2fnuz", FNUZ, 8, 1, 5, 2, 16, 0, 0},
    {"float6_e2m3fn", NONE, 6, 1, 2, 3, 1, 0, 0},
    {"float6_e3m2fn", NONE, 6, 1, 3, 2, 3, 0, 0},
    {"float4_e2m1fn", NONE, 4, 1, 2, 1, 1, 0, 0},
    /* Two's complement and unsigned integers. */
    {"int8", INTEGER, 8, 1, 0, 0, 0, -128, 127},
    {"uint8", INTEGER, 8, 1, 0, 0, 0, 0, 255},
    {"int16", INTEGER, 16, 2, 0, 0, 0, -32768, 32767},
    {"uint16", INTEGER, 16, 2, 0, 0, 0, 0, 65535},
    {"int4", INTEGER, 4, 1, 0, 0, 0, -8, 7},
    {"uint4", INTEGER, 4, 1, 0, 0, 0, 0, 15},
    {"int2", INTEGER, 2, 1, 0, 0, 0, -2, 1},
    {"uint2", INTEGER, 2, 1, 0, 0, 0, 0, 3},
    {"int32", INTEGER, 32, 4, 0, 0, 0, INT32_MIN, INT32_MAX},
};

static const format *const float32 = &formats[0], *const float64 = &formats[1];

/* The place of a format in the table, or -1. */
int oracle_format(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return (int)i;
    return -1;
}

static uint64_t low_bits(int n) { return n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0; }

static uint64_t sign_bit(const format *f) { return (uint64_t)1 << (f->bits - 1); }

/* The code of the largest finite number. Without their sign, codes of floats grow with what they stand for. */
static uint64_t largest(const format *f)
{
    const uint64_t all_ones = low_bits(f->bits - 1);
    switch (f->kind) {
    case IEEE: return all_ones - low_bits(f->fraction_bits) - 1; /* below infinity, whose fraction is 0 */
    case FN: return all_ones - 1;                                /* below NaN */
    default: return all_ones;
    }
}

/* ---- numbers, exactly ---- */

/* significand * 2^exponent, or an infinity, or NaN. All have a sign. */
typedef struct {
    enum { FINITE, INFINITE, NOT_A_NUMBER } is;
    int negative;
    uint64_t significand; /* below 2^63 */
    int exponent;
} number;

/* significand / 2^shift to the nearest integer, ties to the even one. */
static uint64_t nearest(uint64_t significand, int shift)
{
    if (shift <= 0)
        return significand << -shift;
    if (shift >= 64)
        return 0; /* less than a half, since the significand is below 2^63 */
    const uint64_t whole = significand >> shift, rest = significand & low_bits(shift);
    const uint64_t half = (uint64_t)1 << (shift - 1);
    if (rest > half || (rest == half && whole % 2 == 1))
        return whole + 1;
    return whole;
}

/* What the code of a float stands for. */
static number decode(uint64_t code, const format *f)
{
    const uint64_t magnitude = code & low_bits(f->bits - 1), fraction = magnitude & low_bits(f->fraction_bits);
    const int biased = (int)(magnitude >> f->fraction_bits);
    number v = {FINITE, (code & sign_bit(f)) != 0, 0, 0};
    if (f->kind == FNUZ && v.negative && magnitude == 0)
        v.is = NOT_A_NUMBER;
    else if (magnitude > largest(f))
        v.is = f->kind == IEEE && fraction == 0 ? INFINITE : NOT_A_NUMBER;
    else if (biased == 0) {
        v.significand = fraction;
        v.exponent = 1 - f->bias - f->fraction_bits;
    } else {
        v.significand = ((uint64_t)1 << f->fraction_bits) + fraction;
        v.exponent = biased - f->bias - f->fraction_bits;
    }
    return v;
}

static uint64_t nan_code(int negative, const format *f)
{
    const uint64_t all_ones = low_bits(f->bits - 1), sign = negative ? sign_bit(f) : 0;
    switch (f->kind) {
    case IEEE: /* quiet: the first bit of the fraction set, here no other. IEEE 754-2019, 6.2.1 */
        return sign | (largest(f) + 1 + ((uint64_t)1 << (f->fraction_bits - 1)));
    case FN: return sign | all_ones;
    case FNUZ: return sign_bit(f);
    default: return largest(f); /* there is none: README, "Small floats": "NaN becomes the largest number" */
    }
}

/* The code nearest to a number, ties to even (IEEE 754-2019, 4.3.1, roundTiesToEven: as if the exponent had no end).
 * README, "Small floats": what is then beyond the largest finite number becomes that number; if it is not to saturate,
 * infinity, or NaN where there is no infinity, or still the largest number where there is neither. */
static uint64_t encode(number v, const format *f, int saturate)
{
    const uint64_t sign = v.negative ? sign_bit(f) : 0;
    uint64_t magnitude = 0;
    if (v.is == NOT_A_NUMBER)
        return nan_code(v.negative, f);
    if (v.is == FINITE && v.significand != 0) {
        /* 2^leading <= value < 2^(leading + 1), but at least the exponent of the smallest normal number. */
        const int smallest = 1 - f->bias;
        int leading = v.exponent + 63 - __builtin_clzll(v.significand);
        if (leading < smallest)
            leading = smallest;
        /* In units of the last place: 2^fraction_bits and more for normal numbers, whose leading bit is not stored but
         * is one more of the biased exponent. A significand that rounds up to the next power of two carries into it. */
        const uint64_t units = nearest(v.significand, leading - f->fraction_bits - v.exponent);
        magnitude = ((uint64_t)(leading - smallest) << f->fraction_bits) + units;
    }
    if (v.is == INFINITE || magnitude > largest(f)) {
        if (saturate || f->kind == NONE)
            return sign | largest(f);
        return f->kind == IEEE ? sign | (largest(f) + 1) : nan_code(v.negative, f);
    }
    if (magnitude == 0 && f->kind == FNUZ)
        return 0; /* no -0 */
    return sign | magnitude;
}

/* saturate(nearest(v) + zero_point); NaN is the lowest code. In the low bits, as two's complement. */
static uint64_t integer_code(number v, int32_t zero_point, const format *f)
{
    int64_t code = f->lowest;
    if (v.is != NOT_A_NUMBER) {
        const int64_t beyond = (int64_t)1 << 40; /* farther from every code than any zero point leads back */
        int64_t whole = beyond;
        /* Significands of floats are below 2^24, so that with an exponent below 17 they stay below 2^41. */
        if (v.is == FINITE && v.exponent < 17)
            whole = (int64_t)nearest(v.significand, -v.exponent);
        code = (v.negative ? -whole : whole) + zero_point;
        code = code < f->lowest ? f->lowest : code > f->highest ? f->highest : code;
    }
    return (uint64_t)code & low_bits(f->bits);
}

static number integer(int64_t i)
{
    const number v = {FINITE, i < 0, (uint64_t)(i < 0 ? -i : i), 0};
    return v;
}

/* ---- the machine's floats ---- */

static float float_of(uint64_t code)
{
    const uint32_t bits = (uint32_t)code;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float as_float(number v) { return float_of(encode(v, float32, 0)); }

static double as_double(number v)
{
    const uint64_t bits = encode(v, float64, 0);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static number from_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return decode(bits, float32);
}

static number from_double(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return decode(bits, float64);
}

/* ---- the formulas, element by element ---- */

static uint64_t load(const void *a, ptrdiff_t i, const format *f)
{
    switch (f->bytes) {
    case 1: return ((const uint8_t *)a)[i];
    case 2: return ((const uint16_t *)a)[i];
    case 4: return ((const uint32_t *)a)[i];
    default: return ((const uint64_t *)a)[i];
    }
}

static void store(void *a, ptrdiff_t i, const format *f, uint64_t bits)
{
    switch (f->bytes) {
    case 1: ((uint8_t *)a)[i] = (uint8_t)bits; break;
    case 2: ((uint16_t *)a)[i] = (uint16_t)bits; break;
    case 4: ((uint32_t *)a)[i] = (uint32_t)bits; break;
    default: ((uint64_t *)a)[i] = bits; break;
    }
}

/* README, "The formulas": saturate(nearest(x / scale) + zero_point), float codes saturate(cast(x / scale)). x is of
 * float32, float16 or bfloat16, whose numbers float32 holds; the quotient is a float32. */
void oracle_quantize(int real, const void *x, ptrdiff_t n, float scale, int32_t zero_point, int code, int saturate,
                     void *q)
{
    const format *from = &formats[real], *to = &formats[code];
    for (ptrdiff_t i = 0; i < n; i++) {
        const uint64_t bits = load(x, i, from);
        const number dividend = decode(bits, from);
        number quotient = dividend; /* NaN: its sign, which IEEE 754 leaves open for results */
        if (dividend.is != NOT_A_NUMBER)
            quotient = from_float((from == float32 ? float_of(bits) : as_float(dividend)) / scale);
        store(q, i, to, to->kind == INTEGER ? integer_code(quotient, zero_point, to) : encode(quotient, to, saturate));
    }
}

/* README, "The formulas": (q - zero_point) * scale. The difference is exact, and rounded once where float32 does not
 * hold it; the product is rounded once, and once more to float16 or bfloat16. float64 is float64 throughout. */
void oracle_dequantize(int code, const void *q, ptrdiff_t n, double scale, int32_t zero_point, int real, void *x)
{
    const format *from = &formats[code], *to = &formats[real];
    for (ptrdiff_t i = 0; i < n; i++) {
        const uint64_t bits = load(q, i, from) & low_bits(from->bits); /* the other bits do not count */
        number level, product;
        if (from->kind != INTEGER)
            level = decode(bits, from);
        else {
            const int is_negative = from->lowest < 0 && (bits & sign_bit(from)) != 0;
            level = integer((int64_t)bits - (is_negative ? (int64_t)1 << from->bits : 0) - zero_point);
        }
        if (level.is == NOT_A_NUMBER)
            product = level;
        else if (to == float64)
            product = from_double(as_double(level) * scale);
        else
            product = from_float(as_float(level) * (float)scale);
        store(x, i, to, encode(product, to, 0));
    }
}

/* n codes of 4 or 2 bits to bytes, the first in the low bits. What is left of the last byte is 0. */
void oracle_pack(int code, const uint8_t *q, ptrdiff_t n, uint8_t *packed)
{
    const int bits = formats[code].bits, each = 8 / bits;
    memset(packed, 0, (size_t)((n + each - 1) / each));
    for (ptrdiff_t i = 0; i < n; i++)
        packed[i / each] = (uint8_t)(packed[i / each] | q[i] << (i % each * bits));
}
