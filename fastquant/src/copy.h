/* Elements from one pair of strides to another: how arrays that spans cannot read or write reach a buffer. */
#ifndef FQ_COPY_H
#define FQ_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define FQ_FETCH(p) __builtin_prefetch(p)
#else
#define FQ_FETCH(p) ((void)(p))
#endif

static inline uint8_t fq_swap_8(uint8_t v) { return v; }
static inline uint16_t fq_swap_16(uint16_t v) { return (uint16_t)(v << 8 | v >> 8); }
static inline uint32_t fq_swap_32(uint32_t v)
{
    return v << 24 | (v & 0xFF00) << 8 | (v >> 8 & 0xFF00) | v >> 24;
}
static inline uint64_t fq_swap_64(uint64_t v)
{
    return (uint64_t)fq_swap_32((uint32_t)v) << 32 | fq_swap_32((uint32_t)(v >> 32));
}

/* Strides are in bytes. Hardware does not foresee where a next row of a transposed array begins. */
#define FQ_COPY_BITS(bits)                                                                                           \
    static inline void fq_copy_##bits(char *to, ptrdiff_t to_row, ptrdiff_t to_step, const char *from,               \
                                      ptrdiff_t from_row, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t n,          \
                                      int swapped)                                                                   \
    {                                                                                                                \
        for (ptrdiff_t r = 0; r < rows; r++) {                                                                       \
            const char *source = from + r * from_row;                                                                \
            char *target = to + r * to_row;                                                                          \
            if (from_step == bits / 8)                                                                               \
                for (ptrdiff_t k = 0; k < n * from_step; k += 64)                                                    \
                    FQ_FETCH(source + 4 * from_row + k);                                                             \
            for (ptrdiff_t j = 0; j < n; j++) {                                                                      \
                uint##bits##_t v;                                                                                    \
                memcpy(&v, source + j * from_step, sizeof v);                                                        \
                if (swapped)                                                                                         \
                    v = fq_swap_##bits(v);                                                                           \
                memcpy(target + j * to_step, &v, sizeof v);                                                          \
            }                                                                                                        \
        }                                                                                                            \
    }
FQ_COPY_BITS(8)
FQ_COPY_BITS(16)
FQ_COPY_BITS(32)
FQ_COPY_BITS(64)

static inline ptrdiff_t fq_magnitude(ptrdiff_t step) { return step < 0 ? -step : step; }

/* Rows of n elements of `size` bytes, along whichever is shorter in the strided one. */
static void fq_copy_tile(char *to, ptrdiff_t to_row, ptrdiff_t to_step, const char *from, ptrdiff_t from_row,
                         ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t size, int swapped)
{
    if (rows > 1 && fq_magnitude(from_row) + fq_magnitude(to_row) < fq_magnitude(from_step) + fq_magnitude(to_step)) {
        ptrdiff_t t;
        t = rows, rows = n, n = t;
        t = to_row, to_row = to_step, to_step = t;
        t = from_row, from_row = from_step, from_step = t;
    }
    switch (size) {
    case 1: fq_copy_8(to, to_row, to_step, from, from_row, from_step, rows, n, 0); break;
    case 2: fq_copy_16(to, to_row, to_step, from, from_row, from_step, rows, n, swapped); break;
    case 4: fq_copy_32(to, to_row, to_step, from, from_row, from_step, rows, n, swapped); break;
    default: fq_copy_64(to, to_row, to_step, from, from_row, from_step, rows, n, swapped); break;
    }
}

#endif
