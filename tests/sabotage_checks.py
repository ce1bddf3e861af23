"""Edits of sabotage.py: checks in Python, and the ONNX operators."""

from __future__ import annotations

from sabotage_files import API, ARGUMENTS, CPU, GRANULAR, GRID, ONNX, OUTPUT, RANGES, Edit

EDITS = [
    # ---- checks in Python ----
    Edit(
        "overlap not seen on the general path",
        OUTPUT,
        [("return np.shares_memory(a, b, max_work=10_000)", "return False")],
    ),
    Edit(
        "overlap too hard to tell is none",
        OUTPUT,
        [
            (
                "except np.exceptions.TooHardError:\n        return True",
                "except np.exceptions.TooHardError:\n        return False",
            )
        ],
    ),
    Edit("in place whatever the strides", OUTPUT, [(" and out.strides == like.strides", "")]),
    Edit(
        "parameters overwritten",
        OUTPUT,
        [("parameter is not None and np.may_share_memory(parameter, self.array)", "False")],
    ),
    Edit("out: elements that share memory", OUTPUT, [("    if _meets_itself(out):\n", "    if False:\n")]),
    Edit("out: perhaps sharing memory", OUTPUT, [("scattered or _meets_itself(out) is None or", "scattered or")]),
    Edit("out: steps of one sign", OUTPUT, [("0 if same else -most", "0")]),
    Edit("out: elements that meet in part", OUTPUT, [("near = reach[k + 1] + a.itemsize - 1", "near = reach[k + 1]")]),
    Edit(
        "out: elements that share memory, in C", GRANULAR, [(" or not has_own_places(<cnp.ndarray> out):", ":")]
    ),
    Edit("out: steps of the shorter axes", GRANULAR, [("        reach += shortest * (length - 1)\n", "")]),
    Edit("result not copied to out", OUTPUT, [("np.copyto(self.out, self.array)", "pass")]),
    Edit("packed out of any stride", OUTPUT, [("scattered = packed and", "scattered = False and")]),
    Edit("shape of out not checked in Python", OUTPUT, [("if out.shape != shape:", "if False:")]),
    Edit("type of out not checked", OUTPUT, [('if out.dtype.newbyteorder("=") != dtype:', "if False:")]),
    Edit("zero points not checked above", ARGUMENTS, [("(a < -(2**31)) | (a > 2**31 - 1)", "a < -(2**31)")]),
    Edit("scales not checked in Python", ARGUMENTS, [("if wrong >= 0:", "if False:")]),
    Edit("infinite offset", ARGUMENTS, [("wrong = ~np.isfinite(rounded)", "wrong = np.isnan(rounded)")]),
    Edit("offset beside a zero point", ARGUMENTS, [("if zero_points.any():", "if False:")]),
    Edit(
        "shapes of parameters not checked",
        ARGUMENTS,
        [("if a.ndim and a.shape != (grid.shape if grid.axes else (1,)):", "if a.size not in (1, grid.size):")],
    ),
    Edit("float codes with zero points", ARGUMENTS, [("if codes.is_float and z.any():", "if False:")]),
    Edit(
        "float zero points for integers",
        ARGUMENTS,
        [("            if not codes.is_float:\n", "            if False:\n")],
    ),
    Edit("any type packs", ARGUMENTS, [("if codes.packs == 1:", "if False:", 2)]),
    Edit("numbers pack", ARGUMENTS, [("    if not shape:\n", "    if False:\n")]),
    Edit(
        "packed bytes without an axis",
        ARGUMENTS,
        [("    if a.ndim == 0:\n", "    if False:\n")],
    ),
    Edit("packed bytes of any stride", ARGUMENTS, [("a.shape[-1] <= 1 or a.strides[-1] == 1", "True")]),
    Edit(
        "packed: no room for the last codes", ARGUMENTS, [("-(-shape[-1] // codes.packs)", "shape[-1] // codes.packs")]
    ),
    Edit(
        "flags by their truth in Python",
        ARGUMENTS,
        [
            (
                "if isinstance(value, (bool, np.bool_)):\n        return bool(value)\n    raise",
                "return bool(value)\n    raise",
            )
        ],
    ),
    Edit("axis out of range", GRID, [("if not -len(shape) <= a < len(shape):", "if False:")]),
    Edit("axis twice", GRID, [("if len(set(axes)) < len(axes):", "if False:")]),
    Edit("axis True", GRID, [("if isinstance(value, bool):", "if False:")]),
    Edit(
        "axes in the order of the array",
        GRID,
        [
            (
                "lengths = tuple(shape[a] for a in axes)",
                "axes = tuple(sorted(axes))\n        lengths = tuple(shape[a] for a in axes)",
            )
        ],
    ),
    Edit("block of nothing", GRID, [("if block <= 0:", "if block < 0:")]),
    Edit("blocks along two axes", GRID, [("if len(axes) > 1:", "if False:")]),
    Edit("blocks along the first axis", GRID, [("axes[0] if axes else len(shape) - 1", "axes[0] if axes else 0")]),
    Edit("blocks: none for the rest", GRID, [("-(-shape[cut] // block)", "max(1, shape[cut] // block)")]),
    Edit(
        "integers that do not saturate",
        ARGUMENTS,
        [
            (
                '    if not codes.is_float:\n        raise ValueError(f"saturate',
                '    if False:\n        raise ValueError(f"saturate',
            )
        ],
    ),
    Edit("packed: length of out ignored", API, [("and packed_shape(out.shape, codes) == a.shape:", "and False:")]),
    Edit(
        "unpack: any shape",
        API,
        [("if not wanted or min(wanted) < 0 or packed_shape(wanted, codes) != a.shape:", "if not wanted:")],
    ),
    Edit(
        "unpack: types that do not pack",
        API,
        [
            (
                '    if codes.packs == 1:\n        raise ValueError(f"dtype',
                '    if False:\n        raise ValueError(f"dtype',
            )
        ],
    ),
    Edit(
        "pack: types that do not pack",
        API,
        [('    if codes.packs == 1:\n        raise TypeError(f"q', '    if False:\n        raise TypeError(f"q')],
    ),
    Edit("requantize: new scale by another name", API, [('single, grid, "new_scale")', "single, grid)")]),
    Edit(
        "requantize: zero points the wrong way round",
        API,
        [
            (
                'read_zero_point(new_zero_point, grid, codes, "new_zero_point", offsets=False)',
                'read_zero_point(zero_point, grid, codes, "new_zero_point", offsets=False)',
            )
        ],
    ),
    Edit("half-written out", API, [("if out is None and a.size else None", "if a.size else None")]),
    Edit("narrow_range ignored for arrays", RANGES, [("codes.lowest + narrow_range", "codes.lowest")]),
    Edit("bounds in the wrong order", RANGES, [("if (a > b).any():", "if False:")]),
    Edit("a range of nothing", RANGES, [("if a.size == 0 and grid.size > 0:", "if a.size == 0:")]),
    Edit("asymmetric float codes", RANGES, [("if codes.is_float and not symmetric:", "if False:")]),
    Edit("narrow range of float codes", RANGES, [("if codes.is_float and narrow_range:", "if False:")]),
    Edit("target not restored", CPU, [("_kernels.activate(before)", "pass")]),
    # ---- the ONNX operators ----
    Edit("onnx: saturate=0 of integers", ONNX, [(" or codes not in _FLOAT8", "")]),
    Edit("onnx: int32 scales in float32", ONNX, [('{"int32": "float64",', '{"int32": "float32",')]),
    Edit("onnx: int32 rounded twice", ONNX, [("wide - low + 128 * (low > 0)", "wide")]),
    Edit("onnx: int8 by default", ONNX, [('return given or "uint8"', 'return given or "int8"')]),
    Edit("onnx: output_dtype beside a zero point", ONNX, [("if given and given != own:", "if False:")]),
    Edit("onnx: shapes that differ", ONNX, [("if zero is not None and zero.shape != scale.shape:", "if False:")]),
    Edit("onnx: block_size of any length", ONNX, [("if scale.shape != wanted:", "if False:")]),
    Edit("onnx: negative block_size", ONNX, [("if block < 0:", "if False:")]),
    Edit("onnx: x not rounded to precision", ONNX, [("return a, narrow, kind", "return a, narrow, None")]),
    Edit("onnx: scale not rounded to precision", ONNX, [("narrow = _rounded(scale, kind)", "narrow = scale")]),
    Edit("onnx: dynamic range without zero", ONNX, [("np.minimum(lo, zero), np.maximum(hi, zero)", "lo, hi")]),
    Edit(
        "onnx: dynamic scale in float64",
        ONNX,
        [("(hi - lo) / np.float32(255)", "np.float32((np.float64(hi) - lo) / 255)")],
    ),
    Edit("onnx: dynamic zero point truncated", ONNX, [("level = np.rint(", "level = np.floor(")]),
    Edit("onnx: a range of zero", ONNX, [("if hi > lo else np.float32(1)", "if True else np.float32(1)")]),
    Edit("onnx: zero points of floats", ONNX, [("if values.any():", "if False:")]),
    Edit("onnx: saturate 2", ONNX, [("if number not in (0, 1):", "if False:")]),
    Edit("onnx: fastquant's names in errors", ONNX, [("if argument in self._names:", "if False:")]),
]
