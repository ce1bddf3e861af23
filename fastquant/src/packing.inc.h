/* 4- and 2-bit codes to and from packed bytes, low bits first; signs to bytes, high bits first. Included by spans.inc.h. */

/* BLOCK codes, as they were narrowed, to BLOCK / packs bytes. */
LANE void pack_block(vb codes, char *packed, int packs, int stream)
{
    if (packs == 2)
        v_pack_4(codes, packed, stream);
    else
        v_pack_2(codes, packed);
}

LANE vb unpack_block(const char *packed, int packs)
{
    return packs == 2 ? v_unpack_4(packed) : v_unpack_2(packed);
}

/* The spare bits of the byte that holds a row's last codes are 0. */
LANE void clear_spare(char *packed, size_t n, int packs)
{
    const size_t spare = n % (size_t)packs;
    if (spare)
        packed[n / (size_t)packs] &= (char)((1 << (8 / packs * (int)spare)) - 1);
}

LANE size_t packed_bytes(size_t n, int packs)
{
    return (n + (size_t)packs - 1) / (size_t)packs;
}

/* The last block of a row goes through a buffer. */
LANE void pack_row(const char *codes, char *packed, size_t n, int packs)
{
    char from[BLOCK] = {0}, to[BLOCK];
    size_t i = 0;
    for (; n - i >= BLOCK; i += BLOCK)
        pack_block(vb_as_narrowed(vb_load(codes + i)), packed + i / (size_t)packs, packs, 0);
    if (i == n)
        return;
    memcpy(from, codes + i, n - i);
    pack_block(vb_as_narrowed(vb_load(from)), to, packs, 0);
    memcpy(packed + i / (size_t)packs, to, packed_bytes(n - i, packs));
}

LANE void unpack_row(const char *packed, char *codes, size_t n, int packs)
{
    char from[BLOCK] = {0}, to[BLOCK];
    size_t i = 0;
    for (; n - i >= BLOCK; i += BLOCK)
        vb_store(codes + i, unpack_block(packed + i / (size_t)packs, packs), 0);
    if (i == n)
        return;
    memcpy(from, packed + i / (size_t)packs, packed_bytes(n - i, packs));
    vb_store(to, unpack_block(from, packs), 0);
    memcpy(codes + i, to, n - i);
}

static void pack_tile(const fq_tile *t)
{
    for (ptrdiff_t r = 0; r < t->rows; r++)
        pack_row(t->in + r * t->in_step, t->out + r * t->out_step, (size_t)t->n, t->packs);
}

static void unpack_tile(const fq_tile *t)
{
    for (ptrdiff_t r = 0; r < t->rows; r++)
        unpack_row(t->in + r * t->in_step, t->out + r * t->out_step, (size_t)t->n, t->packs);
}

/* Vectors whose signs are whole bytes, and how many elements those are. */
#define SIGN_VECTORS (LANES < 8 ? 8 / LANES : 1)
#define SIGNS (SIGN_VECTORS * LANES)

LANE void signs_of(const char *x, char *bits, int real)
{
    vf v[SIGN_VECTORS];
    int positive;
    for (size_t k = 0; k < SIGN_VECTORS; k++) {
        const char *at = x + k * LANES * real_bytes(real);
        /* Rounded to odd, a float64 that is not 0 does not become 0. */
        v[k] = real == FQ_f64 ? vf_odd_from_vd(vd_load((const double *)at)) : load_reals(real, at);
    }
    positive = v_positive(v);
    for (int k = 0; k < SIGNS / 8; k++)
        bits[k] = (char)(positive >> 8 * k);
}

LANE void signs_tile(const fq_tile *t, int real)
{
    const size_t n = (size_t)t->n, size = real_bytes(real), in = SIGNS * size;
    for (ptrdiff_t r = 0; r < t->rows; r++) {
        const char *x = t->in + r * t->in_step;
        char *bits = t->out + r * t->out_step;
        char rest[SIGNS * sizeof(double)] = {0}, last[SIGNS / 8];
        size_t i = 0;
        for (; n - i >= SIGNS; i += SIGNS, x += in) {
            lane_prefetch(x, in, ahead_of(t));
            signs_of(x, bits + i / 8, real);
        }
        if (i < n) {
            memcpy(rest, x, (n - i) * size);
            signs_of(rest, last, real);
            memcpy(bits + i / 8, last, (n - i + 7) / 8);
        }
    }
}

#define DEFINE_SIGNS(id, name, type, arithmetic) \
    static void signs_##id(const fq_tile *t) { signs_tile(t, FQ_##id); }
FQ_REALS(DEFINE_SIGNS)
