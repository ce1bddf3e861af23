"""Edits of sabotage.py: calls on several threads, Quantizer and Dequantizer, signs."""

from __future__ import annotations

from sabotage_files import ENTRY, LANES, MEMORY, PORTABLE, REUSE, SPANS, Edit

SPLIT = "fastquant/_split.pxi"
POOL = "fastquant/src/threads.c"
COUNT = "fastquant/_threads.py"
HELD = "fastquant/_quantizers.pxi"
FIXED = "fastquant/_fixed.py"

EDITS = [
    # ---- where calls are cut ----
    Edit("split: the input of the first part", SPLIT, [("    t.src += start * r.src_size\n", "")]),
    Edit("split: the output of the first part", SPLIT, [("    t.dst += start * r.dst_size\n", "")]),
    Edit("split: the last part as long as the others", SPLIT, [("t.n = min(r.step, t.n - start)", "t.n = r.step")]),
    Edit("split: one part too few", SPLIT, [("parts = (t.n + r.step - 1) // r.step", "parts = t.n // r.step")]),
    Edit("split: parameters of the first part", SPLIT, [("start) * w.param[k]", "0) * w.param[k]")]),
    Edit("split: parameters within rows", SPLIT, [("(start // w.run if k == w.ndim - 1 else start)", "start")]),
    Edit("split: within blocks", SPLIT, [("else common_multiple(part_step, w.run)", "else part_step")]),
    Edit("split: ranges that parts share", SPLIT, [("if own_ranges and w.param[k] == 0:", "if False:")]),
    Edit("split: dynamic rows", SPLIT, [("parts, ranges or w.dynamic.on)", "parts, ranges)")]),
    Edit("split: failures of parts", SPLIT, [("        w.dynamic.failed |= s.failed[k]\n", "        pass\n")]),
    Edit("split: lowest of the last part", SPLIT, [("lo[i] = lower(lo[i], low[i])", "lo[i] = low[i]")]),
    Edit("split: highest of the last part", SPLIT, [("hi[i] = higher(hi[i], high[i])", "hi[i] = high[i]")]),
    Edit("split: NaN of parts", SPLIT, [("            poison[i] = nan[i]\n", "            pass\n")]),
    Edit(
        "split: ranges of rows as the caller has it",
        SPLIT,
        [
            ("    env = fq_fpenv_enter()  # comparisons of subnormals\n    for", "    for"),
            (
                "                         <float *> &r.poison[i], 1)\n    fq_fpenv_leave(env)",
                "                         <float *> &r.poison[i], 1)",
            ),
        ],
    ),
    Edit(
        "split: ranges as the caller has it",
        SPLIT,
        [
            ("        env = fq_fpenv_enter()  # comparisons of subnormals\n        if wide", "        if wide"),
            ("w.sets, parts)\n        fq_fpenv_leave(env)\n", "w.sets, parts)\n"),
        ],
    ),
    Edit(
        "split: sums of sums",
        SPLIT,
        [
            (
                "        if nan[i] != nan[i]:  # a sum of sums could be NaN by itself\n            poison[i] = nan[i]",
                "        poison[i] += nan[i]",
            )
        ],
    ),
    Edit("split: small calls too", SPLIT, [("parallel_from_bytes = 4 << 20", "parallel_from_bytes = 0")]),
    # ---- the pool ----
    Edit("pool: a caller does not wait", POOL, [("    while (j.unfinished > 0)\n        wait_for(&done);\n", "")]),
    Edit("pool: a part twice", POOL, [(": j->next++;", ": j->next++ / 2;")]),
    Edit("pool: the last part is lost", POOL, [("worker ? --j->end :", "worker ? j->end-- :")]),
    Edit("pool: workers on the caller's CPU", POOL, [("    CPU_CLR((size_t)here, &others.set);\n", "")]),
    Edit("pool: workers that were never kept off", POOL, [("w->cpu == here || ", "")]),
    Edit("pool: workers where an earlier caller was", POOL, [("        follow(&j->caller);\n", "        (void)0;\n")]),
    Edit("pool: a child's sleepers", POOL, [("    nobody_sleeps();\n", "")]),
    Edit(
        "pool: more than allowed",
        POOL,
        [("workers - busy < wanted", "workers - busy < 2 * wanted")],
    ),
    Edit("pool: as many as there are parts", POOL, [("wanted = wanted < parts - 1 ? wanted : parts - 1;", "")]),
    Edit("pool: more than parts", POOL, [("workers - busy < wanted", "workers < limit - 1")]),
    Edit("pool: none", POOL, [("while (may_start &&", "while (0 &&")]),
    Edit("pool: a child keeps count of its parent's", POOL, [("workers = busy = at_work = 0;", "busy = at_work = 0;")]),
    Edit(
        "pool: a child keeps the callers of its parent",
        POOL,
        [("workers = busy = at_work = 0;", "workers = busy = 0;")],
    ),
    Edit("pool: locked in the child", POOL, [("    pthread_cond_init(&done, NULL);\n    release();", "")]),
    Edit(
        "pool: signals for workers",
        POOL,
        [("pthread_sigmask(SIG_SETMASK, &all, &before);", "sigemptyset(&before);")],
    ),
    Edit("pool: crashes of workers unseen", POOL, [("        sigdelset(&all, own[i]);\n", "        (void)own;\n")]),
    Edit("pool: rooms for two", POOL, [("room = rooms[--rooms_kept];", "room = rooms[rooms_kept - 1];")]),
    Edit("pool: a limit beside the lock", POOL, [("    acquire();\n    n = limit;\n    release();", "    n = limit;")]),
    Edit(
        "pool: done before it is",
        POOL,
        [
            ("    release();\n    if (worker)", "    j->unfinished--;\n    release();\n    if (worker)"),
            ("if (--j->unfinished == 0)", "if (j->unfinished == 0)"),
        ],
    ),
    # ---- how many ----
    Edit("threads: no affinity", COUNT, [("len(os.sched_getaffinity(0))", "max(2, os.cpu_count())")]),
    Edit(
        "threads: no quota of groups above",
        "fastquant/_cgroups.py",
        [
            (
                "for folder in (own, *(p for p in own.parents if p == base or base in p.parents), base):",
                "for folder in (own,):",
            )
        ],
    ),
    Edit("threads: OMP_NUM_THREADS", COUNT, [('_positive(environment.get("OMP_NUM_THREADS")) or _MOST', "_MOST")]),
    Edit("threads: any number", COUNT, [("if not 1 <= count <= _MOST:", "if count < 0:")]),
    # ---- parameters that are held ----
    Edit("held: the caller's arrays", FIXED, [("np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape)", "a")]),
    Edit("held: arrays that can be written to", FIXED, [("np.frombuffer(a.tobytes(), a.dtype)", "a.copy()")]),
    Edit("held: scales that float32 lacks", FIXED, [("block_size, fits and also,", "block_size, also,")]),
    Edit("held: offsets that float32 lacks", FIXED, [("block_size, fits and also,", "block_size, fits,")]),
    Edit(
        "held: rounded twice",
        FIXED,
        [("read_scale(scale, real, grid), scales)", "read_scale(scales, real, grid), scales)")],
    ),
    Edit(
        "held: offsets rounded twice",
        FIXED,
        [
            (
                "read_offset(offset, zero_points, real, grid), offsets)",
                "read_offset(offsets, zero_points, real, grid), offsets)",
            )
        ],
    ),
    Edit("held: blocks without an axis", FIXED, [("cut = axes[0] if axes else -1", "cut = axes[0] if axes else 0")]),
    Edit(
        "held: any axis",
        FIXED,
        [("if isinstance(a, (int, np.integer)) and not -_MOST_AXES <= a < _MOST_AXES:", "if False:")],
    ),
    Edit("held: arrays by NumPy's ways alone", FIXED, [("name: as_array(value, name) for", "name: value for")]),
    Edit(
        "held: rounded as the caller has it",
        HELD,
        [("            fq_fpenv_leave(env)\n", ""), ("env = fq_fpenv_enter()", "pass")],
    ),
    Edit("held: scales of float32 for float64", HELD, [("self.scale64 if wide else self.scale32", "self.scale32")]),
    Edit(
        "held: no offset", HELD, [("self.plain.has_offset = self.offset is not None", "self.plain.has_offset = False")]
    ),
    Edit("held: zero points of float codes", HELD, [("if code < 0 or self.zero_point_is_none(code):", "if True:")]),
    Edit("held: any out", HELD, [("if out is None or may_write(out, <cnp.ndarray> a, made):", "if True:")]),
    # ---- signs ----
    Edit("signs: low bits first", LANES, [("7, 6, 5, 4, 3, 2, 1, 0", "0, 1, 2, 3, 4, 5, 6, 7")]),
    Edit("signs: zero too", LANES, [("_mm256_setzero_ps(), _CMP_GT_OQ)", "_mm256_setzero_ps(), _CMP_GE_OQ)")]),
    Edit("signs: no rest", SPANS, [("signs_of(rest, last, real);", "memset(last, 0, sizeof last);")]),
    Edit("signs: portable, beyond the end", PORTABLE, [("(j * 8 + k < n and x[j * 8 + k] > 0)", "(x[j * 8 + k] > 0)")]),
    Edit("signs: portable, NaN", PORTABLE, [("and x[j * 8 + k] > 0)", "and not x[j * 8 + k] <= 0)")]),
    Edit(
        "signs: any type",
        ENTRY,
        [
            (
                "    if real < 0 or ndim == 0:\n        raise changed()\n    for i in range(ndim):",
                "    for i in range(ndim):",
            )
        ],
    ),
    # ---- the end of the interpreter ----
    Edit("end: types of an empty module", ENTRY, [("cdef type QParams, Quantized, Range\n", "")]),
    # ---- memory of results ----
    Edit("reuse: what is too small", REUSE, [("kept[i].bytes >= bytes && ", "")]),
    Edit("reuse: what is far too large", REUSE, [("kept[i].bytes / 2 <= bytes && ", "")]),
    Edit("reuse: the last that fits", REUSE, [("(best < 0 || kept[i].bytes < kept[best].bytes)", "1")]),
    Edit("reuse: taken, and still there", REUSE, [(": taken(best);", ": kept[best];")]),
    Edit("reuse: nothing is forgotten", REUSE, [("    forget(limit - bytes, SLOTS - 1);\n", "")]),
    Edit("reuse: the newest is forgotten", REUSE, [("old[n++] = taken(0);", "old[n++] = taken(pieces - 1);")]),
    Edit("reuse: forgotten, and not freed", REUSE, [("        unmap(old[n].data, old[n].bytes);\n", "        ;\n")]),
    Edit("reuse: not marked as free", REUSE, [("if (madvise(data, bytes, MADV_FREE) != 0) {", "if (0) {")]),
    Edit("reuse: grown in place", REUSE, [("if (bytes <= before && bytes >= before / 2)", "if (1)")]),
    Edit("reuse: grown, and forgotten", REUSE, [("memcpy(other, data, bytes < before ? bytes : before);", "")]),
    Edit(
        "reuse: everybody at once",
        REUSE,
        [("return !atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire);", "return 1;")],
    ),
    Edit("reuse: written by others, and not yet seen", REUSE, [("memory_order_release", "memory_order_relaxed")]),
    Edit("reuse: a fork does not wait", REUSE, [("    prepare_for_forks();\n", "    if (0) prepare_for_forks();\n")]),
    Edit("reuse: the list is a child's for good", REUSE, [("before_fork, leave, leave", "before_fork, leave, NULL")]),
    Edit(
        "reuse: small ones too",
        MEMORY,
        [("not fq_keeps(<size_t> nbytes)", "not fq_keeps(1 << 25)"), ("count * WIDEST < reuse_from", "False")],
    ),
    Edit(
        "reuse: whoever else has a handler",
        MEMORY,
        [("return <PyObject *> handler == PyDataMem_DefaultHandler", "return True")],
    ),
    Edit("reuse: the handler stays", MEMORY, [("        PyDataMem_SetHandler(before)\n", "        pass\n", 2)]),
    Edit("reuse: keeps without limit", MEMORY, [("min(_MOST, _allowed() // _SHARE)", "_MOST")]),
    # ---- a second pass ----
    Edit(
        "backwards: the first piece is left out",
        SPLIT,
        [("r.last = parts - 1 if backwards", "r.last = parts - 2 if backwards")],
    ),
    Edit(
        "backwards: only whole pieces",
        SPLIT,
        [("parts = (t.n + r.step - 1) // r.step\n    r.last", "parts = t.n // r.step\n    r.last")],
    ),
]
