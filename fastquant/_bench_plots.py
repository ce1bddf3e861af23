"""Figures as pictures: speed against the size of arrays, peers' times against fastquant's, and what calls cost.

Text stays text, and nothing depends on the time or on chance: the same figures give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from fastquant._bench_own import BARE, FASTQUANT, REFERENCE
from fastquant._bench_peers import PEERS
from fastquant._bench_selection import DRAWN
from fastquant._bench_tables import EVEN
from fastquant._report import UserError

Report = dict[str, Any]

_BLUE, _RED, _GREY = "#0b5cad", "#c62828", "#777777"
# Colours that can be told apart, and a mark for each since ten colours are not enough for everybody.
_COLOURS = ("#777777", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#a6761d", "#cc79a7", "#7b3fa0")
_MARKS = "os^Dv<>PX*hpd"
# Without the reference: it is there to be right, not fast.
_STYLES = {
    peer.name: {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKS[i % len(_MARKS)]}
    for i, peer in enumerate(PEERS)
    if peer is not REFERENCE
}
_SETTINGS: Any = {
    "svg.hashsalt": "fastquant",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "path.simplify": False,
}


# ---- what there is to draw ----


def _size_name(size: int) -> str:
    for power, unit in ((30, "Gi"), (20, "Mi"), (10, "Ki")):
        if size >= 1 << power and size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)


def _round_time(ns: float) -> str:
    """Of a power of ten."""
    unit, factor = next((u, f) for u, f in (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 0.0)) if ns >= f)
    return f"{ns / (factor or 1):g} {unit}"


def _row(record: dict[str, Any], peer: str, out: bool = True) -> dict[str, Any] | None:
    """A peer's call with out=, or the one that it has; and the other way round."""
    rows = [row for row in record["contenders"] if row["peer"] == peer]
    return next((row for row in rows if row["out"] is out), rows[0] if rows else None)


def _swept(report: Report) -> dict[str, list[dict[str, Any]]]:
    """The drawn kernels that were measured at several sizes, on one thread."""
    found = {}
    for name, code in DRAWN.items():
        mine = [r for r in report["cases"] if (r["kernel"], r["code"] or "", r["threads"]) == (name, code, 1)]
        if len(mine) > 2:
            found[name] = sorted(mine, key=lambda record: record["elements"])
    return found


def _against(report: Report) -> dict[int, list[dict[str, Any]]]:
    """Records with peers by size, in the order of the kernels; of many sizes a small, a middle and a large one, and the
    same kernels of each, where there are such."""
    sizes: dict[int, list[dict[str, Any]]] = {}
    for record in report["cases"]:
        ours = _row(record, FASTQUANT.name)
        if ours and len(ours["speed_over"]) > 1 and record["threads"] == 1:
            sizes.setdefault(record["elements"], []).append(record)
    usual = [size for size in (768, 1 << 16, 1 << 26) if size in sizes]
    chosen = usual if len(sizes) > 3 and usual else sorted(sizes)[:3]
    named = {size: {(r["kernel"], r["code"]): r for r in sizes[size]} for size in chosen}
    common = [key for key in named[chosen[0]] if all(key in found for found in named.values())] if chosen else []
    return {size: [found[key] for key in common or found] for size, found in named.items()}


def kinds(report: Report) -> list[str]:
    """The plots that there are figures for."""
    there = {"roofline": bool(_swept(report)), "peers": bool(_against(report)), "cost": bool(report.get("cost"))}
    return [kind for kind, is_there in there.items() if is_there]


# ---- the plots ----


def _cache_bytes(about: dict[str, Any]) -> dict[str, int]:
    found = {}
    for name, text in about["caches"].items():
        if match := re.fullmatch(r"(\d+)([KM])", text):
            found[name] = int(match[1]) << {"K": 10, "M": 20}[match[2]]
    return found


def _mark_caches(axes: Any, about: dict[str, Any], bytes_each: float, most: int) -> None:
    for name, size in _cache_bytes(about).items():
        if size / bytes_each < most:
            axes.axvline(size / bytes_each, color=_GREY, linewidth=0.8, linestyle=":")
            axes.text(
                size / bytes_each, 0.01, f" {name}", transform=axes.get_xaxis_transform(), color=_GREY, fontsize=7
            )


