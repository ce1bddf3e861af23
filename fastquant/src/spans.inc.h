/* The span kernels of the lane targets, written once. A target_*.c opens its instruction set, includes its lanes_*.h
 * and then this file.
 *
 * Everything works on blocks of four vectors, since that many vectors of int32 narrow to one vector of bytes. Where a
 * run is no multiple of a block, the rest is a block too, overlapping the one before or in a small buffer: the same
 * code, so the same result, and not one byte outside the run is read or written.
 *
 * What is constant during a run but changes the work (kernel, code type, way of dividing, streaming) is an argument of
 * functions that are always inlined, with a constant at the call: each combination becomes a loop of its own. */

#define BLOCK (4 * LANES)

/* Quotients above this saturate whatever the zero point (|zero_point| <= FQ_NEAR), and up to it vi_nearest is exact. */
#define HIGHEST_QUOTIENT 32768.0f

typedef struct {
    vf scale, offset, minus_offset;
    vf recip, rest, limit;      /* the division: fq_divisor */
    vf low, high;               /* fake_quantize: the lowest and highest level, times scale unless FQ_GENERAL */
    vi zero_point;
    v_narrower narrower;
} lane_params;

LANE lane_params lane_params_of(const fq_affine *p, const fq_divisor *d)
{
    float unit = d->how == FQ_GENERAL ? 1.0f : (float)p->scale;
    lane_params c;
    c.scale = vf_set((float)p->scale);
    c.offset = vf_set((float)p->offset);
    c.minus_offset = vf_set(-(float)p->offset);
    c.recip = vf_set(d->recip);
    c.rest = vf_set(d->rest);
    c.limit = vf_set(HIGHEST_QUOTIENT * unit);
    c.low = vf_set((float)(p->lowest - p->zero_point) * unit);
    c.high = vf_set((float)(p->highest - p->zero_point) * unit);
    c.zero_point = vi_set(p->zero_point);
    c.narrower = v_narrow_by(p->zero_point);
    return c;
}

LANE vf lane_divided(vf x, const lane_params *c, int how)
{
    if (how == FQ_GENERAL)
        return vf_div(vf_add(c->minus_offset, x), c->scale);
    if (how == FQ_ONE_PRODUCT)
        return vf_mul(x, c->recip);
    return vf_fma(x, c->recip, vf_mul(x, c->rest));
}

/* (x - offset) / scale, or a number that rounds to the same integer: what vi_nearest takes. Where it is not too large by
 * itself, it is x that is limited, since of +inf the two products make a NaN (inf * recip - inf * |rest|). A huge or
 * infinite negative x may become -inf, NaN or +inf; vi_nearest makes the lowest integer of each. */
LANE vf lane_quotient(vf x, const lane_params *c, int how)
{
    if (how == FQ_GENERAL)
        return vf_at_most(c->limit, lane_divided(x, c, how));
    return lane_divided(vf_at_most(c->limit, x), c, how);
}

/* The level as a float, within the levels of the code type. Rounding can leave -0, which an integer has not: + 0. */
LANE vf lane_level(vf x, const lane_params *c, int how)
{
    if (how == FQ_GENERAL)
        x = vf_at_most(c->high, vf_at_least(c->low, lane_divided(x, c, how)));
    else
        x = lane_divided(vf_at_most(c->high, vf_at_least(c->low, x)), c, how);
    return vf_add(vf_nearest(x), vf_set(0.0f));
}

/* Only FQ_GENERAL has an offset. */
LANE vf lane_real(vf level, const lane_params *c, int how)
{
    vf product = vf_mul(level, c->scale);
    return how == FQ_GENERAL ? vf_add(product, c->offset) : product;
}

/* Arrays that are streamed come from memory, and these loops leave the hardware's own prefetching behind: asking for the
 * block five ahead makes them as fast as a bare copy (without it 1.13 and 1.25 of one, for quantize and fake_quantize on Zen 2).
 * A prefetch beyond the end of an array is no access. */
LANE void lane_prefetch(const float *x, int stream)
{
    if (stream)
        for (int k = 0; k < BLOCK; k += 64 / (int)sizeof *x)
            v_prefetch(x + 5 * BLOCK + k);
}

LANE void lane_store(float *p, vf v, int stream)
{
    if (stream)
        vf_stream(p, v);
    else
        vf_store(p, v);
}

typedef struct {
    vf v[4];
} lane_quotients;

LANE lane_quotients quotients_of(const float *x, const lane_params *c, int how)
{
    lane_quotients y;
    for (int k = 0; k < 4; k++)
        y.v[k] = lane_quotient(vf_load(x + k * LANES), c, how);
    return y;
}

