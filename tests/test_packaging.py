"""What must hold of the tree as a whole, whatever the modules compute."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("automata", "statetrack")
SOURCES = sorted(
    path
    for folder in (*PACKAGES, "benchmarks", "experiments", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

MAX_LINES = 400
# "folder/file.py": the reason why it is one concept and long.
LONG_FILES = {
    "tests/test_experiments.py": "what every experiment file and every committed result must keep",
}

# Names that no file may import, and calls that no file may make.
BANNED_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
BANNED_CALLS = {"eval", "exec", "torch.load", "torch.save", "yaml.load", "pandas.read_pickle"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_automata_init_is_empty():
    # automata-lib installs the same file with 0 bytes; only equal files let both be installed.
    assert (ROOT / "automata" / "__init__.py").read_bytes() == b""


def test_automata_avoids_the_names_of_automata_lib():
    names = {path.stem for path in (ROOT / "automata").iterdir()}
    assert not names & {"base", "fa", "pda", "regex", "tm"}


def test_automata_imports_without_torch():
    modules = [
        relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in SOURCES
        if relative(path).startswith("automata/")
    ]
    code = f"import sys, {', '.join(modules)}\nprint({{'torch', 'statetrack'}} & set(sys.modules))"
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "set()"


def test_every_module_of_automata_is_named_in_the_reference():
    page = (ROOT / "docs" / "api" / "automata.md").read_text(encoding="utf-8")
    modules = {path.stem for path in (ROOT / "automata").glob("*.py")} - {"__init__"}
    named = set(re.findall(r"^(?:\.\. automodule:: |\| `)automata\.(\w+)", page, re.MULTILINE))
    assert named == modules | {"tasks"}


def test_both_packages_are_declared_and_typed():
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file()


def test_every_folder_of_a_package_is_a_package():
    folders = {path.parent for path in SOURCES if relative(path).split("/")[0] in PACKAGES}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_core_requirements_are_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    extras = PROJECT["project"]["optional-dependencies"].values()
    required = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    names = {re.match(r"[\w-]+", requirement).group() for requirement in required}
    assert names - pinned == set()


def test_the_versions_page_is_of_these_requirements():
    """A lower bound that was changed is tried before it is promised: `make test-versions`."""
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    columns = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| ")]
    heads = [head.strip() for head in columns[0][1:]]
    oldest = heads.index(next(h for h in heads if h.startswith("3.11") and h.endswith("oldest")))
    tried = {row[0].strip(): row[1:][oldest].strip() for row in columns}
    extras = PROJECT["project"]["optional-dependencies"].values()
    for requirement in [*PROJECT["project"]["dependencies"], *(r for rs in extras for r in rs)]:
        name, bound = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
        assert name in tried, f"{name} is not on docs/versions.md"
        if name != "torch":  # the oldest CPU build may be newer
            assert release(tried[name]) == release(bound), requirement
    assert "**no**" not in page


def release(version: str) -> tuple[int, ...]:
    """Numbers of a version without the zeros at its end."""
    return tuple(int(number) for number in re.sub(r"(\.0)+$", "", version).split("."))


def test_versions_agree():
    number = PROJECT["project"]["version"]
    assert f"\nversion: {number}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE).group(1)
    assert newest == ("Unreleased" if ".dev" in number else number)


def test_no_long_file_without_a_reason():
    long = {
        relative(path)
        for path in SOURCES
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES
    }
    assert long == set(LONG_FILES)


def dotted(node: ast.expr) -> str:
    """The name `a.b.c` of a call's function, "" where it is no plain name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def banned(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names.append(getattr(node, "module", None) or "")
            found += [
                f"{node.lineno}: import {name}"
                for name in names
                if name.split(".")[0] in BANNED_MODULES
            ]
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"{node.lineno}: bare except")
        elif isinstance(node, ast.Call):
            if dotted(node.func) in BANNED_CALLS:
                found.append(f"{node.lineno}: {dotted(node.func)}")
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and getattr(keyword.value, "value", True):
                    found.append(f"{node.lineno}: allow_pickle")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "eval('1')",
        "try:\n    pass\nexcept:\n    pass",
        "np.load('x', allow_pickle=True)",
    ],
)
def test_the_ban_sees(source):
    assert banned(ast.parse(source))


