/* A bare loop: bytes in and bytes out, and nothing computed. The benchmarks hold the kernels against it, since no kernel
 * that reads and writes as much can be faster than memory lets it be.
 *
 * Included where vb, vb_load, vb_store, vb_or, v_prefetch and STREAM_BYTES are there. Each output vector is the or of as
 * many input vectors as there are for it, so that no load can be left out. */

typedef struct bare_ends {
    const char *in;
    char *out;
    size_t in_left, out_left;
    vb rest;  /* the or of what has gone to no output */
} bare_ends;

/* As many rounds as there are bytes for on both sides, of `loads` vectors in and `stores` out. */
LANE void bare_rounds(bare_ends *e, size_t loads, size_t stores, int stream)
{
    const size_t from = loads * sizeof(vb), to = stores * sizeof(vb);
    const char *in = e->in;
    char *out = e->out;
    size_t rounds = e->in_left / from;
    vb rest = e->rest;
    if (stores > 0 && rounds > e->out_left / to)
        rounds = e->out_left / to;
    for (size_t i = 0; i < rounds; i++, in += from, out += to) {
        vb v = vb_load(in);
        for (size_t k = 0; stream && k < from; k += 64)  /* as the kernels do: lane_prefetch in codes.inc.h */
            v_prefetch((const void *)((uintptr_t)in + 2048 + k));
        for (size_t k = 1; k < loads; k++)
            v = vb_or(v, vb_load(in + k * sizeof(vb)));
        for (size_t k = 0; k < stores; k++)
            vb_store(out + k * sizeof(vb), v, stream);
        if (stores == 0)
            rest = vb_or(rest, v);
    }
    e->in = in;
    e->out = out;
    e->in_left -= rounds * from;
    e->out_left -= rounds * to;
    e->rest = rest;
}

#define BARE_ROUNDS(loads, stores) (stream ? bare_rounds(&e, loads, stores, 1) : bare_rounds(&e, loads, stores, 0))

/* Reads all of in and writes all of out. Returns the or of the bytes that have gone to no output. */
uint8_t TARGET_BARE(const char *in, size_t in_bytes, char *out, size_t out_bytes, int stream)
{
    static const char zeros[sizeof(vb)];
    char spare[sizeof(vb)];
    bare_ends e = {in, out, in_bytes, out_bytes, vb_load(zeros)};
    const size_t misfit = (uintptr_t)out & (STREAM_BYTES - 1);
    const size_t loads = out_bytes > 0 ? (in_bytes + out_bytes / 2) / out_bytes : 0;
    const size_t stores = in_bytes > 0 ? (out_bytes + in_bytes / 2) / in_bytes : 0;
    uint8_t all = 0;
    if (stream && misfit > 0) {
        const size_t head = STREAM_BYTES - misfit < out_bytes ? STREAM_BYTES - misfit : out_bytes;
        memset(out, 0, head);
        e.out += head;
        e.out_left -= head;
    }
    if (loads >= 16)
        BARE_ROUNDS(16, 1);
    else if (loads >= 8)
        BARE_ROUNDS(8, 1);
    else if (loads >= 4)
        BARE_ROUNDS(4, 1);
    else if (loads >= 2)
        BARE_ROUNDS(2, 1);
    else if (stores >= 16)
        BARE_ROUNDS(1, 16);
    else if (stores >= 8)
        BARE_ROUNDS(1, 8);
    else if (stores >= 4)
        BARE_ROUNDS(1, 4);
    else if (stores >= 2)
        BARE_ROUNDS(1, 2);
    else
        BARE_ROUNDS(1, 1);
    bare_rounds(&e, 8, 0, 0);
    bare_rounds(&e, 1, 0, 0);
    vb_store(spare, e.rest, 0);
    for (size_t k = 0; k < sizeof spare; k++)
        all |= (uint8_t)spare[k];
    for (size_t k = 0; k < e.in_left; k++)
        all |= (uint8_t)e.in[k];
    memset(e.out, 0, e.out_left);
    return all;
}
