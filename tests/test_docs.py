"""Pages that tell of other files tell the truth: results of the gallery, tests, links."""

import ast
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from statetrack.cli import main
from statetrack.experiment import load_experiment, preset_grid
from statetrack.source_files import import_file
from statetrack.training.execute import execute_pack

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RESULTS = ROOT / "experiments" / "results"
PAGES = sorted(DOCS.rglob("*.md"))
GALLERY = import_file(DOCS / "results_gallery.py", "page")


def test_the_gallery_shows_every_committed_figure():
    page = GALLERY.gallery_markdown()
    shown = re.findall(r"!\[[^\]]+\]\(\.\./experiments/results/([\w-]+)/figure\.png\)", page)
    assert shown == sorted(path.parent.name for path in RESULTS.glob("*/figure.png"))
    assert len(shown) >= 6
    for target in re.findall(r'href="([^"]+)"', page):
        assert (RESULTS / target).is_file()


@pytest.mark.parametrize("folder", GALLERY.result_folders(), ids=lambda folder: folder.name)
def test_a_command_of_the_gallery_makes_that_folder(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("STATETRACK_TEXT", str(tmp_path))  # of experiments on a text
    (tmp_path / "tinyshakespeare.txt").write_text(
        "to be, or not to be: that is the question.\n" * 50
    )
    command = r"`statetrack grid (experiments/\w+\.py) --preset ([\w-]+)`"
    found = re.search(
        rf"/{folder.name}/figure\.png\).*?{command}", GALLERY.gallery_markdown(), re.DOTALL
    )
    experiment = load_experiment(ROOT / found[1])
    assert preset_grid(experiment, found[2]).name == folder.name


def test_findings_are_those_of_the_report():
    page = GALLERY.gallery_markdown()
    assert r"- s3 was solved by every seed of Householder n\_h=2 \[-1,1\]." in page
    assert r"- s5 was solved by some seeds of Householder n\_h=4 \[-1,1\] (31 of 32)." in page
    assert "60 runs, NVIDIA H200, 2026-11-22" in page
    assert "## Eigenvalue range decides which automata a linear RNN follows\n" in page


def test_the_gallery_is_put_where_its_page_says():
    assert (DOCS / "gallery.md").read_text(encoding="utf-8").count("<!-- results -->") == 1


def named_tests() -> list[str]:
    text = (DOCS / "reproducibility.md").read_text(encoding="utf-8")
    return re.findall(r"tests/\w+\.py::\w+", text)


def test_every_test_that_is_named_is_there():
    names = named_tests()
    assert len(names) > 15
    for name in names:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_files_that_a_page_names_are_there(page):
    text = page.read_text(encoding="utf-8")
    names = re.findall(
        r"\b(?:experiments|tests|benchmarks|automata|statetrack)/[\w./-]+\.\w+", text
    )
    missing = {name for name in names if not (ROOT / name).exists()}
    assert missing == set()


def test_every_page_is_in_a_list_of_pages():
    listed = {DOCS / "index.md"}
    for page in PAGES:
        for block in re.findall(
            r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
        ):
            entries = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {page.parent / f"{entry}.md" for entry in entries}
    assert set(PAGES) == listed


def test_the_file_of_the_tutorial_runs_from_anywhere(monkeypatch, capsys, tmp_path):
    def run(launcher, jobs, checkpoints, progress, source=None):
        for job in jobs:
            yield from execute_pack(job.runs, known=job.known, checkpoints=checkpoints)

    monkeypatch.setattr("statetrack.training.LocalLauncher.run", run)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "experiments" / "random_automaton.py", "mine.py")
    assert main(["grid", "mine.py", "--preset", "smoke", "--device", "cpu"]) == 0
    names = dict(line.split() for line in capsys.readouterr().out.splitlines()[-4:])
    assert list(names) == ["figure", "table", "report", "results"]
    assert all((tmp_path / path).exists() for path in names.values())


def test_the_matrices_of_the_tutorial_are_as_its_page_says():
    runs = pd.read_csv(RESULTS / "random_automaton-cpu" / "runs.csv")
    turns = pd.read_csv(RESULTS / "random_automaton-cpu" / "spectra.csv").query("token == 1")
    near = turns[(turns.real.abs() < 0.05) & ((turns.imag.abs() - 1).abs() < 0.05)]
    labels = set(runs.set_index("run_id").label[near.run_id])
    assert labels == {"Householder n_h=2 [-1,1]"}
    best = runs.groupby("label", sort=False).token_horizon.apply(lambda of: sorted(of)[::-1])
    assert best["LSTM"] == [256] * 3
    assert best["Householder n_h=2 [-1,1]"] == [256, 68, 6]
