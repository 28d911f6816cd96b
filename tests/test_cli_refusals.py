"""The command line: one line and exit code 2 on bad input, which names it and the nearest."""

import pytest

from statetrack.cli import EXIT_BAD_INPUT, EXIT_FAILED_RUNS, main
from tests.cli_cases import RUN, TINY, refusal


@pytest.mark.parametrize(
    ("arguments", "named", "nearest"),
    [
        (("train", "task=partiy", "model=lstm"), "partiy", "parity"),
        (("train", "task=parity", "model=diagonl"), "diagonl", "diagonal"),
        ((*RUN, "model.eigenvalue_range=[-1;1]"), "[-1;1]", "[-1,1]"),
        ((*RUN, "model.eigenvalue_range=0,1"), "0,1", "[0,1]"),
        ((*RUN, "trainig.steps=1"), "trainig.steps", "training"),
        ((*RUN, "training.step=1"), "training.step", "training.steps"),
        ((*RUN, "model.widht=1"), "widht", "width"),
        ((*RUN, "task.supervisoin=final"), "supervisoin", "supervision"),
        (("tran", "task=parity"), "tran", "train"),
        (("Grid",), "Grid", "grid"),
        ((*RUN, "--devcie", "cpu"), "--devcie", "--device"),
        (("status", "x.py", "--presett=cpu"), "--presett=cpu", "--preset"),
        (("--hlep",), "--hlep", "--help"),
        (("--version=1",), "--version=1", None),
        ((*RUN, "--device", "cpx"), "cpx", "cpu"),
        ((*RUN, "training.steps=0"), "training.steps", "1"),
        ((*RUN, "training.steps"), "training.steps", "key=value"),
        (("grid", "x.py", "--workers", "two"), "two", "whole number"),
        (("grid", "x.py", "--workers"), "--workers", None),
        (("grid",), "FILE", "statetrack grid --help"),
        (("train",), "KEY=VALUE", "statetrack train --help"),
        (("train", "task=parity"), "model", "model=diagonal"),
        (("results", "nowhere"), "nowhere", "results.sqlite"),
        (("analyze", "a.pt"), "a.pt", ".safetensors"),
        (("analyze", "nowhere.safetensors"), "nowhere.safetensors", None),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_that_names_it_and_the_nearest(capsys, arguments, named, nearest):
    line = refusal(capsys, *arguments)
    assert named in line
    if nearest is not None:
        assert nearest in line.replace(named, "", 1)


def test_unknown_preset_and_experiment_file(capsys, experiment):
    for command in ("grid", "status", "report"):
        line = refusal(capsys, command, experiment, "--preset", "smal")
        assert "unknown preset 'smal'" in line
        assert "did you mean 'small'" in line
        line = refusal(capsys, command, experiment.with_name("tow.py"))
        assert "unknown experiment file" in line
        assert "tow.py" in line
        assert f"did you mean {str(experiment)!r}" in line


@pytest.mark.parametrize(
    "content",
    [
        "PRESETS = ('a',)\n",
        "def grid(:\n",
        "PRESETS = ()\ndef grid(preset): ...\ndef figure(results): ...\n",
        "PRESETS = 'small'\ndef grid(preset): ...\ndef figure(results): ...\n",
        "\0",
    ],
    ids=["no grid", "syntax", "no presets", "text", "NUL"],
)
def test_a_broken_experiment_file_is_named_in_one_line(capsys, tmp_path, content):
    path = tmp_path / "broken.py"
    path.write_text(content)
    assert "broken.py" in refusal(capsys, "status", path)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('Grid.of("g", BASE * product({"sed": [1]}))', "unknown key 'sed': did you mean 'seed'"),
        ('Grid.of("g", BASE * product({"model.widht": [1]}))', "did you mean 'width'"),
        ('Grid.of("g", BASE * product({"training.steps": ["ten"]}))', "training.steps = 'ten'"),
        ('Grid.of("g", BASE * product({"training.steps": 10}))', "of type int: expected a list"),
        ('Grid.of("g", BASE * product({"seed": []}))', "axis 'seed' has no values"),
        ('Grid.of("g", BASE.without(lambda row: True))', "has 0 runs"),
        ('Grid.of("g", BASE * zipped({"seed": [1], "training.steps": [1, 2]}))', "unequal lengths"),
        ('Grid.of("g", BASE * product({"seed": [1, 1]}))', "names one run twice"),
        ('Grid.of("g", BASE * product({"seed": range(10**9)}))', "has 1000000000 runs"),
        ('Grid.of("../g", BASE)', "grid name '../g'"),
        ("[1, 2]", "grid('a') returned a list, expected a Grid"),
        ("SIZES[preset]", "mistaken.py, line 6: NameError: name 'SIZES' is not defined"),
        ("1 / 0", "mistaken.py, line 6: ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_mistake_in_a_grid_is_told_before_anything_starts(
    capsys, monkeypatch, tmp_path, body, says, options
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mistaken.py"
    path.write_text(
        "from statetrack.training import Grid, fixed, product, zipped\n"
        "PRESETS = {'a': None}\n"
        "BASE = fixed('task=parity', 'model=lstm')\n"
        "def figure(results): ...\n"
        "def grid(preset):\n"
        f"    return {body}\n"
    )
    assert says in refusal(capsys, "grid", path, *options)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_raises_is_told_with_its_line(capsys, tmp_path):
    path = tmp_path / "mistaken.py"
    path.write_text("import math\n\nPRESETS = (math.sqr(2),)\n")
    assert "mistaken.py, line 3: AttributeError" in refusal(capsys, "grid", path)


@pytest.mark.parametrize("pair", ["model.width=1000000000000000", "training.learning_rate=1e300"])
def test_a_run_that_cannot_be_made_is_said_without_a_traceback(capsys, pair):
    assert main([*RUN, *TINY[1:], pair]) in (EXIT_BAD_INPUT, EXIT_FAILED_RUNS)
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["model.pt", "file/model.safetensors"])
def test_a_checkpoint_that_cannot_be_kept_is_refused_before_training(capsys, tmp_path, name):
    (tmp_path / "file").write_text("mine")
    line = refusal(capsys, *RUN, *TINY, "--checkpoint", tmp_path / name)
    assert name in line
