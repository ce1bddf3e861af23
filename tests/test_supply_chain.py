"""What a release is made with, and what its wheels say of themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from check_wheel import problems

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PINNED = sorted((GITHUB / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SBOM = "fastquant_kernels-{}.dist-info/sboms/fastquant-kernels.cdx.json".format(PROJECT["project"]["version"])

by_name = pytest.mark.parametrize("path", [*WORKFLOWS, *PINNED], ids=lambda path: path.name)
by_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
by_pins = pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)


def test_there_are_files_to_check():
    assert [path.name for path in WORKFLOWS] == ["release.yml", "tests.yml"]
    assert [path.name for path in PINNED] == ["build.txt", "wheels.txt"]


# --- workflows --------------------------------------------------------------------------------------------


def parsed(path: Path) -> dict[str, Any]:
    return pytest.importorskip("yaml").safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@by_workflow
def test_actions_are_pinned_to_commits(path):
    used = [step["uses"] for step in steps(parsed(path)) if "uses" in step]
    lines = re.findall(r"^ *(?:- )?uses: (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    assert used == [line.split(" # ")[0] for line in lines]
    for line in lines:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_an_action_has_one_commit():
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    used = set(re.findall(r"uses: (\S+)@(\w+)", text))
    assert len({name for name, _ in used}) == len(used)


@by_workflow
def test_jobs_may_write_only_where_they_publish(path):
    workflow = parsed(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        may = job.get("permissions", {})
        if (path.name, name) == ("release.yml", "publish"):
            assert may == {"id-token": "write", "attestations": "write"}
        else:
            assert may in ({}, {"contents": "read"})


@by_workflow
def test_no_checkout_leaves_its_token(path):
    for step in steps(parsed(path)):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@by_workflow
def test_no_expression_is_pasted_into_a_script(path):
    assert not [step["run"] for step in steps(parsed(path)) if "${{" in step.get("run", "")]


def test_a_release_installs_by_hash_and_builds_with_that_alone():
    release = parsed(GITHUB / "workflows/release.yml")
    scripts = [step["run"] for step in steps(release) if "run" in step]
    scripts.append(PROJECT["tool"]["cibuildwheel"]["before-build"])
    installs = [script for script in scripts if "pip install" in script]
    assert len(installs) == 3
    for script in installs:
        path = re.fullmatch(r"python -m pip install --require-hashes --only-binary :all: -r (\S+)", script)[1]
        assert (ROOT / path.removeprefix("source/").removeprefix("{project}/")) in PINNED
    assert "python -m build --sdist --no-isolation" in scripts
    assert PROJECT["tool"]["cibuildwheel"]["build-frontend"] == {"name": "build", "args": ["--no-isolation"]}


def test_nothing_is_published_before_all_is_built_and_but_for_tags():
    release = parsed(GITHUB / "workflows/release.yml")
    assert release[True]["push"] == {"tags": ["v*"]}  # YAML reads `on` as true
    assert release["jobs"]["wheels"]["needs"] == "sdist"
    publish = release["jobs"]["publish"]
    assert publish["needs"] == ["sdist", "wheels"]
    assert publish["if"] == "github.event_name == 'push'"
    assert publish["environment"] == "pypi"
    used = [step["uses"].split("@")[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "actions/attest", "pypa/gh-action-pypi-publish"]
    assert publish["steps"][-1]["with"] == {"attestations": True}


# --- pinned requirements ----------------------------------------------------------------------------------


def pins(path: Path) -> dict[str, str]:
    """Names and versions; each line is a pin with hashes, and nothing else stands there."""
    found = {}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n *", "", "\n".join(lines)).splitlines():
        match = re.fullmatch(r"([\w-]+)==([\w.]+)(?: ; .*?)?((?: ?--hash=sha256:[0-9a-f]{64})+)", line)
        assert match, line
        found[match[1]] = match[2]
    return found


@by_pins
def test_each_pin_has_hashes_and_is_what_was_asked_for(path):
    pytest.importorskip("packaging")
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pinned = pins(path)
    asked = [line for line in path.with_suffix(".in").read_text().splitlines() if not line.startswith("#")]
    if path.name == "build.txt":
        asked += PROJECT["build-system"]["requires"]
    assert asked
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_files_pin_the_same_versions():
    build, wheels = map(pins, PINNED)
    both = build.keys() & wheels.keys()
    assert "build" in both
    assert {name: build[name] for name in both} == {name: wheels[name] for name in both}


@by_name
def test_no_index_is_named(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|index-url|find-links|trusted-host", text)


# --- the bill of materials --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> tuple[Path, Path]:
    """A wheel and an editable one of this project's metadata, with nothing compiled: they take a second."""
    for name in ("Cython", "setuptools"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "sbom.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        (folder / package.replace(".", "/")).mkdir()
        (folder / package.replace(".", "/") / "__init__.py").touch()
    script = "from setuptools import build_meta as b; b.build_wheel('dist'); b.build_editable('editable')"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    (folder / "editable").mkdir()
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (wheel,), (editable,) = folder.glob("dist/*.whl"), folder.glob("editable/*.whl")
    return wheel, editable


def test_wheels_hold_a_bill_of_materials(wheels):
    assert [problems(wheel) for wheel in wheels] == [[], []]


def test_it_is_the_same_each_time(wheels):
    first, second = (zipfile.ZipFile(wheel).read(SBOM) for wheel in wheels)
    assert first == second


def test_it_follows_the_schema(wheels):
    validation = pytest.importorskip("cyclonedx.validation.json")
    pytest.importorskip("jsonschema")
    from cyclonedx.schema import SchemaVersion

    text = zipfile.ZipFile(wheels[0]).read(SBOM).decode()
    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"book"')) is not None


def rewritten(wheel: Path, folder: Path, change: Any) -> Path:
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return copy


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda name, data: data + b"\n" if name == SBOM else data, "not what RECORD says"),
        (lambda name, data: None if name == SBOM else data, "missing"),
        (lambda name, data: data.replace(b'"cython"', b'"python"'), "lists only"),
        (lambda name, data: data.replace(b'"version": "', b'"version": "9'), "of another package or version"),
        (lambda name, data: data.replace(b'"MIT"', b'"BSD-3-Clause"'), "another license"),
    ],
)
def test_the_check_sees_a_changed_wheel(wheels, tmp_path, change, found):
    copy = rewritten(wheels[0], tmp_path, change)
    assert [line for line in problems(copy) if found in line]


def test_the_check_sees_a_file_that_nobody_recorded(wheels, tmp_path):
    copy = rewritten(wheels[0], tmp_path, lambda name, data: data)
    assert problems(copy) == []
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr("fastquant/more.py", b"")
    assert problems(copy) == ["fastquant/more.py: in one of archive and RECORD"]
