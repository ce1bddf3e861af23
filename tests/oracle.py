"""c/oracle.c, compiled and wrapped: what fastquant's formulas give, by integer arithmetic that shares nothing with the
kernels, the reference or ml_dtypes.

Codes and reals come out as their bits, unsigned integers of as many bytes.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
from c_flags import ARITHMETIC

SOURCE = Path(__file__).resolve().parent / "c" / "oracle.c"
# None of these lets a compiler change what floating-point operations give.
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", *ARITHMETIC, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
BYTES = {"float64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2}


def compiler() -> str | None:
    """The compiler that this Python was made with, or cc."""
    if os.name == "nt":
        return None
    return shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")


def unsigned(name: str) -> np.dtype:
    """The type of the bits of a real or code type."""
    return np.dtype(f"u{BYTES.get(name, 1)}")


def compile_oracle(directory: Path, source: Path = SOURCE) -> Path:
    """The shared library, made in this directory."""
    cc, library = compiler(), directory / "oracle.so"
    assert cc is not None, "no C compiler"
    subprocess.run([cc, *FLAGS, str(source), "-o", str(library)], check=True)
    return library


class Oracle:
    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        number, array, n = ctypes.c_int, ctypes.c_void_p, ctypes.c_ssize_t
        self._c.oracle_quantize.argtypes = [number, array, n, ctypes.c_float, ctypes.c_int32, number, number, array]
        self._c.oracle_dequantize.argtypes = [number, array, n, ctypes.c_double, ctypes.c_int32, number, array]
        self._c.oracle_pack.argtypes = [number, array, n, array]
        for function in (self._c.oracle_quantize, self._c.oracle_dequantize, self._c.oracle_pack):
            function.restype = None

    @functools.cache  # noqa: B019 there is one oracle
    def _format(self, name: str) -> int:
        found: int = self._c.oracle_format(name.encode())
        assert found >= 0, name
        return found

    def quantize(
        self, x: np.ndarray, scale: float, zero_point: int, code: str, real: str, saturate: bool = True
    ) -> np.ndarray:
        """Codes of reals: of a contiguous array of them, or of their bits."""
        assert x.flags.c_contiguous
        assert x.itemsize == unsigned(real).itemsize
        q = np.empty(x.shape, unsigned(code))
        numbers = self._format(real), self._format(code)
        self._c.oracle_quantize(
            numbers[0], x.ctypes.data, x.size, scale, zero_point, numbers[1], saturate, q.ctypes.data
        )
        return q

    def dequantize(self, q: np.ndarray, scale: float, zero_point: int, code: str, real: str) -> np.ndarray:
        """Reals of codes: of a contiguous array of them, or of their bits."""
        assert q.flags.c_contiguous
        assert q.itemsize == unsigned(code).itemsize
        x = np.empty(q.shape, unsigned(real))
        numbers = self._format(code), self._format(real)
        self._c.oracle_dequantize(numbers[0], q.ctypes.data, q.size, scale, zero_point, numbers[1], x.ctypes.data)
        return x

    @functools.lru_cache(maxsize=4)  # noqa: B019 as above
    def values(self, scale: float, zero_point: int, code: str, real: str) -> np.ndarray:
        """What each code stands for."""
        bits = unsigned(code)
        return self.dequantize(np.arange(1 << 8 * bits.itemsize).astype(bits), scale, zero_point, code, real)

    def pack(self, q: np.ndarray, code: str, each: int) -> np.ndarray:
        """Bytes of `each` codes."""
        assert q.flags.c_contiguous
        assert q.dtype == np.uint8
        packed = np.empty(-(-q.size // each), np.uint8)
        self._c.oracle_pack(self._format(code), q.ctypes.data, q.size, packed.ctypes.data)
        return packed
