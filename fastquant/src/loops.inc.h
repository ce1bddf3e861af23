/* Loops over blocks. Included by spans.inc.h.
 *
 * A call within a loop makes compilers load its constants again for every block, even if it is never taken. Hence loops
 * over small floats end before a block that has rare ones, NaN above all, and go on behind it. */

LANE size_t in_bytes(int op, int real, int kind) { return op == FQ_dequantize ? code_bytes(kind) : real_bytes(real); }
LANE size_t out_bytes(int op, int real, int kind) { return op == FQ_quantize ? code_bytes(kind) : real_bytes(real); }

/* How many codes a byte of the input or of the output holds. */
LANE size_t in_packs(int op, int kind, const lane_code *c) { return op == FQ_dequantize ? code_packs(kind, c) : 1; }
LANE size_t out_packs(int op, int kind, const lane_code *c) { return op == FQ_quantize ? code_packs(kind, c) : 1; }

/* ---- quantize ---- */

/* Two codes a byte, LINE_BLOCKS blocks at a time: where they fill a line of a cache that is streamed, it is written at
 * once, or two if they share it. Returns how many blocks are done: lines, up to one that has rare small floats. */
LANE size_t quantize_lines(const char *x, char *q, size_t j, size_t blocks, lane_cursor *c, const lane_run_params *p,
                           int real, int kind, int how, int columns, int stream)
{
    const size_t in = BLOCK * real_bytes(real);
    size_t done = 0;
    for (; blocks - done >= LINE_BLOCKS; q += LINE_BLOCKS * BLOCK / 2) {
        vb codes[LINE_BLOCKS];
        int usual = 1;
        for (size_t k = 0; k < LINE_BLOCKS; k++)
            usual &= is_usual(x + (done + k) * in, p, real, kind);
        if (!usual)
            break;
        for (int k = 0; k < LINE_BLOCKS; k++, done++) {
            lane_block b;
            cursor_next(c, p, real, how, columns);
            b = quotients_of(x + done * in, j + done * BLOCK, c, p, real, kind, how, columns);
            lane_prefetch(x + done * in, in, p->ahead);
            codes[k] = codes_of(&b, &p->code, real, kind, 1);
        }
        v_pack_4_line(codes, q, stream);
    }
    return done;
}

LANE void quantize_small_floats(const char *x, char *q, size_t j, size_t blocks, const lane_run_params *p, int real,
                                int how, int columns, int stream)
{
    const size_t in = BLOCK * real_bytes(real), out = BLOCK / code_packs(SMALL_FLOATS, &p->code);
    lane_cursor c = cursor_at(p, real, how, columns);
    size_t i = 0;
    while (i < blocks) {
        size_t end = blocks;
        if (p->code.packs == 2) {
            i += quantize_lines(x + i * in, q + i * out, j + i * BLOCK, blocks - i, &c, p, real, SMALL_FLOATS, how, columns,
                                stream);
            end = blocks - i < LINE_BLOCKS ? blocks : i + LINE_BLOCKS;
        }
        for (; i < end && is_usual(x + i * in, p, real, SMALL_FLOATS); i++) {
            cursor_next(&c, p, real, how, columns);
            lane_prefetch(x + i * in, in, p->ahead);
            store_codes_of(quotients_of(x + i * in, j + i * BLOCK, &c, p, real, SMALL_FLOATS, how, columns), q + i * out,
                           &p->code, real, SMALL_FLOATS, 1, stream);
        }
        if (i < end) {
            cursor_next(&c, p, real, how, columns);
            store_codes_of(quotients_of(x + i * in, j + i * BLOCK, &c, p, real, SMALL_FLOATS, how, columns), q + i * out,
                           &p->code, real, SMALL_FLOATS, 0, stream);
            i++;
        }
    }
}

/* From load to store a block is one long chain of dependent instructions, longer than a scheduler holds several of.
 * Dividing one block while the one before is narrowed keeps two chains in sight: 13% on Zen 2. Small floats have too many
 * constants for that: their blocks would not stay in registers (11 to 18% on Sapphire Rapids). */
LANE void quantize_integers(const char *x, char *q, size_t j, size_t blocks, const lane_run_params *p, int real, int kind,
                            int how, int columns, int stream)
{
    const size_t in = BLOCK * real_bytes(real), out = BLOCK * code_bytes(kind) / code_packs(kind, &p->code);
    lane_cursor c = cursor_at(p, real, how, columns);
    lane_block b;
    if (kind == SMALL_INTEGERS && p->code.packs == 2) {
        const size_t done = quantize_lines(x, q, j, blocks, &c, p, real, kind, how, columns, stream);
        x += done * in;
        q += done * out;
        j += done * BLOCK;
        blocks -= done;
        if (blocks == 0)
            return;
    }
    cursor_next(&c, p, real, how, columns);
    b = quotients_of(x, j, &c, p, real, kind, how, columns);
    for (size_t i = 1; i < blocks; i++) {
        lane_block next;
        x += in;
        j += BLOCK;
        cursor_next(&c, p, real, how, columns);
        lane_prefetch(x, in, p->ahead);
        next = quotients_of(x, j, &c, p, real, kind, how, columns);
        store_codes_of(b, q, &p->code, real, kind, 1, stream);
        q += out;
        b = next;
    }
    store_codes_of(b, q, &p->code, real, kind, 1, stream);
}

/* ---- dequantize, fake_quantize ---- */

LANE int other_block(int op, const char *in, char *out, size_t j, const lane_cursor *c, const lane_run_params *p, int real,
                     int kind, int how, int columns, int usual, int stream)
{
    if (op == FQ_dequantize)
        return dequantize_block(in, out, j, c, p, real, kind, how, columns, usual, stream);
    return fake_quantize_block(in, out, j, c, p, real, kind, how, columns, usual, stream);
}

LANE void other_blocks(int op, const char *in, char *out, size_t j, size_t blocks, const lane_run_params *p, int real,
                       int kind, int how, int columns, int stream)
{
    const size_t from = BLOCK * in_bytes(op, real, kind) / in_packs(op, kind, &p->code), to = BLOCK * out_bytes(op, real, kind);
    lane_cursor c = cursor_at(p, real, how, columns);
    size_t i = 0;
    while (i < blocks) {
        const size_t end = columns || blocks - i < p->per_set ? blocks : i + p->per_set;
        while (i < end) {
            for (; i < end; i++, in += from, out += to, j += BLOCK) {
                lane_prefetch(in, from, p->ahead);
                if (!other_block(op, in, out, j, &c, p, real, kind, how, columns, 1, stream))
                    break;
            }
            if (kind == SMALL_FLOATS && i < end) {
                other_block(op, in, out, j, &c, p, real, kind, how, columns, 0, stream);
                i++, in += from, out += to, j += BLOCK;
            }
        }
        if (!columns && i < blocks)
            cursor_change(&c, p, real, how);
    }
}

LANE void lane_blocks(int op, const char *in, char *out, size_t j, size_t blocks, const lane_run_params *p, int real,
                      int kind, int how, int columns, int stream)
{
    if (op != FQ_quantize)
        other_blocks(op, in, out, j, blocks, p, real, kind, how, columns, stream);
    else if (kind == SMALL_FLOATS)
        quantize_small_floats(in, out, j, blocks, p, real, how, columns, stream);
    else
        quantize_integers(in, out, j, blocks, p, real, kind, how, columns, stream);
}
