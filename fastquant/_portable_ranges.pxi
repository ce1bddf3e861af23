# Portable span kernels: ranges. NaN is found by a sum, as extents.inc.h explains. Included by _portable.pxi.

cdef inline real_t lower(real_t low, real_t v) noexcept nogil:
    return fq_lower_f32(low, v) if real_t is float else fq_lower_f64(low, v)


cdef inline real_t higher(real_t high, real_t v) noexcept nogil:
    return fq_higher_f32(high, v) if real_t is float else fq_higher_f64(high, v)


cdef inline void extent_columns(const real_t *x, ptrdiff_t n, real_t *lo, real_t *hi, real_t *poison) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        lo[j] = lower(lo[j], x[j])
        hi[j] = higher(hi[j], x[j])
        poison[j] = poison[j] + x[j]


cdef inline void extent_of(const real_t *x, ptrdiff_t n, real_t *lo, real_t *hi, real_t *poison) noexcept nogil:
    """Minima and maxima depend on each other from element to element; columns do not. So: as columns, then across."""
    cdef real_t low[CHAINS]
    cdef real_t high[CHAINS]
    cdef real_t total[CHAINS]
    cdef ptrdiff_t i = 0, j
    for j in range(CHAINS):
        low[j] = lo[0]
        high[j] = hi[0]
        total[j] = 0
    while i <= n - CHAINS:
        extent_columns(x + i, CHAINS, low, high, total)
        i += CHAINS
    extent_columns(x + i, n - i, low, high, total)
    for j in range(CHAINS):
        lo[0] = lower(lo[0], low[j])
        hi[0] = higher(hi[0], high[j])
        if total[j] != total[j]:
            poison[0] = total[j]


cdef inline void extents(const fq_tile *t, real_t *lo, real_t *hi, real_t *poison, bint columns) noexcept nogil:
    cdef float reals[CHUNK]
    cdef const real_t *x
    cdef ptrdiff_t r, at, n, e
    cdef ptrdiff_t most = t.n if t.real == FQ_f32 or t.real == FQ_f64 else CHUNK  # half types go through the buffer
    for r in range(t.rows):
        e = r * t.extent_step
        at = 0
        while at < t.n:
            n = min(most, t.n - at)
            x = <const real_t *> load_reals(t.real, t.src + r * t.src_step + at * fq_real_types[t.real].size, reals, n)
            if columns:
                extent_columns(x, n, lo + at, hi + at, poison + at)
            else:
                extent_of(x, n, lo + e, hi + e, poison + e)
            at += n


cdef inline void extents_of(const fq_tile *t, bint columns) noexcept nogil:
    if t.n == 0:
        return
    if fq_real_types[t.real].is_double:
        extents(t, <double *> t.lo, <double *> t.hi, <double *> t.poison, columns)
    else:
        extents(t, <float *> t.lo, <float *> t.hi, <float *> t.poison, columns)
