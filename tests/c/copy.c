/* fq_copy_tile, which is static in its header, for tests/test_copies.py. */
#include "copy.h"

void copy_tile(char *to, ptrdiff_t to_row, ptrdiff_t to_step, const char *from, ptrdiff_t from_row, ptrdiff_t from_step,
               ptrdiff_t rows, ptrdiff_t n, ptrdiff_t size, int swapped)
{
    fq_copy_tile(to, to_row, to_step, from, from_row, from_step, rows, n, size, swapped);
}