def test_the_ban_lets_pass():
    assert (
        banned(ast.parse("model.eval()\ntry:\n    f(allow_pickle=False)\nexcept OSError:\n    g()"))
        == []
    )


# Make hostile pickles, to show that they are refused and never run; one shows that they would.
HOSTILE_ON_PURPOSE = ("tests/test_training_checkpoint.py", "tests/test_hostile_checkpoints.py")


def test_nothing_banned_is_used():
    uses = {relative(path): banned(parsed(path)) for path in SOURCES}
    for name in HOSTILE_ON_PURPOSE:
        assert [use.partition(": ")[2] for use in uses.pop(name)] == ["import pickle"]
    assert {name: found for name, found in uses.items() if found} == {}


def folder_of(module: str) -> str:
    """Folder of a package that a module lies in; a module right in `statetrack` is one of its own.

    Folders inside a folder count as that folder.
    """
    parts = module.split(".")
    if parts[0] == "automata":
        return "automata"
    return ".".join(parts[:2])


def imported(tree: ast.AST) -> list[str]:
    """Modules that a source imports, inside functions too, but not for types alone."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        found += imported(node)
    return found


@functools.cache
def imports_between_folders() -> networkx.DiGraph:
    graph = networkx.DiGraph()
    for path in SOURCES:
        if relative(path).split("/")[0] not in PACKAGES:
            continue
        module = relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        own = folder_of(module)
        for name in imported(parsed(path)):
            if name.split(".")[0] in PACKAGES and "." in name and folder_of(name) != own:
                graph.add_edge(own, folder_of(name))
    return graph


# "folder -> folder": why an import inside a function goes against the direction of all others.
AGAINST_THE_DIRECTION = {
    ("statetrack.models", "statetrack.training"): "load_model, a promise of models, reads files "
    "that training writes",
}


def test_folders_import_each_other_in_one_direction():
    graph = imports_between_folders().copy()
    assert graph.has_edge("statetrack.training", "statetrack.models")
    assert set(AGAINST_THE_DIRECTION) <= set(graph.edges), "an exception that is needed no longer"
    graph.remove_edges_from(AGAINST_THE_DIRECTION)
    tangled = [sorted(part) for part in networkx.strongly_connected_components(graph)]
    assert [part for part in tangled if len(part) > 1] == []


def test_automata_imports_nothing_of_statetrack():
    assert list(imports_between_folders().successors("automata")) == []


def test_scans_and_models_import_with_torch_alone():
    """Kernels are used by people who want nothing else of this library."""
    run_with_torch_alone(
        "import statetrack.scans, statetrack.layers\n"
        "from statetrack.models import build_model\n"
        "build_model('householder', 2, 2)"
    )


def test_all_but_the_figure_needs_torch_alone():
    """The machine with the GPU may have no more to run benchmarks with."""
    run_with_torch_alone(
        "import statetrack.benchmark.bench, statetrack.benchmark.doctor, statetrack.cli\n"
        "import statetrack.benchmark.report, statetrack.benchmark.worker"
    )


def run_with_torch_alone(code: str) -> None:
    heavy = ("pydantic", "pandas", "matplotlib", "seaborn", "sklearn", "scipy", "safetensors")
    absent = f"import sys\nfor name in {(*heavy, 'rich')}: sys.modules[name] = None\n"
    result = run_python(absent + code)
    assert result.returncode == 0, result.stderr


def test_what_takes_long_to_import_is_not_imported_before_it_is_used():
    """Every worker pays for it, though it never draws a figure."""
    result = run_python(
        "import sys, statetrack.cli, statetrack.grid_command\n"
        "import statetrack.training.launchers.ray, statetrack.training.launchers.slurm\n"
        "print({'ray', 'submitit', 'matplotlib', 'PIL', 'scipy.stats'} & set(sys.modules))"
    )
    assert result.stdout.strip() == "set()", result.stderr


def test_the_reliability_page_names_tests_that_exist():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", page)
    assert len(named) > 80
    assert page.count(".py::") == len(named)
    functions: dict[str, set[str]] = {}
    for file, name in named:
        if file not in functions:
            tree = ast.parse((ROOT / "tests" / file).read_bytes())
            functions[file] = {
                node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
            }
        assert name in functions[file], f"{file}::{name} is named in docs/reliability.md"