def _size_axis(axes: Any, sizes: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    ticks = [1 << power for power in range(0, 32, 4) if min(sizes) <= 1 << power <= max(sizes)]
    axes.set_xticks(ticks, [_size_name(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("elements")


def _roofline(figure: Any, report: Report) -> None:
    swept = _swept(report)
    panels = figure.subplots(2, 3, squeeze=False).flat
    legend: dict[str, Any] = {}
    for axes, (name, records) in zip(panels, swept.items(), strict=False):
        sizes = [record["elements"] for record in records]

        def line(peer: str, label: str, out: bool, axes: Any = axes, records: Any = records, **style: Any) -> None:
            points = [(r["elements"], r["bytes"] / row["ns_per_call"]) for r in records if (row := _row(r, peer, out))]
            if points:
                legend[label] = axes.plot(*zip(*points, strict=True), label=label, **style)[0]

        for peer, style in _STYLES.items():
            line(peer, peer, True, linewidth=0.9, markersize=3, **style)
        line(FASTQUANT.name, "fastquant, new output", False, color=_BLUE, linewidth=1.2, linestyle="--")
        line(FASTQUANT.name, "fastquant, out=", True, color=_BLUE, linewidth=2.4)
        line(BARE.name, "bare loop", True, color="black", linewidth=1, linestyle=(0, (1, 1)))
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(f"{name}, {DRAWN[name]}" if DRAWN[name] else name)
        axes.set_ylabel("GB/s")
        _size_axis(axes, sizes)
        _mark_caches(axes, report["machine"], records[-1]["bytes"] / records[-1]["elements"], max(sizes))
    panels = figure.axes
    for axes in panels[len(swept) :]:
        axes.axis("off")
    order = ("fastquant, out=", "fastquant, new output", "bare loop", *_STYLES)
    handles = {name: legend[name] for name in order if name in legend}
    panels[-1].legend(handles.values(), handles.keys(), loc="center left")


def _peers(figure: Any, report: Report) -> None:
    """A row for each call, a mark for each peer: how many times as long it takes. Left of 1 it is faster."""
    sizes = _against(report)
    drawn: dict[str, Any] = {}
    panels = figure.subplots(1, len(sizes), squeeze=False)[0]
    for axes, (size, records) in zip(panels, sizes.items(), strict=True):
        for at, record in enumerate(records):
            for name, ratio in _row(record, FASTQUANT.name)["speed_over"].items():  # type: ignore[index]
                if name not in _STYLES:
                    continue
                lost = ratio <= 1 / EVEN
                edge = {"markeredgecolor": _RED, "markeredgewidth": 1.6, "markersize": 8} if lost else {"markersize": 5}
                style = _STYLES[name] | {"linestyle": "none"}
                drawn.setdefault(name, axes.plot([], [], **style, markersize=5)[0])
                axes.plot([ratio], [at], **style, **edge)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        left = min(0.5, axes.get_xlim()[0])
        axes.axvspan(left, 1, color=_RED, alpha=0.07, linewidth=0)
        axes.axvline(1, color=_BLUE, linewidth=2)
        axes.set_xlim(left=left)
        axes.set_ylim(len(records) - 0.4, -0.6)
        names = [f"{record['kernel']} {record['code'] or ''}".strip() for record in records]
        shown = names if axes is panels[0] or len(names) != len(panels[0].get_yticks()) else [""] * len(names)
        axes.set_yticks(range(len(records)), shown, fontsize=8)
        axes.set_title(f"{_size_name(size)} elements")
        axes.set_xlabel("time / fastquant's; red: faster than fastquant")
    handles = {name: drawn[name] for name in _STYLES if name in drawn}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=7)


def _cost(figure: Any, report: Report) -> None:
    rows = report["cost"]
    sizes = sorted({row["elements"] for row in rows})
    total, each = figure.subplots(1, 2)
    for name in dict.fromkeys(row["function"] for row in rows):
        points = sorted((row["elements"], row["ns_per_call"]) for row in rows if row["function"] == name)
        elements, times = zip(*points, strict=True)
        total.plot(elements, times, label=name, marker=".")
        each.plot(elements, [t / n for n, t in points], label=name, marker=".")
    for axes, label in ((total, "a call"), (each, "ns an element")):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}" if axes is each else lambda ns, _: _round_time(ns))
        axes.set_ylabel(label)
        _size_axis(axes, sizes)
        _mark_caches(axes, report["machine"], 5, max(sizes))
    total.legend()


_DRAW: dict[str, Callable[[Any, Report], None]] = {"roofline": _roofline, "peers": _peers, "cost": _cost}


def _height(kind: str, report: Report) -> float:
    if kind == "peers":
        return 1.6 + 0.16 * max(map(len, _against(report).values()))
    return {"roofline": 6.4, "cost": 3.6}[kind]


def _draw(report: Report, only: Sequence[str] = ()) -> bytes:
    """The plots that there are figures for, or some of them, below each other, as SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    chosen = [kind for kind in kinds(report) if not only or kind in only]
    if not chosen:
        raise UserError("bench: nothing to draw: --plot needs a peer, several sizes, or --cost")
    heights = [_height(kind, report) for kind in chosen]
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(12, sum(heights)), layout="constrained", facecolor="white")
        parts = figure.subfigures(len(chosen), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, kind in zip(parts, chosen, strict=True):
            _DRAW[kind](part, report)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return b"\n".join(line.rstrip() for line in file.getvalue().splitlines()) + b"\n"


def drawing() -> Callable[..., bytes]:
    """The function that draws a report. Before anything is measured: it may be missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError('bench: --plot needs matplotlib: pip install "fastquant-kernels[bench]"') from error
    return _draw
