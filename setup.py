"""The extension module: its sources and flags. Everything else is in pyproject.toml."""

import os
import platform
import struct
import sys

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# Contraction would fuse q * scale + offset into one rounding, and on some machines only. Nothing here reads the
# exception flags or errno, and saying so lets compilers turn comparisons into vector minima.
if sys.platform == "win32":
    flags = ["/O2", "/std:c11", "/fp:precise"]
else:
    flags = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-fvisibility=hidden"]
    flags += ["-pthread"]
    # 32-bit x86: by default compilers compute in registers of 80 bits there, and so round twice. (A 64-bit kernel that
    # runs it gives the machine its own name.)
    if struct.calcsize("P") == 4 and platform.machine() in ("i386", "i486", "i586", "i686", "x86_64"):
        flags += ["-msse2", "-mfpmath=sse"]
    # Python's own flags may ask for debug information, which doubles the time to compile; CFLAGS=-g brings it back.
    if not any(flag.startswith("-g") for flag in os.environ.get("CFLAGS", "").split()):
        flags.append("-g0")
    # Behind all others, so that it wins: for the builds of tests/builds.py.
    flags += os.environ.get("FASTQUANT_CFLAGS", "").split()

c_sources = (
    *("bare", "dispatch", "floats", "native", "numerics", "reuse", "threads"),
    *("target_avx2", "target_avx512", "target_neon"),
)

kernels = Extension(
    "fastquant._kernels",
    sources=["fastquant/_kernels.pyx", *(f"fastquant/src/{name}.c" for name in c_sources)],
    include_dirs=[numpy.get_include(), "fastquant"],
    depends=[os.path.join("fastquant/src", name) for name in sorted(os.listdir("fastquant/src"))],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION")],
    libraries=[] if sys.platform == "win32" else ["m"],
    extra_compile_args=flags,
    extra_link_args=[] if sys.platform == "win32" else ["-pthread"],
)

setup(ext_modules=cythonize([kernels], language_level=3))
