"""The software bill of materials of a wheel (PEP 770): CycloneDX, written as the wheel's metadata is.

Whatever else becomes part of the binary belongs in `components`. What is only needed to run the package is in METADATA.
The same sources and tools give the same bytes: there is no time and no serial number in it.
"""

import json
import platform
from pathlib import Path
from typing import Any

import numpy
from Cython import __version__ as cython_version
from setuptools import __version__ as setuptools_version
from setuptools.command import bdist_wheel as setuptools_wheel

SPECIFICATION = "1.6"


def component(name: str, version: str, licence: str, description: str, **more: str) -> dict[str, Any]:
    """Packages of the Python Package Index, unless `more` has a purl or says that there is none."""
    purl = more.pop("purl", f"pkg:pypi/{name}@{version}")
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "description": description,
        "licenses": [{"license": {"id": licence}}],
        "purl": purl,
        **more,
    }


def document(name: str, version: str, licence: str, description: str) -> dict[str, Any]:
    package = component(name, version, licence, description)
    python = platform.python_version()
    cpython = f"pkg:generic/cpython@{python}"
    parts = [
        component("cython", cython_version, "Apache-2.0", "Its utility code is in the C that it made of the .pyx."),
        component("numpy", numpy.__version__, "BSD-3-Clause", "Inline functions of its C headers. No library of it."),
        component("cpython", python, "PSF-2.0", "Inline functions of its C headers. No library of it.", purl=cpython),
    ]
    # What compilers link into every module by themselves: which, and of what version, cannot be asked portably.
    runtime = "Start-up code and helpers that C compilers link into any module; the binary may name its compiler."
    parts.append({"type": "library", "bom-ref": "compiler-runtime", "name": "compiler-runtime", "description": runtime})
    linked = [part["bom-ref"] for part in parts]
    tool = "Made the wheel. Nothing of it is in there."
    parts.append(component("setuptools", setuptools_version, "MIT", tool, scope="excluded"))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {"lifecycles": [{"phase": "build"}], "component": package},
        "components": parts,
        "dependencies": [{"ref": package["bom-ref"], "dependsOn": linked}],
    }


class bdist_wheel(setuptools_wheel.bdist_wheel):
    """Writes the file with the rest of .dist-info, for wheels, editable installs and metadata alike."""

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        metadata = self.distribution.metadata
        name, version = metadata.get_name(), metadata.get_version()
        written = document(name, version, metadata.license_expression, metadata.get_description())
        folder = Path(distinfo_path, "sboms")
        folder.mkdir()
        text = json.dumps(written, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.cdx.json").write_bytes(text.encode())
