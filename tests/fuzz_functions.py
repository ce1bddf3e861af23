"""Bytes as a call of a public function: its arguments, what the reference makes of them, and which are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_arguments import T, V
from fuzz_calls import Call, size_of
from fuzz_onnx import OPERATORS, Operators
from matrix import CODES, PACKED, dtype_of, number_per_byte, packed_shape
from placement import Kept, place, plain
from values import REAL_TYPES

import fastquant as fq
from fastquant import _reference, _rules

INTEGERS = tuple(code for code in CODES if not code.startswith("float"))
RULES = tuple(_reference.RULES)
FUNCTIONS = (
    "quantize", "dequantize", "fake_quantize", "quantize_dynamic", "requantize", "minmax", "qparams", "pack", "unpack",
    "Quantizer", "Dequantizer", "rule", "rule back", *OPERATORS,
)  # fmt: skip


class Decoder(Operators):
    def call(self) -> Call:
        b = self.bytes
        function = b.pick(FUNCTIONS)
        call = Call(function)
        call.wrong = self.wrong
        call.threads, call.streaming = b.pick((1, 1, 1, 2, 5)), b.byte() % 4 == 3
        self.code, self.real = b.pick(CODES), b.pick(REAL_TYPES)
        make = {"Quantizer": "quantize", "Dequantizer": "dequantize", "rule": "by_rule", "rule back": "back_by_rule"}
        getattr(self, f"make_{make.get(function, function)}")(call)
        if function in ("Quantizer", "Dequantizer"):  # which compare parameters with each other before there is an x
            parameters = ("scale", "zero_point", "offset")
            if any(V in self.wrong.get(name, ()) for name in parameters):
                for name in parameters:
                    self.blame(name, V)
        call.traits = [(function, "code", self.code), (function, "real", self.real)]
        # How arguments lie is read by the same code for all functions.
        each = ("granularity", "out", "shape")
        call.traits += [(function, *trait) if trait[0] in each else trait for trait in self.traits]
        return call

    # ---- the functions ----

    def make_quantize(self, call: Call) -> None:
        b, fixed = self.bytes, call.function == "Quantizer"
        shape = self.shape()
        form = self.form_of_x(shape)
        given = self.affine(call, shape, self.real, self.code)
        omitted = b.byte() % 4 == 3
        x, a = self.x(call, shape, form, size_of(given["scale"]))
        call.arguments.insert(0, x)
        packed = False
        if b.byte() % 3 == 1:
            packed = b.byte() % 8 != 7 or self.bad("packed", (1, T), (None, T), ("int4", T), (0, T))
            call.options["packed"] = packed
        if omitted and not packed:
            named = self.own_type()
            self.out(call, x, shape, named or ("int8" if fixed else self.code), call.arguments[1])
            tells = "out" in call.options and "out" not in self.wrong and not fixed
            self.code = named or (self.code if tells else "int8")
        else:
            self.type_name(self.code, call.options, None, CODES)
            if packed is True and (self.code not in PACKED or (shape == () and not fixed)):
                self.blame("packed", V)
            packs = packed is True and "packed" not in self.wrong and shape != ()
            made = (packed_shape(shape, self.code), "uint8") if packs else (shape, self.code)
            self.out(call, x, *made, call.arguments[1])
            if packed is True and shape == ():
                self.blame("packed", V)
        saturate = self.saturate(call)
        self.check_zero_point("zero_point", given["zero_point"], self.code)
        self.check_offset(call, given)
        call.expected = lambda: _reference.quantize(
            a, **given, dtype=self.code, packed=packed is True, saturate=bool(saturate)
        )
        if fixed:
            options, out = {n: v for n, v in call.options.items() if n != "out"}, call.options.get("out")
            call.made = lambda: fq.Quantizer(*call.arguments[1:], **options)(call.arguments[0], out)

    def saturate(self, call: Call) -> Any:
        if self.bytes.byte() % 3 != 1:
            return True
        saturate = self.flag("saturate", False)
        call.options["saturate"] = saturate
        if isinstance(saturate, (bool, np.bool_)) and not saturate and not self.code.startswith("float"):
            self.blame("saturate", V)
        return saturate

    def check_offset(self, call: Call, given: dict[str, Any]) -> None:
        """After the zero point has changed: the two do not go together."""
        if "offset" in call.options and given["zero_point"].astype(np.float64).any():
            self.blame("offset", V)

    def make_dequantize(self, call: Call) -> None:
        b, fixed = self.bytes, call.function == "Dequantizer"
        shape = self.shape()
        packed: Any = None
        if b.byte() % 3 == 1 and shape and max(shape) < 1 << 20:
            self.code = b.pick(PACKED)
            per = number_per_byte(self.code)
            shape = shape if b.byte() % 2 and not fixed else (*shape[:-1], -(-shape[-1] // per) * per)
            packed = b.pick((self.code, dtype_of(self.code), self.code))
        elif b.byte() % 8 == 7:
            self.code = "int32"
        self.real = "float64" if b.byte() % 8 == 7 else self.real
        given = self.affine(call, shape, "float64" if self.real == "float64" else "float32", self.code)
        q, a = self.q(shape if packed is None else packed_shape(shape, self.code), "uint8" if packed else self.code)
        call.arguments.insert(0, q)
        if packed is not None:
            bad = ((True, T), ("int8", V), (4, T), ("float8_e5m2", V), (np.float32, V))
            call.options["packed"] = self.bad("packed", *bad) if b.seldom() else packed
        self.type_name(self.real, call.options, "float32", REAL_TYPES)
        self.out(call, q, shape, self.real, call.arguments[1])
        full = packed is None or shape[-1] % number_per_byte(self.code) == 0
        if not full and ("out" not in call.options or "out" in self.wrong):
            # Only out tells that the last byte is not full.
            out, memory = place("plain", shape, dtype_of(self.real), self.rng)
            call.options["out"], call.kept = out, Kept(memory, out)
            self.wrong.pop("out", None)
        self.check_zero_point("zero_point", given["zero_point"], self.code)
        self.check_offset(call, given)
        whole = {"packed": self.code, "shape": shape} if packed is not None else {}
        call.expected = lambda: _reference.dequantize(a, **given, dtype=self.real, **whole)
        call.source = ()
        if fixed:
            options, out = {n: v for n, v in call.options.items() if n != "out"}, call.options.get("out")
            call.made = lambda: fq.Dequantizer(*call.arguments[1:], **options)(call.arguments[0], out)

    def make_fake_quantize(self, call: Call) -> None:
        shape = self.shape()
        form = self.form_of_x(shape)
        given = self.affine(call, shape, self.real, self.code)
        x, a = self.x(call, shape, form, size_of(given["scale"]))
        call.arguments.insert(0, x)
        self.type_name(self.code, call.options, "int8", CODES)
        saturate = self.saturate(call)
        self.out(call, x, shape, self.real, call.arguments[1])
        self.check_zero_point("zero_point", given["zero_point"], self.code)
        self.check_offset(call, given)
        own = self.own_type()
        if own is not None and own != self.code and "zero_point" in call.options:
            self.blame("zero_point", V)
        call.expected = lambda: _reference.fake_quantize(a, **given, dtype=self.code, saturate=bool(saturate))

    def make_quantize_dynamic(self, call: Call) -> None:
        b = self.bytes
        shape = self.shape(endless=False)
        self.granularity(shape, call.options)
        x, a = self.x(call, shape, self.form_of_x(shape), 1.0)
        call.arguments = [x]
        flags = self.range_flags(call, ("symmetric", "narrow_range"))
        self.type_name(self.code, call.options, "int8", CODES)
        packed: Any = False
        if b.byte() % 3 == 1:
            packed = call.options["packed"] = b.byte() % 8 != 7 or self.bad("packed", (1, T), (None, T), ("int4", T))
            if packed is True and (self.code not in PACKED or shape == ()):
                self.blame("packed", V)
        packs = packed is True and "packed" not in self.wrong
        self.out(call, x, *((packed_shape(shape, self.code), "uint8") if packs else (shape, self.code)))
        where = self.where(call)
        call.expected = lambda: _reference.quantize_dynamic(a, self.code, packed=packed is True, **flags, **where)

    def range_flags(self, call: Call, names: tuple[str, ...]) -> dict[str, Any]:
        flags = {}
        for name in names:
            if self.bytes.byte() % 3:
                flags[name] = call.options[name] = self.flag(name, name != "narrow_range")
                goes = name in self.wrong or name == "include_zero" or bool(flags[name]) == (name == "symmetric")
                if self.code.startswith("float") and not goes:
                    self.blame(name, V)
        return flags

    def make_minmax(self, call: Call) -> None:
        shape = self.shape(endless=False)
        self.granularity(shape, call.options)
        x, a = self.x(call, shape, self.form_of_x(shape), 1.0)
        call.arguments = [x]
        where = self.where(call)
        call.expected = lambda: _reference.minmax(a, **where)

    def make_qparams(self, call: Call) -> None:
        b = self.bytes
        shape = self.shape()
        shape = () if max(shape, default=0) > 1 << 20 or b.byte() % 2 else shape
        values = (0.0, -1.0, 1.0, -10.0, 1e-45, 1e38, 3e38, 1e300, 1e-300, 1e15, 1 + 2.0**-20, np.nan, np.inf, -0.0)
        ends = []
        for name in ("lo", "hi"):
            if b.seldom():
                self.blame(name, T)
                ends.append((b.pick(("1", None, 1j, True, {}, [None], np.array("2020", "M8[s]"))), np.zeros(())))
                continue
            end = b.pick(values) * b.pick((1, 1, -1)) + self.rng.integers(0, 3, shape)
            other = shape if not b.seldom() else b.pick(((*shape, 1), (2,)))
            ends.append(
                self.formed(np.resize(end, other), name, ("float64", "float32", "float16", "bfloat16", "int64"))
            )
        call.arguments = [ends[0][0], ends[1][0]]
        lo, hi = (a.astype(np.float64) for _, a in ends)
        for name, a in (("lo", lo), ("hi", hi)):
            if not np.isfinite(a).all():
                self.blame(name, V)
        if lo.shape != hi.shape:
            self.blame("hi", V)
        elif lo.shape == hi.shape and (lo > hi).any():
            self.blame("lo", V)
        flags = self.range_flags(call, ("symmetric", "narrow_range", "include_zero"))
        self.type_name(self.code, call.options, "int8", CODES)
        call.source = ("lo, hi",)
        call.expected = lambda: _reference.qparams(lo, hi, self.code, **flags)

    def make_requantize(self, call: Call) -> None:
        b = self.bytes
        shape = self.shape()
        old = b.pick((*CODES, "int32", "int32"))
        grid = self.granularity(shape, call.options, blocks=False)
        where = {"axis": self.where(call).get("axis")}
        has_axes = grid is not None and where["axis"] not in (None, ())
        pairs: list[Any] = []
        for prefix, code in (("", old), ("new_", self.code)):
            scale = self.scale(f"{prefix}scale", grid, has_axes, "float32")
            zero = self.zero_point(f"{prefix}zero_point", grid, has_axes, code)
            self.check_zero_point(f"{prefix}zero_point", zero[1], code)
            pairs += [scale, zero]
        q, a = self.q(shape, old)
        call.arguments = [q, *(given for given, _ in pairs)]
        self.type_name(self.code, call.options, "int8", CODES)
        self.out(call, q, shape, self.code, call.arguments[1])
        plain_pairs = [array for _, array in pairs]
        call.source = ()
        call.expected = lambda: _reference.requantize(a, *plain_pairs, dtype=self.code, **where)

    def make_pack(self, call: Call) -> None:
        self.code = self.bytes.pick(PACKED)
        shape = self.shape()
        q, a = self.q(shape, self.code)
        if shape == ():
            self.blame("q", V)
        call.arguments, call.source = [q], ()
        call.expected = lambda: _reference.pack(a)

    def make_unpack(self, call: Call) -> None:
        b = self.bytes
        self.code = b.pick(PACKED)
        shape = self.shape(1)
        p, a = self.q(packed_shape(shape, self.code), "uint8")
        if "q" in self.wrong:
            self.wrong["p"] = self.wrong.pop("q")
        wanted: Any = (
            shape[0]
            if len(shape) == 1 and b.byte() % 2
            else tuple(map(np.int64, shape))
            if b.byte() % 4 == 1
            else shape
        )
        if b.seldom():
            bad = (
                ((*shape, 1), V),
                ((), V),
                ((-1, *shape[1:]), V),
                (None, T),
                ("2", T),
                ((2.0,), T),
                (2.0, T),
                ((None,), T),
            )
            wanted = self.bad("shape", *bad)
        options: dict[str, Any] = {}
        self.type_name(self.code, options, None, PACKED)
        call.arguments, call.source = [p, options["dtype"], wanted], ()
        call.expected = lambda: _reference.unpack(a, self.code, shape)

    # ---- rules of other libraries, whose arguments compat has read: never wrong ----

    def make_by_rule(self, call: Call) -> None:
        b = self.bytes
        precisions = (None, "float64") if self.real == "float64" else (None, "float64", "float16", "bfloat16")
        rule, precision = b.pick(RULES), b.pick(precisions)
        self.code = b.pick(INTEGERS)
        limits = b.pick((None, (0, 1), (-1, 1), (0, 3))) if self.code in ("int8", "int16", "int4") else None
        shape = self.shape()
        given = self.affine(call, shape, "float64" if precision == "float64" else self.real, self.code, beside=True)
        x = self.laid(self.reals(shape, self.real, size_of(given["scale"])), "x layout")
        call.arguments.insert(0, x)
        self.out(call, x, shape, self.code, call.arguments[1])
        self.check_zero_point("zero_point", given["zero_point"], self.code)
        a = plain(x).view(np.ndarray)
        rest = {"rule": rule, "dtype": self.code, "limits": limits, "precision": precision}
        call.expected = lambda: _reference.quantize(a, **given, **rest)
        call.made = lambda: _rules.quantize(*call.arguments, **call.options, **rest)
        call.traits.append(("rule", rule, precision))

    def make_back_by_rule(self, call: Call) -> None:
        b = self.bytes
        rule = b.pick(("divide", "multiply"))
        self.code = b.pick(INTEGERS)
        precision, self.real = b.pick(
            ((None, "float32"), ("float64", "float64"), ("float64", "float32"), (None, "float64"))
        )
        if precision == "float64":
            self.real = b.pick(("float32", "float64"))
        shape = self.shape()
        real = "float64" if "float64" in (precision, self.real) else "float32"
        given = self.affine(call, shape, real, self.code, beside=True)
        q = self.laid(self.codes(shape, self.code), "q layout")
        call.arguments.insert(0, q)
        self.out(call, q, shape, self.real, call.arguments[1])
        self.check_zero_point("zero_point", given["zero_point"], self.code)
        a = plain(q).view(np.ndarray)
        rest = {"rule": rule, "dtype": self.real, "precision": precision}
        call.expected = lambda: _reference.dequantize(a, **given, **rest)
        call.made = lambda: _rules.dequantize(*call.arguments, **call.options, **rest)
        call.source = ()
