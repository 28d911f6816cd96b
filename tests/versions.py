"""Install what is shipped into clean environments, oldest and newest versions, and test it there.

    python -m tests.versions --write docs/versions.md

Builds the sdist and the wheel. Then, for every Python found, makes one environment with the lowest
versions that `pyproject.toml` allows (from the wheel) and one with the newest (from the sdist),
runs a part of the tests against what is installed, adds each extra and uses it, and puts
automata-lib beside it in either order. Environments live in a temporary folder, one at a time.
pip's own settings hold (PIP_INDEX_URL, PIP_FIND_LINKS, ...). torch is taken only as a CPU build, so
that nothing of several GB is fetched; where there is none for a Python, what needs torch is left
out and the page says so.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.versions_uses import (
    ALONE,
    AUTOMATA_LIB,
    BESIDE_AUTOMATA_LIB,
    PROJECT,
    PYTHON_VERSION,
    ROOT,
    TESTS_WITH_TORCH,
    TESTS_WITHOUT_TORCH,
    USES,
    WITH_TORCH,
)

PYTHONS = ("3.11", "3.12", "3.13")
BOUNDS = ("oldest", "newest")
NEED_TORCH = ("torch", "triton")

# Packages of different ages tell each other what is deprecated; only our own tests on the pinned
# versions take that for a failure.
LENIENT = [f"-Wignore::{kind}" for kind in ("DeprecationWarning", "PendingDeprecationWarning")]


class StepError(Exception):
    """A command that should have worked, with the end of what it said."""


def run(*command: object, cwd: Path, **variables: str) -> str:
    """Run a command and return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", **variables}
    environment.pop("PYTHONPATH", None)
    words = [str(word) for word in command]
    done = subprocess.run(
        words, check=False, cwd=cwd, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        end = (done.stdout + done.stderr)[-3000:]
        raise StepError(f"{' '.join(words)[:300]}: exit code {done.returncode}\n{end}")
    return done.stdout


def name_of(requirement: str) -> str:
    return re.match(r"[\w-]+", requirement).group()


def requirements(*extras: str, torch: bool) -> list[str]:
    """What the project asks for, in the words of `pyproject.toml`, but torch itself.

    Without torch Triton is left out as well: nothing here uses it alone.
    """
    listed = list(PROJECT["dependencies"])
    for extra in extras:
        listed += PROJECT["optional-dependencies"][extra]
    left_out = NEED_TORCH[:1] if torch else NEED_TORCH
    return [requirement for requirement in listed if name_of(requirement) not in left_out]


def release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))


def find_python(version: str, uv: Path, folder: Path) -> str | None:
    """Return the path of that Python; pyenv answers only for the version in PYENV_VERSION."""
    say = "import sys; print(sys.executable)"
    for command in ([f"python{version}", "-c", say], [uv, "python", "find", version]):
        try:
            return run(*command, cwd=folder, PYENV_VERSION=version).strip()
        except (StepError, FileNotFoundError):
            continue
    return None