LANE void store_codes_of(lane_quotients y, uint8_t *q, const lane_params *c, int code, int stream)
{
    vi l0 = vi_nearest(y.v[0]), l1 = vi_nearest(y.v[1]), l2 = vi_nearest(y.v[2]), l3 = vi_nearest(y.v[3]);
    vb codes = code == FQ_u8 ? vb_narrow_u8(l0, l1, l2, l3, c->narrower) : vb_narrow_i8(l0, l1, l2, l3, c->narrower);
    if (stream)
        vb_stream(q, codes);
    else
        vb_store(q, codes);
}

/* From load to store a block is one long chain of dependent instructions, longer than a scheduler holds several of.
 * Dividing one block while the one before is narrowed keeps two chains in sight: 13% on Zen 2. */
LANE void quantize_blocks(const float *x, uint8_t *q, size_t blocks, const lane_params *c, int code, int how, int stream)
{
    lane_quotients y;
    if (blocks == 0)
        return;
    y = quotients_of(x, c, how);
    for (size_t i = 1; i < blocks; i++) {
        lane_quotients next = quotients_of(x + i * BLOCK, c, how);
        lane_prefetch(x + i * BLOCK, stream);
        store_codes_of(y, q + (i - 1) * BLOCK, c, code, stream);
        y = next;
    }
    store_codes_of(y, q + (blocks - 1) * BLOCK, c, code, stream);
}

LANE void dequantize_block(const uint8_t *q, float *x, const lane_params *c, int code, int how, int stream)
{
    for (int k = 0; k < 4; k++) {
        vi codes = code == FQ_u8 ? vi_widen_u8(q + k * LANES) : vi_widen_i8(q + k * LANES);
        vf level = vf_from_vi(vi_sub(codes, c->zero_point));
        lane_store(x + k * LANES, lane_real(level, c, how), stream);
    }
}

LANE void fake_quantize_block(const float *x, float *y, const lane_params *c, int how, int stream)
{
    lane_prefetch(x, stream);
    for (int k = 0; k < 4; k++)
        lane_store(y + k * LANES, lane_real(lane_level(vf_load(x + k * LANES), c, how), c, how), stream);
}

/* ---- a run: head, blocks, tail ---- */

LANE size_t in_bytes(int op) { return op == FQ_dequantize ? 1 : sizeof(float); }
LANE size_t out_bytes(int op) { return op == FQ_quantize ? 1 : sizeof(float); }

LANE void lane_blocks(int op, const char *in, char *out, size_t blocks, const lane_params *c, int code, int how,
                      int stream)
{
    if (op == FQ_quantize) {
        quantize_blocks((const float *)in, (uint8_t *)out, blocks, c, code, how, stream);
        return;
    }
    for (size_t i = 0; i < blocks; i++) {
        if (op == FQ_dequantize)
            dequantize_block((const uint8_t *)in, (float *)out, c, code, how, stream);
        else
            fake_quantize_block((const float *)in, (float *)out, c, how, stream);
        in += BLOCK * in_bytes(op);
        out += BLOCK * out_bytes(op);
    }
}

/* n < BLOCK elements, by way of a buffer. */
LANE void lane_part(int op, const char *in, char *out, size_t n, const lane_params *c, int code, int how)
{
    float from[BLOCK] = {0}, to[BLOCK];
    memcpy(from, in, n * in_bytes(op));
    lane_blocks(op, (const char *)from, (char *)to, 1, c, code, how, 0);
    memcpy(out, to, n * out_bytes(op));
}

LANE void lane_run(int op, const char *in, char *out, size_t n, const lane_params *c, int code, int how, int stream)
{
    size_t done = 0, blocks;
    if (stream) {
        done = (size_t)(-(uintptr_t)out & (VECTOR_BYTES - 1)) / out_bytes(op);
        done = done < n ? done : n;
        if (done > 0)
            lane_part(op, in, out, done, c, code, how);
    }
    blocks = (n - done) / BLOCK;
    lane_blocks(op, in + done * in_bytes(op), out + done * out_bytes(op), blocks, c, code, how, stream);
    done += blocks * BLOCK;
    if (stream)
        v_stream_end();
    if (done == n)
        return;
    /* The last block may overlap the one before: unless fake_quantize is at work in place, it gives the same again. */
    if (n >= BLOCK && in != out)
        lane_blocks(op, in + (n - BLOCK) * in_bytes(op), out + (n - BLOCK) * out_bytes(op), 1, c, code, how, 0);
    else
        lane_part(op, in + done * in_bytes(op), out + done * out_bytes(op), n - done, c, code, how);
}

