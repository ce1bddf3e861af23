"""What C that tests compile themselves needs, here, to have the arithmetic of IEEE 754: as setup.py has it."""

from __future__ import annotations

import platform
import struct

# 32-bit x86 on its own, or as a 64-bit kernel runs it.
X87 = struct.calcsize("P") == 4 and platform.machine() in ("i386", "i486", "i586", "i686", "x86_64")
ARITHMETIC = ["-msse2", "-mfpmath=sse"] if X87 else []
