/* fastquant for C: its kernels, without Python and without its lock.
 *
 *     #include <Python.h>
 *     #include <fastquant.h>                      // in fastquant.get_include()
 *
 *     const fastquant_api *fq = fastquant_import();       // with the lock, once; NULL: a Python exception is set
 *     int kernel = fq->kernel("quantize"), real = fq->real_type("float32"), code = fq->code_type("int8");
 *     ...
 *     int32_t zero_point = 0;
 *     fastquant_tile t = {0};                             // in any thread, any time later
 *     t.in = (const char *)x, t.out = (char *)q, t.rows = 1, t.n = n;
 *     t.scales = &scale, t.zero_points = &zero_point, t.real = real, t.code = code;
 *     int error = fq->run(kernel, &t, sizeof t);          // 0, or fq->message(error) says what is wrong
 *
 * A call runs on the calling thread alone, on the best instruction set of the CPU (or the one in use: fastquant.cpu), with
 * IEEE arithmetic whatever the thread has set, and allocates nothing. Results are those of the Python functions, bit for
 * bit. The table and the functions in it live as long as the process.
 *
 * Numbers of kernels and types differ between versions: ask for them by name. A module compiled with this header runs with
 * any later version of fastquant: members are only added, at the ends. */
#ifndef FASTQUANT_H
#define FASTQUANT_H

#include <stddef.h>
#include <stdint.h>

#define FASTQUANT_API_VERSION 1
#define FASTQUANT_CAPSULE "fastquant._kernels.c_api"

/* In Cython: `cimport fastquant`, fastquant.fastquant_import(), and a fastquant_tile that memset has zeroed; its members in
 * and out are called src and dst there. zero_points point to int32_t (libc.stdint).
 *
 * To build: the include directory fastquant.get_include(), nothing to link with. */

/* Rows of n contiguous elements, with a set of parameters for each row: a scale, a zero point, perhaps an offset. Or, for
 * the kernels called ..._columns, with a set for every `run` elements of each row, the same for all rows. Sets are `step`
 * elements apart in their arrays; 0: there is one for all.
 *
 * What is 0 is not needed. Arrays are aligned to their elements, packed ones to bytes. in and out do not overlap, but for
 * fake_quantize they may be the same. */
typedef struct fastquant_tile {
    const char *in;                  /* quantize, fake_quantize, minmax, signs: reals; dequantize: codes; unpack: bytes */
    char *out;                       /* quantize: codes; dequantize, fake_quantize: reals; pack, signs: bytes */
    ptrdiff_t rows, n;               /* n: elements, also of packed rows, each of which begins in a new byte */
    ptrdiff_t in_step, out_step;     /* bytes from row to row */
    const void *scales, *offsets;    /* of float, or double where the reals are float64; finite, scales > 0; offsets: or NULL */
    const int32_t *zero_points;      /* 0 for float codes */
    ptrdiff_t scale_step, offset_step, zero_point_step;
    ptrdiff_t run, phase;            /* columns: element j has set (phase + j) / run; 0 <= phase < run; run 0 is 1 */
    /* minmax leaves its findings here, of the type of scales, merged with what is there: start with lo = +inf, hi = -inf,
     * poison = 0. poison becomes NaN when a NaN was met; it is a sum, so nothing else can be read from it. A range for each
     * row, `extent_step` elements apart; minmax_columns: for each element of a row. */
    void *lo, *hi, *poison;
    ptrdiff_t extent_step;
    uint8_t real, code;              /* numbers of types */
    uint8_t far;                     /* found by run */
    uint8_t packs;                   /* codes in a byte: 0 or 1, or 2 or 4 where they are packed, low bits first */
    uint8_t stream;                  /* 1: for arrays larger than the last cache: store past the caches, and read ahead;
                                      * 2: only the former, where the caches hold what is read. minmax needs neither */
    uint8_t beyond;                  /* 1: float codes: numbers beyond the finite ones do not saturate */
    uint8_t precision;               /* a half type that results are rounded to as well; 0 (float32): nothing more */
    /* quantize: what is rounded. 0, "divide": (x - offset) / scale. "floor": floor of that. "multiply": (x - offset) * scale;
     * for dequantize, with that rule, (q - zero_point) / scale + offset. "multiply_shift": x * scale + offset. */
    uint8_t rule;
    uint8_t limited;                 /* 1: codes are limited to lowest ... highest, and not to all of their type */
    int32_t lowest, highest;
    void *room;                      /* NULL */
} fastquant_tile;

typedef struct fastquant_api {
    uint32_t version;                /* FASTQUANT_API_VERSION of the fastquant that runs */
    uint32_t bytes;                  /* of this table */

    /* Numbers of "quantize", "dequantize", "fake_quantize", "minmax", each also with "_columns", "pack", "unpack", and
     * "signs" (a bit for each real, 1 if it is > 0, eight a byte, the first in the high bit); of real types and code types by
     * their NumPy or ml_dtypes names ("int32" is only read); of rules. -1: none. */
    int (*kernel)(const char *name);
    int (*real_type)(const char *name);
    int (*code_type)(const char *name);
    int (*rule)(const char *name);

    /* Convert a tile; bytes: sizeof(fastquant_tile). 0, or an error, and then nothing has been written. */
    int (*run)(int kernel, const fastquant_tile *tile, size_t bytes);

    /* Scale and zero point of a range, as fastquant.qparams has them. 0, or an error. */
    int (*qparams)(double lo, double hi, int code, int symmetric, int narrow_range, int include_zero, float *scale,
                   int32_t *zero_point);

    const char *(*message)(int error);
} fastquant_api;

#ifdef Py_PYTHON_H
/* The table. With the lock held; NULL with an exception set if fastquant is missing or older than this header. */
static inline const fastquant_api *fastquant_import(void)
{
    const fastquant_api *api = (const fastquant_api *)PyCapsule_Import(FASTQUANT_CAPSULE, 0);
    if (api != NULL && api->version < FASTQUANT_API_VERSION) {
        PyErr_Format(PyExc_ImportError, "fastquant: got version %u of its C interface, expected %d or later",
                     (unsigned)api->version, FASTQUANT_API_VERSION);
        return NULL;
    }
    return api;
}
#endif

#endif
