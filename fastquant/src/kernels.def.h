/* The lists that everything else is made from. A new code type is a row of FQ_CODES, a new real type a row of
 * FQ_REALS, a new kernel a row of FQ_OPS; the span tables, the Python table of types, the tests and the benchmarks
 * follow from them. */

/* identifier, NumPy name, C type, lowest code, highest code */
#define FQ_CODES(X)                        \
    X(i8, "int8", int8_t, -128, 127)       \
    X(u8, "uint8", uint8_t, 0, 255)

/* identifier, NumPy name, C type: the types that quotients and products are rounded in */
#define FQ_REALS(X)                        \
    X(f32, "float32", float)               \
    X(f64, "float64", double)

/* The `_columns` kernels walk one row with parameters that change from element to element. They stand in the order of
 * the kernels that they are forms of. */
#define FQ_OPS(X)                          \
    X(quantize)                            \
    X(dequantize)                          \
    X(fake_quantize)                       \
    X(minmax)                              \
    X(quantize_columns)                    \
    X(dequantize_columns)                  \
    X(fake_quantize_columns)               \
    X(minmax_columns)
