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
    assert [path.name for path in PINNED] == ["build.txt", "repair.txt", "wheels.txt"]


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


@by_workflow
def test_jobs_end(path):
    assert all(0 < job["timeout-minutes"] <= 300 for job in parsed(path)["jobs"].values())


@by_workflow
def test_no_job_runs_for_others_with_more_than_their_rights(path):
    events = set(parsed(path)[True])  # YAML reads `on` as true
    assert events <= {"push", "pull_request", "workflow_dispatch"}


# --- releases ---------------------------------------------------------------------------------------------


PINNED_INSTALL = r"python -m pip install --require-hashes --only-binary :all: -r (\S+)"
# All that may happen beside files on their way to be published. What is not listed here could install anything.
COMMANDS = [
    PINNED_INSTALL,
    r"python -m build --sdist --no-isolation",
    r'test -f "dist/fastquant_kernels-\$\{GITHUB_REF_NAME#v\}\.tar\.gz"',
    r"mkdir source && tar -xzf fastquant_kernels-\*\.tar\.gz -C source --strip-components=1",
    r"python -m pip download --require-hashes --only-binary :all: --no-deps -d pinned -r wheels\.txt",
    r'echo "certifi @ file://\$PWD/\$\(echo pinned/certifi-\*\.whl\)" >certifi\.txt',
    r'echo "PIP_CONSTRAINT=\$PWD/certifi\.txt" >>"\$GITHUB_ENV"',
    r"python -m cibuildwheel fastquant_kernels-\*\.tar\.gz",
    r"python source/tests/check_wheel\.py wheelhouse/\*\.whl",
    r"hashes=\$\(sha256sum \*\)",
    r"printf 'hashes<<END\\n%s\\nEND\\n' \"\$hashes\" \| tee -a \"\$GITHUB_OUTPUT\"",
    r"diff <\(printf '%s\\n' \"\$HASHES\"\) <\(sha256sum \*\)",
]
ACTIONS = {  # and all that they may be told
    "actions/checkout": {"persist-credentials"},
    "actions/setup-python": {"python-version"},
    "actions/upload-artifact": {"name", "path", "if-no-files-found"},
    "actions/download-artifact": {"name", "path", "merge-multiple"},
    "actions/attest": {"subject-path"},
    "pypa/gh-action-pypi-publish": {"attestations"},
}
STEP = {"name", "id", "if", "uses", "with", "run", "env", "working-directory"}  # not a shell of its own
TESTS = ("test", "test-musl")


def release() -> dict[str, Any]:
    return parsed(GITHUB / "workflows/release.yml")


def unpinned(workflow: dict[str, Any], cibuildwheel: dict[str, Any]) -> list[str]:
    """What could install something without a hash where there are files that are yet to be published."""
    found = [f"{key} for all jobs" for key in ("env", "defaults") if key in workflow]
    for name, job in workflow["jobs"].items():
        if name in TESTS:
            continue
        found += [f"{name}: {key}" for key in ("env", "container", "services", "uses") if key in job]
        if job.get("defaults", {"run": {"shell": "bash"}}) != {"run": {"shell": "bash"}}:
            found.append(f"{name}: defaults")
        for step in job["steps"]:
            found += [f"{name}: {key}" for key in step.keys() - STEP]
            action = step.get("uses", "").split("@")[0]
            if action and action not in ACTIONS:
                found.append(f"{name}: {action}")
            elif action:
                found += [f"{name}: {action} {key}" for key in step.get("with", {}).keys() - ACTIONS[action]]
            for line in step.get("run", "").splitlines():
                if not any(re.fullmatch(command, line) for command in COMMANDS):
                    found.append(f"{name}: {line}")
            # CIBW_TEST_COMMAND and PIP_REQUIREMENT would do it, too.
            found += [f"{name}: {key}" for key in step.get("env", {}) if key != "HASHES"]
    allowed = {"before-build", "build-frontend", "dependency-versions", "build", "skip"}
    found += [f"cibuildwheel: {key}" for key in cibuildwheel if key not in allowed]
    if not re.fullmatch(PINNED_INSTALL, cibuildwheel["before-build"]):
        found.append("cibuildwheel: before-build")
    if cibuildwheel["build-frontend"] != {"name": "build", "args": ["--no-isolation"]}:
        found.append("cibuildwheel: build-frontend")
    if ROOT / cibuildwheel.get("dependency-versions", "pinned") not in PINNED:
        found.append("cibuildwheel: dependency-versions")
    return found


