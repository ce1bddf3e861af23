"""BENCHMARKS.md is what its figures say, and plots draw what was measured."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import report
from bench_support import ABOUT, bench, record

from fastquant import _bench_plots
from fastquant._bench_peers import PEERS
from fastquant._report import UserError


def made_up(*cases: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"machine": ABOUT, "settings": {}, "left_out": ["gguf: not installed"], "cases": [*cases], **more}


def against(kernel: str, size: int, threads: int = 1, **ratios: float) -> dict[str, Any]:
    return record(kernel, "int8", size, threads, speed_over={name.replace("_", " "): r for name, r in ratios.items()})


# --- the page ------------------------------------------------------------------------------------------


def test_the_page_is_made_of_the_figures() -> None:
    figures = json.loads(report.FIGURES.read_text(encoding="utf-8"))
    assert report.PAGE.read_text(encoding="utf-8") == report.page(figures), "run python bench/report.py"
    assert report.FIGURES.read_text(encoding="utf-8") == report.dumped(report.kept(figures))
    assert report.FIGURES.stat().st_size < 1_000_000
    kinds = _bench_plots.kinds(figures)
    assert kinds == ["roofline", "peers", "cost"]
    assert re.findall(r"\]\(bench/plots/(\w+)\.svg\)", report.page(figures)) == kinds
    for kind in kinds:
        plot = report.PLOTS / f"{kind}.svg"
        assert plot.stat().st_size < 300_000
        assert plot.read_bytes().startswith(b"<?xml")


def test_every_loss_is_named_and_bold() -> None:
    page = report.page(
        made_up(
            against("quantize", 768, NumPy=3.0, numba=0.5, torch=0.98),
            against("quantize", 1 << 22, 2, NumPy=1.5, numba=0.9),
            against("minmax", 1 << 20, torch=0.8) | {"code": None},
        )
    )
    assert "- quantize int8, 768 elements, `out=` given: numba 0.50\n" in page
    assert "- quantize int8, 4,194,304 elements, `out=` given, 2 threads: numba 0.90\n" in page
    assert "- minmax, 1,048,576 elements: torch 0.80\n" in page
    assert page.count("**0.50**") == 1
    assert page.count("**0.90**") == 1
    assert "**0.98**" not in page
    assert "LOSS" not in page
    assert "left out: gguf: not installed" in page
    assert "| threads |" in page


def test_summary() -> None:
    page = report.page(made_up(against("quantize", 768, NumPy=8.0), against("quantize", 1 << 16, NumPy=0.5)))
    assert "| NumPy | 2 | 1 | 0 | 1 | 0.50 | 2.00 | 8.00 | 0.50 | - |" in page
    assert "Nowhere in this run." not in page
    assert "Nowhere in this run." in report.page(made_up(against("quantize", 768, NumPy=8.0)))


def test_the_reference_is_the_last_of_the_summary() -> None:
    page = report.page(made_up(against("quantize", 768, reference=9.0, gguf=2.0, torch=3.0, NumPy=4.0)))
    named = [line.split(" | ")[0] for line in page.splitlines() if line.endswith(" - |")]
    assert named == ["| NumPy", "| torch", "| gguf", "| reference"]


@pytest.mark.parametrize(
    ("peers", "ours", "counted"),
    [
        ([False], [False, True], "1 | 1 | 0 | 0 | 4.00 | 4.00"),  # a new array only, beside fastquant's new one
        ([True], [False, True], "1 | 0 | 0 | 1 | 0.50 | 0.50"),
        ([False, True], [False, True], "2 | 1 | 0 | 1 | 0.50 | 1.41"),
        ([True], [False], "1 | 1 | 0 | 0 | 4.00 | 4.00"),  # no form in common
        ([False], [True], "1 | 0 | 0 | 1 | 0.50 | 0.50"),
    ],
)
def test_a_peer_of_one_form_counts_once(peers: list[bool], ours: list[bool], counted: str) -> None:
    case = against("quantize", 768)
    timed = case["contenders"][0]
    ratios = {False: 4.0, True: 0.5}
    rows = [timed | {"out": out, "speed_over": {"torch": ratios[out]}} for out in ours]
    others = [{"peer": "torch", "out": out, "differing": None} for out in peers]
    page = report.page(made_up(case | {"contenders": [*rows, *others]}))
    assert f"| torch | {counted} |" in page


def test_budgets_and_costs() -> None:
    rows = [{"function": "quantize", "elements": size, "ns_per_call": 100.0 + size} for size in (1, 2, 4, 8, 16, 32)]
    budget = {"budget": "large", "kernel": "quantize", "code": "int8", "elements": 9, "threads": 1, "out": True}
    budgets = [budget | {"limit": "<= 1", "measured": 2.0, "met": False}]
    page = report.page(made_up(against("quantize", 768, NumPy=8.0), budgets=budgets))
    assert "## Budgets\n\n0 of 1 are met;" in page
    assert "## Limits" not in page
    assert "| 2.00 | <= 1 | **MISSED** |" in page
    functions = ("quantize", "fake_quantize", "minmax", "dequantize")
    costs = [row | {"function": name} for row in rows for name in functions]
    page = report.page(made_up(against("quantize", 768, NumPy=8.0), cost=costs))
    assert "bench/plots/cost.svg" in page
    assert [line.split(" | ")[0] for line in page.splitlines() if "ns |" in line and "|  |" not in line][:3]


def test_what_is_kept_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    assert bench("--no-peers", "--kernel=quantize", "--kernel=minmax", "--json", str(path)) == 0
    capsys.readouterr()
    found = report.kept(json.loads(path.read_text()))
    assert report.kept(found) == found
    assert json.loads(report.dumped(found)) == found
    lines = report.dumped(found).splitlines()
    assert sum(line.startswith('{"kernel":') for line in lines) == len(found["cases"])
    page = report.page(found)
    assert page == report.page(json.loads(report.dumped(found)))
    assert "### quantize: float32 to codes, one scale" in page
    about = found["machine"]
    assert f"\n- run: {about['date']}" in page
    assert f"kernels compiled by {about['compiler']}\n" in page
    assert "statement" not in found["cases"][0]["contenders"][0]
    assert (
        "\n<details><summary>NumPy</summary>\n\n"
        "- `np.clip(np.rint(x / scale) + zero_point, lowest, highest).astype(code)`: quantize\n"
        "- `(x.min(), x.max())`: minmax\n\n</details>\n"
    ) in page
    assert "- `bare(source, sink)`: quantize, minmax\n" in page
    timed = [row for case in json.loads(path.read_text())["cases"] for row in case["contenders"]]
    assert all(f"- `{row['statement']}`: " in page for row in timed)
    assert page.count("\n- `") == len({(row["peer"], row["statement"]) for row in timed})


def test_the_contents_are_the_sections() -> None:
    for figures in (made_up(against("quantize", 768, NumPy=8.0)), json.loads(report.FIGURES.read_text("utf-8"))):
        page = report.page(figures)
        titles = re.findall(r"^## (.+)$", page, re.MULTILINE)
        links = dict(re.findall(r"\[([^\]]+)\]\(#([^)]+)\)", page))
        assert list(links) == titles
        assert all(link == re.sub(r"\W+", "-", title.lower()) for title, link in links.items())
        assert page.index("](#") < page.index("## ")
    assert "What was timed" not in report.page(made_up(against("quantize", 768, NumPy=8.0)))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    run = tmp_path / "run.json"
    assert bench("--no-peers", "--kernel=quantize", "--size=768", "--size=1Ki", "--json", str(run)) == 0
    for name, path in (("PAGE", "PAGE.md"), ("FIGURES", "figures.json"), ("PLOTS", "plots")):
        monkeypatch.setattr(report, name, tmp_path / path)
    assert report.main([str(run)]) == 0
    once = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert report.main([]) == 0
    assert once == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(path.name for path in once) == ["PAGE.md", "figures.json", "peers.svg", "roofline.svg", "run.json"]


# --- plots ---------------------------------------------------------------------------------------------


def test_what_can_be_drawn() -> None:
    one = against("quantize", 768, NumPy=8.0, numba=0.5)
    assert _bench_plots.kinds(made_up(one)) == ["peers"]
    assert _bench_plots.kinds(made_up(against("quantize", 768, reference=8.0))) == []
    several = [against("quantize", size, NumPy=8.0, torch=2.0) for size in (768, 1024, 4096)]
    assert _bench_plots.kinds(made_up(*several)) == ["roofline", "peers"]
    assert _bench_plots.kinds(made_up(cost=[{"function": "quantize", "elements": 1, "ns_per_call": 1.0}])) == ["cost"]


def test_plots_are_of_what_was_measured() -> None:
    pytest.importorskip("matplotlib")
    draw = _bench_plots.drawing()
    sizes = [against("quantize", size, NumPy=8.0, numba=0.5) for size in (768, 1 << 16, 1 << 20)]
    figures = made_up(*sizes, cost=[{"function": "minmax", "elements": n, "ns_per_call": 9.0 + n} for n in (1, 2, 4)])
    drawn = draw(figures)
    assert drawn == draw(figures)
    text = drawn.decode()
    labels = ("GB/s", "L1d", "NumPy", "numba", "64Ki elements", "quantize int8", "minmax", "ns an element", "10 ns")
    for label in labels:
        assert f">{label}<" in text or f"> {label}<" in text, label
    assert text.count("#c62828") >= 3  # a loss in each of three panels
    assert "dc:date" not in text
    assert "stroke: #c62828" not in draw(made_up(against("quantize", 768, NumPy=8.0, torch=2.0))).decode()
    with pytest.raises(UserError, match="nothing to draw"):
        draw(made_up())


def test_every_peer_looks_different() -> None:
    styles = [tuple(style.values()) for style in _bench_plots._STYLES.values()]
    assert len(set(styles)) == len(styles) == len(PEERS) - 1


def test_plot_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "figures.svg"
    sizes = ("--size=64", "--size=128")
    assert bench("--no-peers", "--kernel=quantize", "--code=int8", *sizes, "--plot", str(path)) == 0
    assert path.read_bytes().startswith(b"<?xml")
    with pytest.raises(SystemExit):
        bench("--plot", "figures.png")
    assert "expected a name that ends in .svg" in capsys.readouterr().err


def test_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / "figures.svg"
    with pytest.raises(UserError, match=r"needs matplotlib: pip install .fastquant-kernels\[bench\]."):
        bench("--no-peers", "--plot", str(path))
    assert not path.exists()