@dataclass
class Environment:
    """One clean environment and what was seen in it."""

    python: str
    bounds: str
    folder: Path
    bench: "Bench"
    torch: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def interpreter(self) -> Path:
        return self.folder / "bin" / "python"

    def pip(self, *arguments: object) -> str:
        return run(self.interpreter, "-m", "pip", *arguments, cwd=self.bench.checkout)

    def execute(self, code: str) -> str:
        return run(self.interpreter, "-c", code, cwd=self.bench.checkout).strip()

    def make(self) -> None:
        path = find_python(self.python, self.bench.uv, self.bench.checkout)
        if path is None:
            raise StepError(f"no Python {self.python} was found")
        run(path, "-m", "venv", self.folder, cwd=self.bench.checkout)
        self.torch = self.cpu_build_of_torch()

    def cpu_build_of_torch(self) -> str | None:
        """Return the version of the oldest or newest CPU build that pip offers this Python.

        On Linux CPU builds are told by the end of their version; elsewhere there are no others.
        """
        bound = next(r for r in PROJECT["dependencies"] if name_of(r) == "torch").partition(">=")[2]
        try:
            offered = self.pip("index", "versions", "torch").partition("Available versions:")[2]
        except StepError:
            return None
        names = offered.partition("\n")[0].replace(",", " ").split()
        cpu = [n for n in names if n.endswith("+cpu") or sys.platform != "linux"]
        allowed = sorted((n for n in cpu if release(n) >= release(bound)), key=release)
        if not allowed:
            return None
        return allowed[0] if self.bounds == "oldest" else allowed[-1]

    def constraints(self, *extras: str) -> list[object]:
        """Return pip's options for the versions of this environment, wheels alone."""
        lines = [f"torch=={self.torch}"] if self.torch else []
        if self.bounds == "oldest":
            asked = self.bench.folder / "asked.in"
            asked.write_text("\n".join(requirements("test", *extras, torch=bool(self.torch))))
            lowest = ("--resolution", "lowest-direct", "--only-binary", ":all:", "--no-header")
            command = (self.bench.uv, "pip", "compile", "-q", *lowest, "--python-version")
            lines.append(run(*command, self.python, asked, cwd=self.bench.folder))
        path = self.bench.folder / "constraints.txt"
        path.write_text("\n".join(lines) + "\n")
        return ["--quiet", "--only-binary", ":all:", "--constraint", path]

    def install(self, shipped: Path, *extras: str) -> None:
        """Install a wheel or sdist with what it requires, as far as torch can be had."""
        options = self.constraints(*extras)
        if self.torch:
            names = ",".join(("test", *extras))
            source = ["--no-binary", PROJECT["name"]] if shipped.suffix == ".gz" else []
            self.pip("install", *options, *source, f"{shipped}[{names}]")
            self.pip("check")
        else:
            self.pip("install", *options, *requirements("test", *extras, torch=False))
            self.pip("install", "--quiet", "--no-deps", shipped)

    def installed_files(self) -> list[str]:
        files = self.pip("show", "--files", PROJECT["name"]).partition("Files:")[2].split()
        return sorted(f for f in files if f.startswith(("automata/", "statetrack/")))

    def note(self, what: str, error: Exception | None = None, said: str = "yes") -> None:
        self.outcomes[what] = "**no**" if error else said
        if error:
            self.failures.append(f"{what}: {error}")
        print(f"  {what}: {error or said}", flush=True)

    def attempt(self, what: str, step: Callable[..., str | None], *arguments: object) -> bool:
        """Take a step and note what came of it; one that fails stops no other."""
        try:
            self.note(what, said=step(*arguments) or "yes")
        except (StepError, AssertionError) as error:
            self.note(what, error)
        return self.outcomes[what] != "**no**"

    def pytest(self, tests: Iterable[str], *options: str) -> str:
        """Run tests of the unpacked sdist against what is installed; return how many passed."""
        junit = self.bench.folder / "junit.xml"
        junit.unlink(missing_ok=True)
        failure = None
        command = (self.interpreter, "-m", "pytest", "-q", "-n", "0", *LENIENT)
        try:
            run(*command, f"--junitxml={junit}", *options, *tests, cwd=self.bench.checkout)
        except StepError as error:
            if not junit.exists():
                raise
            failure = error
        cases = list(ElementTree.parse(junit).getroot().iter("testcase"))
        bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
        skipped = sum(case.find("skipped") is not None for case in cases)
        if bad:
            ends = [
                f"{c.get('classname')}::{c.get('name')}: {(c[0].text or '')[-600:]}" for c in bad
            ]
            raise StepError(f"{len(bad)} of {len(cases)} tests failed\n" + "\n".join(ends[:12]))
        if failure:
            raise failure
        if len(cases) == skipped:
            raise StepError("no test ran")
        return f"{len(cases) - skipped} passed" + (f", {skipped} skipped" if skipped else "")

    def run_tests(self) -> str:
        return self.pytest([*TESTS_WITHOUT_TORCH, *(TESTS_WITH_TORCH if self.torch else ())])

    def use_extra(self, extra: str, shipped: Path) -> str:
        extras = list(USES)
        self.install(shipped, *extras[: extras.index(extra) + 1])
        for requirement in PROJECT["optional-dependencies"][extra]:
            self.versions[name_of(requirement)] = self.version(name_of(requirement))
        use = USES[extra]
        if use.needs_torch and not self.torch:
            return "installs"
        for command in use.commands:
            run(self.interpreter, "-m", *command, cwd=self.bench.checkout)
        return self.pytest(use.tests, "-m", "") if use.tests else "works"

    def version(self, name: str) -> str:
        return self.execute(f"from importlib.metadata import version; print(version({name!r}))")

    def other_form(self, first: Path, second: Path) -> None:
        """Put the second form in the place of the first: it holds the same files."""
        before = self.installed_files()
        assert len(before) > 300, f"{first.name} installs {len(before)} files"
        self.pip("install", "--quiet", "--force-reinstall", "--no-deps", second)
        assert self.installed_files() == before, "wheel and sdist install different files"

    def beside_automata_lib(self, shipped: Path) -> None:
        """In both orders; then without the one, and without the other."""
        works = BESIDE_AUTOMATA_LIB + (WITH_TORCH if self.torch else "")
        self.pip("install", "--quiet", AUTOMATA_LIB)
        self.execute(works)
        self.pip("uninstall", "--quiet", "--yes", PROJECT["name"])
        self.execute("from automata.fa.dfa import DFA")
        self.pip("install", "--quiet", "--no-deps", shipped)
        self.execute(works)
        self.pip("uninstall", "--quiet", "--yes", "automata-lib")
        self.execute(ALONE)
        # Both list automata/__init__.py and py.typed, which went with the one that was removed.
        self.pip("install", "--quiet", "--force-reinstall", "--no-deps", shipped)

    def check(self) -> None:
        start = time.monotonic()
        wheel, sdist = self.bench.wheel, self.bench.sdist
        first, second = (wheel, sdist) if self.bounds == "oldest" else (sdist, wheel)
        form = {wheel: "wheel", sdist: "sdist"}
        if not self.attempt("environment", self.make):
            return
        if self.attempt("installs from", lambda: self.install(first) or form[first]):
            self.versions["Python"] = self.execute(PYTHON_VERSION)
            self.versions["torch"] = self.torch or "none"
            for requirement in requirements("test", torch=bool(self.torch)):
                self.versions[name_of(requirement)] = self.version(name_of(requirement))
            self.attempt("wheel = sdist", self.other_form, first, second)
            self.attempt("tests", self.run_tests)
            self.attempt("automata-lib", self.beside_automata_lib, wheel)
            for extra in USES:  # each beside those before
                self.attempt(extra, self.use_extra, extra, wheel)
        self.seconds = time.monotonic() - start