def test_a_release_installs_by_hash_and_builds_with_that_alone():
    cibuildwheel = PROJECT["tool"]["cibuildwheel"]
    assert unpinned(release(), cibuildwheel) == []
    scripts = [step["run"] for name, job in release()["jobs"].items() if name not in TESTS for step in job["steps"]
               if "run" in step]  # fmt: skip
    installs = [re.fullmatch(PINNED_INSTALL, script) for script in [*scripts, cibuildwheel["before-build"]]]
    files = [match[1].removeprefix("source/").removeprefix("{project}/") for match in installs if match]
    assert [Path(file).name for file in files] == ["build.txt", "wheels.txt", "build.txt"]
    assert {ROOT / file for file in files} <= set(PINNED)
    # Each wheel is looked at, and then nothing happens before it is uploaded.
    certifi, building, checking, uploading = release()["jobs"]["wheels"]["steps"][-4:]
    assert [building["run"].split()[2], checking["run"].split()[1]] == ["cibuildwheel", "source/tests/check_wheel.py"]
    assert uploading["with"]["path"] == "wheelhouse/*.whl"
    assert certifi["if"] == "runner.os == 'macOS'"
    assert certifi["run"].splitlines()[-1].startswith('echo "PIP_CONSTRAINT=')
    assert "certifi" in pins(GITHUB / "requirements/wheels.txt")


@pytest.mark.parametrize(
    "settings",
    [
        {"test-command": "pytest"},
        {"test-requires": ["pytest"]},
        {"overrides": [{"select": "*-musllinux_*", "test-command": "pytest"}]},
        {"linux": {"before-all": "apk add x"}},
        {"before-build": "pip install Cython"},
        {"build-frontend": "build"},
        {"dependency-versions": "latest"},
        {"environment": {"PIP_REQUIRE_HASHES": "0"}},
    ],
)
def test_settings_of_cibuildwheel_that_install_more_are_seen(settings):
    assert len(unpinned(release(), PROJECT["tool"]["cibuildwheel"] | settings)) == 1


@pytest.mark.parametrize(
    "step",
    [
        {"run": "python -m cibuildwheel fastquant_kernels-*.tar.gz\npip install pytest"},
        {"run": "python -m pip install --require-hashes --only-binary :all: -r build.txt pytest"},
        {"run": "npm install x"},
        {"run": "python -m build --sdist --no-isolation", "shell": "sh -c 'npm install x; sh {0}'"},
        {"uses": "pypa/cibuildwheel@0"},
        {"run": "python source/tests/check_wheel.py wheelhouse/*.whl", "env": {"CIBW_TEST_REQUIRES": "pytest"}},
        {"uses": "actions/setup-python@0", "with": {"python-version": "3.13", "pip-install": "pytest"}},
    ],
)
@pytest.mark.parametrize("job", ["sdist", "wheels", "hashes", "publish", "another"])
def test_steps_that_install_more_are_seen(step, job):
    workflow = release()
    workflow["jobs"].setdefault(job, {"steps": []})["steps"].append(step)
    assert len(unpinned(workflow, PROJECT["tool"]["cibuildwheel"])) == 1


def test_nothing_comes_out_of_the_tests_of_a_release():
    """They run what anybody has published: beside no file that is to be published, and without any right."""
    workflow = release()
    assert workflow["permissions"] == {}
    for name in TESTS:
        job = workflow["jobs"][name]
        assert not {"permissions", "environment", "outputs", "secrets", "continue-on-error", "if"} & job.keys()
        used = {step["uses"].split("@")[0] for step in job["steps"] if "uses" in step}
        assert used <= {"actions/download-artifact", "actions/setup-python"}
        assert not [step for step in job["steps"] if {"if", "continue-on-error"} & step.keys()]
        # What they could do to the artifacts comes too late.
        assert job["needs"] == "hashes"
        assert re.search(r"^ *python -P -m pytest$", "\n".join(step.get("run", "") for step in job["steps"]), re.M)