LANE void lane_run_how(int op, const void *in, void *out, ptrdiff_t n, const fq_affine *p, int code, int how,
                       const fq_divisor *d)
{
    lane_params c = lane_params_of(p, d);
    if (p->stream)
        lane_run(op, in, out, (size_t)n, &c, code, how, 1);
    else
        lane_run(op, in, out, (size_t)n, &c, code, how, 0);
}

LANE void lane_span(int op, const void *in, void *out, ptrdiff_t n, const fq_affine *p, int code)
{
    fq_divisor d = {0.0f, 0.0f, p->offset == 0.0 ? FQ_ONE_PRODUCT : FQ_GENERAL};
    if (op != FQ_dequantize)
        d = fq_divisor_of((float)p->scale, (float)p->offset, p->lowest - p->zero_point, p->highest - p->zero_point);
    if (d.how == FQ_GENERAL)
        lane_run_how(op, in, out, n, p, code, FQ_GENERAL, &d);
    else if (d.how == FQ_ONE_PRODUCT)
        lane_run_how(op, in, out, n, p, code, FQ_ONE_PRODUCT, &d);
    else if (op != FQ_dequantize)
        lane_run_how(op, in, out, n, p, code, FQ_TWO_PRODUCTS, &d);
}

/* ---- minmax ---- */

typedef struct {
    vf lo[4], hi[4], sum[4];
} lane_extent;

/* Independent chains hide the latency of min and max. NaN is found by a third, a sum: infinities show in lo and hi, so
 * all that the sum has to tell is NaN, and a sum of finite numbers never becomes one (each chain is tested by itself:
 * one that overflowed to +inf must not meet one that overflowed to -inf). */
LANE void minmax_block(const float *x, lane_extent *e)
{
    for (int k = 0; k < 4; k++) {
        vf v = vf_load(x + k * LANES);
        e->lo[k] = vf_min(e->lo[k], v);
        e->hi[k] = vf_max(e->hi[k], v);
        e->sum[k] = vf_add(e->sum[k], v);
    }
}

static void minmax_f32(const void *in, void *out, ptrdiff_t length, const fq_affine *p)
{
    const float *x = in;
    const fq_extent *found = out;
    float *lo = found->lo, *hi = found->hi, *poison = found->poison;
    size_t i = 0, n = (size_t)length;
    lane_extent e;
    (void)p;
    for (int k = 0; k < 4; k++) {
        e.lo[k] = vf_set(*lo);
        e.hi[k] = vf_set(*hi);
        e.sum[k] = vf_set(0.0f);
    }
    for (; n - i >= BLOCK; i += BLOCK)
        minmax_block(x + i, &e);
    if (i < n) {
        float last[BLOCK];
        for (int k = 0; k < BLOCK; k++)
            last[k] = x[i];
        memcpy(last, x + i, (n - i) * sizeof *x);
        minmax_block(last, &e);
    }
    for (int k = 0; k < 4; k++)
        if (vf_any_nan(e.sum[k]))
            *poison = (float)NAN;
    *lo = vf_lowest_lane(vf_min(vf_min(e.lo[0], e.lo[1]), vf_min(e.lo[2], e.lo[3])));
    *hi = vf_highest_lane(vf_max(vf_max(e.hi[0], e.hi[1]), vf_max(e.hi[2], e.hi[3])));
}

/* ---- the target's table ---- */

static void fake_quantize_f32(const void *in, void *out, ptrdiff_t n, const fq_affine *p)
{
    lane_span(FQ_fake_quantize, in, out, n, p, 0);
}

#define DEFINE_SPANS(id, name, type, lowest, highest)                                            \
    static void quantize_f32_##id(const void *in, void *out, ptrdiff_t n, const fq_affine *p)    \
    {                                                                                            \
        lane_span(FQ_quantize, in, out, n, p, FQ_##id);                                          \
    }                                                                                            \
    static void dequantize_f32_##id(const void *in, void *out, ptrdiff_t n, const fq_affine *p)  \
    {                                                                                            \
        lane_span(FQ_dequantize, in, out, n, p, FQ_##id);                                        \
    }
FQ_CODES(DEFINE_SPANS)

#define LIST_SPANS(id, name, type, lowest, highest)               \
    [FQ_quantize][FQ_f32][FQ_##id] = quantize_f32_##id,           \
    [FQ_dequantize][FQ_f32][FQ_##id] = dequantize_f32_##id,       \
    [FQ_fake_quantize][FQ_f32][FQ_##id] = fake_quantize_f32,      \
    [FQ_minmax][FQ_f32][FQ_##id] = minmax_f32,

const fq_span_table TARGET_SPANS = {FQ_CODES(LIST_SPANS)};
