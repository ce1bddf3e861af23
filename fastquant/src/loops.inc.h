/* Loops over blocks. Included by spans.inc.h.
 *
 * A call within a loop makes compilers load its constants again for every block, even if it is never taken. Hence loops
 * over small floats end before a block that has rare ones, NaN above all, and go on behind it. */

LANE size_t in_bytes(int op, int real, int kind) { return op == FQ_dequantize ? code_bytes(kind) : real_bytes(real); }
LANE size_t out_bytes(int op, int real, int kind) { return op == FQ_quantize ? code_bytes(kind) : real_bytes(real); }

/* How many codes a byte of the input or of the output holds. */
LANE size_t in_packs(int op, int kind, const lane_code *c) { return op == FQ_dequantize ? code_packs(kind, c) : 1; }
LANE size_t out_packs(int op, int kind, const lane_code *c) { return op == FQ_quantize ? code_packs(kind, c) : 1; }

/* Rows that are converted side by side, in blocks of the same columns. Not more: of 8 rows, a power of two apart, the first
 * cache loses lines: ten times as long on Zen 4. */
#define SIDE_BY_SIDE 4

typedef struct {
    const char *in;
    char *out;
    ptrdiff_t in_step, out_step;
    size_t n;
} lane_rows;

/* Where that is worth it: parameters of float64 would not stay in registers, and blocks of small floats are of two sorts. */
LANE int shares_rows(int real, int kind) { return real != FQ_f64 && kind != SMALL_FLOATS; }

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
            usual &= is_usual(x + (done + k) * in, &p->code, real, kind);
        if (!usual)
            break;
        for (int k = 0; k < LINE_BLOCKS; k++, done++) {
            lane_set s;
            lane_block b;
            cursor_next(c, p, real, how, columns);
            s = set_at(c, p, j + done * BLOCK, real, how, columns);
            b = quotients_of(x + done * in, &s, &p->code, real, kind, how);
            lane_prefetch(x + done * in, in, p->ahead);
            codes[k] = codes_of(&b, &p->code, real, kind, 1);
        }
        v_pack_4_line(codes, q, stream);
    }
    return done;
}