def test_each_wheel_is_tested():
    jobs, settings = release()["jobs"], PROJECT["tool"]["cibuildwheel"]
    pythons = [f"3.{build.removeprefix('cp3').removesuffix('-*')}" for build in settings["build"].split()]
    systems = jobs["wheels"]["strategy"]["matrix"]["os"]
    assert settings["skip"] == "*-musllinux_i686 *-manylinux_i686 *-win32"  # and so no others
    for name, where in zip(TESTS, (systems, [system for system in systems if "ubuntu" in system]), strict=True):
        matrix = jobs[name]["strategy"]["matrix"]
        assert matrix["os"] == where
        assert matrix["python"] == pythons
        assert "exclude" not in matrix
        # The same targets as in all other tests: what is not available must not go unseen.
        asked = [{system: more["targets"] for more in parsed(path)["jobs"][job]["strategy"]["matrix"]["include"]
                  if (system := more.get("os", "")) in where and more["targets"] != "portable"}
                 for path, job in zip(WORKFLOWS, (name, "tests"), strict=True)]  # fmt: skip
        assert asked[0] == asked[1]
        assert asked[0]


def test_nothing_is_published_before_all_is_built_and_tested_and_but_for_tags():
    workflow = release()
    assert workflow[True]["push"] == {"tags": ["v*"]}
    jobs = workflow["jobs"]
    assert list(jobs) == ["sdist", "wheels", "hashes", "test", "test-musl", "publish"]
    assert jobs["wheels"]["needs"] == "sdist"
    assert jobs["hashes"]["needs"] == ["sdist", "wheels"]
    publish = jobs["publish"]
    assert publish["needs"] == ["sdist", "wheels", "hashes", "test", "test-musl"]
    assert publish["if"] == "github.event_name == 'push'"
    assert publish["environment"] == "pypi"
    used = [step["uses"].split("@")[0] if "uses" in step else step["run"].split()[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "diff", "actions/attest", "pypa/gh-action-pypi-publish"]
    assert publish["steps"][1]["env"] == {"HASHES": "${{ needs.hashes.outputs.hashes }}"}
    assert publish["steps"][-1]["with"] == {"attestations": True}


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
def test_files_that_were_exchanged_are_not_published(tmp_path):
    jobs = release()["jobs"]
    (hashing,) = [step["run"] for step in jobs["hashes"]["steps"] if "run" in step]
    (checking,) = [step["run"] for step in jobs["publish"]["steps"] if "run" in step]
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    dist, output = tmp_path / "dist", tmp_path / "output"
    dist.mkdir()

    def bash(script: str, **environment: str) -> int:
        command = ["bash", "-e", "-c", script]
        return subprocess.run(command, cwd=dist, env=os.environ | environment, capture_output=True).returncode

    (dist / "a.whl").write_text("a")
    (dist / "b.whl").write_text("b")
    assert bash(hashing, GITHUB_OUTPUT=str(output)) == 0
    told = re.fullmatch(r"hashes<<END\n(.*)\nEND\n", output.read_text(), re.DOTALL)[1]
    assert bash(checking, HASHES=told) == 0
    (dist / "c.whl").write_text("c")
    assert bash(checking, HASHES=told) != 0
    (dist / "c.whl").unlink()
    (dist / "b.whl").write_text("c")
    assert bash(checking, HASHES=told) != 0
    (dist / "b.whl").unlink()
    assert bash(checking, HASHES=told) != 0
    assert bash(checking, HASHES="") != 0


def test_ci_fuzzes_with_a_new_seed_that_it_prints():
    (run,) = [step["run"] for step in steps(parsed(GITHUB / "workflows/tests.yml")) if "fuzz.py" in step.get("run", "")]
    new, printed, fuzzes = run.splitlines()
    assert re.fullmatch(r'seed=\$\(python -c "import secrets; .*"\)', new)
    assert re.match(r"echo .*--seed \$seed", printed)
    assert re.match(r'python tests/fuzz\.py --seconds \d+ --seed "\$seed"  # ', fuzzes)


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
    """build.txt and repair.txt are installed into one environment, one after the other."""
    found: dict[str, set[str]] = {}
    for name, version in (pin for path in PINNED for pin in pins(path).items()):
        found.setdefault(name, set()).add(version)
    assert {"build", "packaging"} <= found.keys()
    assert {name for name, versions in found.items() if len(versions) > 1} == set()


def test_what_cibuildwheel_installs_by_itself_is_pinned():
    """Its pip reads constraints' hashes, and so the version of pip has one too."""
    assert {"pip", "build", "virtualenv", "delocate", "delvewheel"} <= pins(GITHUB / "requirements/repair.txt").keys()


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
