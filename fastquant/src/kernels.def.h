/* The lists that everything else is made from. A new code type is a row of FQ_INTEGERS or FQ_FLOATS, a new real type a
 * row of FQ_REALS, a new kernel a row of FQ_OPS; the span tables, the Python table of types, the tests and the
 * benchmarks follow from them. */

/* Codes that are integers: identifier, NumPy or ml_dtypes name, C type that holds one, bits, lowest and highest code.
 * Types of fewer than 8 bits use the low bits of a byte, the others of which are 0. */
#define FQ_INTEGERS(X)                                \
    X(i8, "int8", int8_t, 8, -128, 127)               \
    X(u8, "uint8", uint8_t, 8, 0, 255)                \
    X(i16, "int16", int16_t, 16, -32768, 32767)       \
    X(u16, "uint16", uint16_t, 16, 0, 65535)          \
    X(i4, "int4", uint8_t, 4, -8, 7)                  \
    X(u4, "uint4", uint8_t, 4, 0, 15)                 \
    X(i2, "int2", uint8_t, 2, -2, 1)                  \
    X(u2, "uint2", uint8_t, 2, 0, 3)

/* Codes that are floats, in the low bits of a byte: identifier, name, bits, mantissa bits, exponent bias, and the codes
 * (without sign) of the largest finite number, of NaN and of what lies beyond when nothing is to saturate; whether 0 has
 * a sign. The two types without signed zeros keep NaN at its place, 0x80. The last three have neither NaN nor infinity:
 * everything saturates, NaN to the largest number (as ONNX has it for float4e2m1).
 * Sources: Micikevicius et al., "FP8 Formats for Deep Learning" (2022); Noune et al., "8-bit Numerical Formats for Deep
 * Neural Networks" (2022) for fnuz; OCP Microscaling Formats (MX) 1.0 for the small ones. */
#define FQ_FLOATS(X)                                                          \
    X(e4m3fn, "float8_e4m3fn", 8, 3, 7, 0x7E, 0x7F, 0x7F, 1)                  \
    X(e4m3fnuz, "float8_e4m3fnuz", 8, 3, 8, 0x7F, 0x80, 0x80, 0)              \
    X(e5m2, "float8_e5m2", 8, 2, 15, 0x7B, 0x7E, 0x7C, 1)                     \
    X(e5m2fnuz, "float8_e5m2fnuz", 8, 2, 16, 0x7F, 0x80, 0x80, 0)             \
    X(e2m3fn, "float6_e2m3fn", 6, 3, 1, 0x1F, 0x1F, 0x1F, 1)                  \
    X(e3m2fn, "float6_e3m2fn", 6, 2, 3, 0x1F, 0x1F, 0x1F, 1)                  \
    X(e2m1fn, "float4_e2m1fn", 4, 1, 1, 0x07, 0x07, 0x07, 1)

/* Identifier, NumPy or ml_dtypes name, C type, and the type that quotients and products are rounded in. */
#define FQ_REALS(X)                              \
    X(f32, "float32", float, float)              \
    X(f64, "float64", double, double)            \
    X(f16, "float16", uint16_t, float)           \
    X(bf16, "bfloat16", uint16_t, float)

/* How quantize makes the number that is rounded: of x, what it is given as a scale, and an offset. Each operation is rounded
 * once. `divide` is fastquant's own rule, the others are those of other libraries (fastquant/compat):
 *
 *     divide           (x - offset) / scale
 *     floor            floor((x - offset) / scale)
 *     multiply         (x - offset) * scale           dequantize, with this rule: (q - zero_point) / scale + offset
 *     multiply_shift   x * scale + offset */
#define FQ_RULES(X)                        \
    X(divide)                              \
    X(floor)                               \
    X(multiply)                            \
    X(multiply_shift)

/* The `_columns` kernels have parameters that change from element to element of a row, the others from row to row. They
 * stand in the order of the kernels that they are forms of. pack and unpack have no parameters and know no real type:
 * they stand in the rows of float32. signs (a bit for each real, 1 if it is > 0, the first in the high bit of a byte) and
 * minmax know no code type: they stand in the first column. */
#define FQ_OPS(X)                          \
    X(quantize)                            \
    X(dequantize)                          \
    X(fake_quantize)                       \
    X(minmax)                              \
    X(quantize_columns)                    \
    X(dequantize_columns)                  \
    X(fake_quantize_columns)               \
    X(minmax_columns)                      \
    X(pack)                                \
    X(unpack)                              \
    X(signs)