LANE void quantize_small_float_block(const char *x, char *q, size_t j, lane_cursor *c, const lane_run_params *p, int real,
                                    int how, int columns, int usual, int stream)
{
    lane_set s;
    cursor_next(c, p, real, how, columns);
    s = set_at(c, p, j, real, how, columns);
    lane_prefetch(x, BLOCK * real_bytes(real), p->ahead);
    store_codes_of(quotients_of(x, &s, &p->code, real, SMALL_FLOATS, how), q, &p->code, real, SMALL_FLOATS, usual, stream);
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
        for (; i < end && is_usual(x + i * in, &p->code, real, SMALL_FLOATS); i++)
            quantize_small_float_block(x + i * in, q + i * out, j + i * BLOCK, &c, p, real, how, columns, 1, stream);
        if (i < end) {
            quantize_small_float_block(x + i * in, q + i * out, j + i * BLOCK, &c, p, real, how, columns, 0, stream);
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
    lane_set s;
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
    s = set_at(&c, p, j, real, how, columns);
    b = quotients_of(x, &s, &p->code, real, kind, how);
    for (size_t i = 1; i < blocks; i++) {
        lane_block next;
        x += in;
        j += BLOCK;
        cursor_next(&c, p, real, how, columns);
        lane_prefetch(x, in, p->ahead);
        s = set_at(&c, p, j, real, how, columns);
        next = quotients_of(x, &s, &p->code, real, kind, how);
        store_codes_of(b, q, &p->code, real, kind, 1, stream);
        q += out;
        b = next;
    }
    store_codes_of(b, q, &p->code, real, kind, 1, stream);
}

/* n rows side by side: parameters of columns are loaded once for all, which leaves no registers for two blocks. */
LANE void quantize_columns_of(lane_rows rows, size_t n, size_t j, size_t blocks, const lane_run_params *p, int real,
                              int kind, int how, int stream)
{
    const size_t in = BLOCK * real_bytes(real), out = BLOCK * code_bytes(kind) / code_packs(kind, &p->code);
    lane_cursor c = cursor_at(p, real, how, BY_COLUMN);
    size_t i = 0;
    if (kind == SMALL_INTEGERS && p->code.packs == 2)
        i = quantize_lines(rows.in, rows.out, j, blocks, &c, p, real, kind, how, BY_COLUMN, stream);
    for (; i < blocks; i++) {
        const lane_set s = set_at(&c, p, j + i * BLOCK, real, how, BY_COLUMN);
        const char *x = rows.in + i * in;
        char *q = rows.out + i * out;
        lane_prefetch(x, in, p->ahead);
        for (size_t r = 0; r < n; r++, x += rows.in_step, q += rows.out_step)
            store_codes_of(quotients_of(x, &s, &p->code, real, kind, how), q, &p->code, real, kind, 1, stream);
    }
}

/* ---- dequantize, fake_quantize ---- */

LANE int other_block(int op, const char *in, char *out, const lane_set *s, const lane_code *c, int real, int kind, int how,
                     int usual, int stream)
{
    if (op == FQ_dequantize)
        return dequantize_block(in, out, s, c, real, kind, how, usual, stream);
    return fake_quantize_block(in, out, s, c, real, kind, how, usual, stream);
}

LANE void other_blocks(int op, lane_rows rows, size_t n, size_t j, size_t blocks, const lane_run_params *p, int real,
                       int kind, int how, int columns, int stream)
{
    const size_t from = BLOCK * in_bytes(op, real, kind) / in_packs(op, kind, &p->code), to = BLOCK * out_bytes(op, real, kind);
    lane_cursor c = cursor_at(p, real, how, columns);
    size_t i = 0;
    while (i < blocks) {
        const size_t end = columns || blocks - i < p->per_set ? blocks : i + p->per_set;
        while (i < end) {
            for (; i < end; i++, rows.in += from, rows.out += to) {
                const lane_set s = set_at(&c, p, j + i * BLOCK, real, how, columns);
                lane_prefetch(rows.in, from, p->ahead);
                if (!other_block(op, rows.in, rows.out, &s, &p->code, real, kind, how, 1, stream))
                    break;
                for (size_t r = 1; r < n; r++)
                    other_block(op, rows.in + (ptrdiff_t)r * rows.in_step, rows.out + (ptrdiff_t)r * rows.out_step, &s, &p->code,
                                real, kind, how, 1, stream);
            }
            if (kind == SMALL_FLOATS && i < end) {
                const lane_set s = set_at(&c, p, j + i * BLOCK, real, how, columns);
                other_block(op, rows.in, rows.out, &s, &p->code, real, kind, how, 0, stream);
                i++, rows.in += from, rows.out += to;
            }
        }
        if (!columns && i < blocks)
            cursor_change(&c, p, real, how);
    }
}

/* ---- any of them ---- */

/* n: how many of the rows. */
LANE void blocks_of_rows(int op, lane_rows rows, size_t n, size_t j, size_t blocks, const lane_run_params *p, int real,
                         int kind, int how, int columns, int stream)
{
    if (op != FQ_quantize)
        other_blocks(op, rows, n, j, blocks, p, real, kind, how, columns, stream);
    else if (kind == SMALL_FLOATS)
        quantize_small_floats(rows.in, rows.out, j, blocks, p, real, how, columns, stream);
    else if (columns == BY_COLUMN)
        quantize_columns_of(rows, n, j, blocks, p, real, kind, how, stream);
    else
        quantize_integers(rows.in, rows.out, j, blocks, p, real, kind, how, columns, stream);
}

/* The number of rows is a constant: 1.3 times as fast as a loop over rows.n. */
LANE void lane_blocks(int op, lane_rows rows, size_t j, size_t blocks, const lane_run_params *p, int real, int kind, int how,
                      int columns, int stream)
{
    if (columns == BY_COLUMN && shares_rows(real, kind) && rows.n == SIDE_BY_SIDE) {
        blocks_of_rows(op, rows, SIDE_BY_SIDE, j, blocks, p, real, kind, how, columns, stream);
        return;
    }
    for (size_t r = 0; r < rows.n; r++, rows.in += rows.in_step, rows.out += rows.out_step)
        blocks_of_rows(op, rows, 1, j, blocks, p, real, kind, how, columns, stream);
}
