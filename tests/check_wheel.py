"""python tests/check_wheel.py WHEEL...: RECORD agrees with every file, and the bill of materials with the metadata."""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import json
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path


def problems(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        files = {name: archive.read(name) for name in names if not name.endswith("/")}
    found = [f"{name}: twice" for name in sorted(set(names)) if names.count(name) > 1]
    folder = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    record = f"{folder}/RECORD"
    metadata = message_from_bytes(files[f"{folder}/METADATA"])

    recorded = {row[0]: row[1:] for row in csv.reader(files[record].decode().splitlines())}
    found += [f"{name}: in one of archive and RECORD" for name in sorted(recorded.keys() ^ files.keys())]
    for name in sorted(recorded.keys() & files.keys() - {record}):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        if recorded[name] != [f"sha256={digest}", str(len(files[name]))]:
            found.append(f"{name}: not what RECORD says")

    sbom = f"{folder}/sboms/{metadata['Name']}.cdx.json"
    if sbom not in files:
        return [*found, f"{sbom}: missing"]
    bom = json.loads(files[sbom])
    package = bom["metadata"]["component"]
    if (bom["bomFormat"], bom["specVersion"]) != ("CycloneDX", "1.6"):
        found.append(f"{sbom}: not CycloneDX 1.6")
    if (package["name"], package["version"]) != (metadata["Name"], metadata["Version"]):
        found.append(f"{sbom}: of another package or version")
    if package["licenses"] != [{"license": {"id": metadata["License-Expression"]}}]:
        found.append(f"{sbom}: another license")
    compiled_in = {part["name"] for part in bom["components"] if part.get("scope") != "excluded"}
    if not compiled_in >= {"cython", "numpy", "cpython", "compiler-runtime"}:
        found.append(f"{sbom}: lists only {sorted(compiled_in)}")
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", nargs="+", type=Path, metavar="WHEEL")
    bad = 0
    for wheel in parser.parse_args(argv).wheels:
        found = problems(wheel)
        bad += bool(found)
        print(wheel, *(found or ["RECORD and bill of materials agree"]), sep="\n    ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
