"""Where Linux tells what the control groups of this process may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = "/proc/self/cgroup"


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def folders(controller: str, group: str = OWN, root: Path = ROOT) -> Iterator[tuple[bool, Path]]:
    """Folders of the groups that limit a controller, and whether they are of version 1. A group is limited by those
    that it is in, too."""
    for line in text_of(Path(group)).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        own = base / path.lstrip("/")
        for folder in (own, *(p for p in own.parents if p == base or base in p.parents), base):
            yield bool(controllers), folder
