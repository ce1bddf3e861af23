/* The memory limit: span kernels beside bare loops that load and stream the same bytes and compute nothing.
 *
 *     cc -O3 -ffp-contract=off -fno-trapping-math -Ifastquant bench/bare.c \
 *        fastquant/src/{dispatch,floats,numerics,target_avx2,target_avx512}.c -o bare -lm
 *     ./bare [elements]          64Mi unless given
 *
 * Rounds of all loops in turns; the best time of each, and the kernel's over the bare loop's. x86-64 with AVX2. */
#define _POSIX_C_SOURCE 200112L
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/spans.h"

extern const fq_span_table fq_avx2_spans;

#define BARE __attribute__((target("avx2"), noinline)) static void

/* 4 bytes in, 1 out */
BARE bare_quantize(const float *x, uint8_t *q, size_t n)
{
    for (size_t i = 0; i < n; i += 32) {
        __m256i a = _mm256_loadu_si256((const void *)(x + i)), b = _mm256_loadu_si256((const void *)(x + i + 8));
        __m256i c = _mm256_loadu_si256((const void *)(x + i + 16)), d = _mm256_loadu_si256((const void *)(x + i + 24));
        _mm256_stream_si256((void *)(q + i), _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
    }
    _mm_sfence();
}

/* 1 in, 4 out */
BARE bare_dequantize(const uint8_t *q, float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 32) {
        __m256i a = _mm256_loadu_si256((const void *)(q + i));
        for (int k = 0; k < 4; k++)
            _mm256_stream_si256((void *)(x + i + 8 * k), a);
    }
    _mm_sfence();
}

/* 4 in, 4 out */
BARE bare_fake_quantize(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        _mm256_stream_si256((void *)(y + i), _mm256_loadu_si256((const void *)(x + i)));
    _mm_sfence();
}

static void span(int op, fq_tile t, const void *in, void *out)
{
    t.in = in;
    t.out = out;
    fq_avx2_spans[op][FQ_f32][FQ_i8](&t);
    fq_stream_end();
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    size_t n = (argc > 1 ? strtoull(argv[1], NULL, 10) : (size_t)1 << 26) / 32 * 32;
    void *memory[3];
    if (n == 0 || posix_memalign(&memory[0], 4096, n * 4) || posix_memalign(&memory[1], 4096, n * 4)
        || posix_memalign(&memory[2], 4096, n))
        return 1;
    float *x = memory[0], *y = memory[1];
    uint8_t *q = memory[2];
    const float scale = 0.0123f;
    const int32_t zero_point = 3;
    fq_tile t = {.rows = 1, .n = (ptrdiff_t)n, .scales = &scale, .zero_points = &zero_point, .run = 1, .packs = 1,
                 .real = FQ_f32, .code = FQ_i8, .stream = 1, .precision = FQ_f32};
    static const char *const names[] = {"quantize", "dequantize", "fake_quantize"};
    double best[6];
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i * 2654435761u % 20001) * 1e-4f - 1.0f;
    memset(y, 0, n * 4);
    memset(q, 0, n);
    for (int round = 0; round < 12; round++)
        for (int k = 0; k < 6; k++) {
            double start = now(), time;
            switch (k) {
            case 0: bare_quantize(x, q, n); break;
            case 1: span(FQ_quantize, t, x, q); break;
            case 2: bare_dequantize(q, y, n); break;
            case 3: span(FQ_dequantize, t, q, y); break;
            case 4: bare_fake_quantize(x, y, n); break;
            case 5: span(FQ_fake_quantize, t, x, y); break;
            }
            time = now() - start;
            best[k] = round == 0 || time < best[k] ? time : best[k];
        }
    for (int k = 0; k < 6; k += 2)
        printf("%-14s bare %.4f ns/element   kernel %.4f   ratio %.2f\n", names[k / 2], best[k] / (double)n,
               best[k + 1] / (double)n, best[k + 1] / best[k]);
    return 0;
}