@dataclass(frozen=True)
class Bench:
    """What all environments share: the two files that are shipped, the tests, and uv."""

    folder: Path
    uv: Path
    wheel: Path
    sdist: Path
    checkout: Path

    @classmethod
    def build(cls, folder: Path) -> "Bench":
        run(sys.executable, "-m", "venv", folder / "tools", cwd=folder)
        run(folder / "tools/bin/pip", "install", "--quiet", "uv", cwd=folder)
        uv = folder / "tools/bin/uv"
        run(uv, "build", "--quiet", "--out-dir", folder / "dist", ROOT, cwd=folder)
        (wheel,), (sdist,) = (
            sorted((folder / "dist").glob(f"*.{end}")) for end in ("whl", "tar.gz")
        )
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        checkout = folder / sdist.name.removesuffix(".tar.gz")
        for package in ("automata", "statetrack"):
            shutil.rmtree(checkout / package)  # so that tests find what is installed
        return cls(folder, uv, wheel, sdist, checkout)


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


INTRODUCTION = """\
Written by `make test-versions` (`tests/versions.py`), which installs wheel and sdist into clean
environments with the oldest and newest versions that `pyproject.toml` allows and runs a part of the
tests there. Where `torch` is none, no CPU build could be had for that Python: what needs torch is
left out, and an extra that needs it is only installed.
"""


def page(environments: list[Environment], origin: str) -> str:
    """Return the page for `docs/`: what worked where, and every version."""
    heads = [f"{e.versions.get('Python', e.python)} {e.bounds}" for e in environments]
    steps = list(dict.fromkeys(what for e in environments for what in e.outcomes))
    names = list(dict.fromkeys(name for e in environments for name in e.versions))
    return "\n".join(
        [
            "# Versions",
            "",
            INTRODUCTION,
            origin,
            "",
            *table(
                ["", *heads],
                [
                    *([step, *(e.outcomes.get(step, "") for e in environments)] for step in steps),
                    ["minutes", *(f"{e.seconds / 60:.1f}" for e in environments)],
                ],
            ),
            "",
            "## Versions installed",
            "",
            *table(
                ["", *heads],
                ([name, *(e.versions.get(name, "") for e in environments)] for name in names),
            ),
            "",
        ]
    )


def described_origin() -> str:
    try:
        commit = run("git", "rev-parse", "--short", "HEAD", cwd=ROOT).strip()
        changed = bool(run("git", "status", "--porcelain", cwd=ROOT).strip())
    except (StepError, FileNotFoundError):
        commit, changed = "unknown", False
    state = " with changes" if changed else ""
    today = datetime.now(UTC).date()
    return f"Run on {today}, commit {commit}{state}, {platform.system()} {platform.machine()}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", nargs="+", default=PYTHONS, metavar="X.Y")
    parser.add_argument("--bounds", nargs="+", default=BOUNDS, choices=BOUNDS)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page to this file")
    arguments = parser.parse_args()
    origin = described_origin()
    environments = []
    with tempfile.TemporaryDirectory(prefix="statetrack-versions-") as name:
        bench = Bench.build(Path(name))
        for python in arguments.python:
            for bounds in arguments.bounds:
                print(f"Python {python}, {bounds}", flush=True)
                environment = Environment(python, bounds, Path(name) / "environment", bench)
                environment.check()
                shutil.rmtree(environment.folder, ignore_errors=True)
                environments.append(environment)
                text = page(environments, origin)
                if arguments.write:
                    arguments.write.parent.mkdir(parents=True, exist_ok=True)
                    arguments.write.write_text(text, encoding="utf-8")
    print(text)
    return int(any(environment.failures for environment in environments))


if __name__ == "__main__":
    sys.exit(main())
