"""The command line: help, exit codes, and every command end to end."""

import importlib.metadata
import re
import shlex
import subprocess
import sys

import pytest

from statetrack import cli, results_commands
from statetrack.cli import EXIT_BAD_INPUT, EXIT_FAILED_RUNS, EXIT_INTERRUPTED, main
from statetrack.training import load_results
from statetrack.training.calibration import Calibration
from tests.cli_cases import RUN, TINY, refusal
from tests.launcher_cases import run_here

COMMANDS = (
    *("train", "grid", "status", "results", "figure", "report", "analyze", "doctor", "bench"),
)


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs of a grid without a pool of processes, and plans without a process that measures."""

    def measure_nothing(runs, device, **options):
        return Calibration(device, 10**9, {})

    monkeypatch.setattr("statetrack.training.LocalLauncher.run", lambda _, *run: run_here(*run))
    monkeypatch.setattr("statetrack.training.calibration.calibrate", measure_nothing)


def test_output_that_nobody_reads_ends_a_command_quietly(experiment):
    """As in `statetrack status FILE | head -1`."""
    command = [sys.executable, "-m", "statetrack.cli", "status", str(experiment)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as told:
        told.stdout.close()
        assert told.stderr.read() == ""
    assert told.returncode == 141


def test_a_broken_pipe_to_a_worker_is_not_taken_for_closed_output(capsys, monkeypatch, experiment):
    def fail(options):
        raise BrokenPipeError("a worker died")

    monkeypatch.setattr(results_commands, "_status", fail)
    with pytest.raises(BrokenPipeError, match="a worker died"):
        main(["status", str(experiment)])


def test_help_of_every_command_shows_an_example(capsys):
    for arguments in ([], *([command] for command in COMMANDS)):
        with pytest.raises(SystemExit) as exit_:
            main([*arguments, "--help"])
        assert exit_.value.code == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"example: {' '.join(['statetrack', *arguments])} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_in_the_help_is_a_valid_command_line(capsys, monkeypatch, command):
    """Options exist, and an output folder named after a preset is read with that preset."""
    monkeypatch.setenv("COLUMNS", "200")  # else the help breaks lines inside of file names
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    examples = re.search(r"example: statetrack (.*)", text)[1].replace(" \\ ", " ")
    for example in examples.split(" statetrack "):
        _check_example(command, cli._parse(shlex.split(example)), shlex.split(example))


def _check_example(command, options, words):
    from statetrack.experiment import load_experiment, preset_grid

    assert words[0] == command
    if command == "train":
        from statetrack.training import RunConfig

        assert RunConfig.from_pairs(options.pairs).seed == 1
    if command in ("grid", "status", "report") and options.output is not None:
        grid = preset_grid(load_experiment(options.file), options.preset)
        assert grid.name == options.output.name


def test_a_dry_run_says_packs_memory_and_time_and_writes_nothing(
    capsys, tmp_path, experiment, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", str(experiment), "--dry-run", "--workers", "1", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "two-small: 2 runs, 2 to run"
    assert lines[1] == "2 packs of 1 run, 1 shape, on 1 worker on cpu"
    assert re.match(r"memory: at most [\d.]+[kM]B a pack, .* are free$", lines[2])
    assert re.match(r"time: about \d+ s .* from a few steps of 1 of 1 shape; ", lines[3])
    arguments = ("--launcher", "slurm", "--parallelism", "2", "--elements", "4", "--gpus", "1")
    assert main(["grid", str(experiment), "--dry-run", *arguments]) == 0
    assert "at most 2 Slurm jobs at once, 1 worker on cuda each" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_no_command_shows_the_help_and_fails(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == EXIT_BAD_INPUT
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


def test_the_installed_program_is_this_one():
    try:
        entries = importlib.metadata.entry_points(group="console_scripts", name="statetrack")
    except importlib.metadata.PackageNotFoundError:
        entries = ()
    if not entries:
        pytest.skip("statetrack is not installed here, only its sources are on the path")
    assert {entry.value for entry in entries} == {"statetrack.cli:main"}


def test_an_interruption_is_one_line_and_130(capsys, monkeypatch):
    def interrupt(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("statetrack.training.execute.train", interrupt)
    assert main([*RUN, *TINY]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err.splitlines() == [
        "statetrack: stopped; nothing finished is lost, the same command goes on from here"
    ]


def test_train_and_analyze(capsys, tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    arguments = ["train", "task=s3", "model=diagonal", *TINY, "--checkpoint", str(checkpoint)]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "s3, diagonal [-1,1]" in output
    lengths = re.findall(r"^ +(\d+)  [01]\.\d{3} +[01]\.\d{3} +[01]\.\d{3}$", output, re.MULTILINE)
    assert [int(n) for n in lengths] == [1, 2, 4, 8, 16, 18, 32, 40]
    assert main(["analyze", str(checkpoint), "--tables"]) == 0
    output = capsys.readouterr().out
    assert "spectra\n" in output
    assert "homomorphism\n" in output
    another = tmp_path / "lstm.safetensors"
    run = ["train", "task=s3", "model=lstm", *TINY, "--checkpoint"]
    assert "holds another run" in refusal(capsys, *run, checkpoint)
    assert main([*run, str(another)]) == 0
    assert "lstm has no linear transitions" in refusal(capsys, "analyze", another, "--tables")


def test_a_failed_training_is_exit_code_1(capsys):
    code = main([*RUN, *TINY, "training.learning_rate=1e30"])
    assert code == EXIT_FAILED_RUNS
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"failed: loss is (nan|inf) at step 4; try a lower learning rate", line)


def test_grid_status_results_report(capsys, tmp_path, experiment, in_this_process):
    folder = tmp_path / "out"
    where = [str(experiment), "--output", str(folder)]
    assert main(["grid", *where, "--dry-run"]) == 0
    assert "2 runs, 2 to run" in capsys.readouterr().out
    assert not folder.exists()
    assert main(["status", *where]) == 0
    assert "0 finished, 0 failed, 2 missing" in capsys.readouterr().out

    assert main(["grid", *where]) == EXIT_FAILED_RUNS
    output = capsys.readouterr()
    assert "1 of 2 runs failed" in output.err
    products = dict(line.split(maxsplit=1) for line in output.out.splitlines())
    assert set(products) == {"figure", "table", "report", "results"}
    report = (folder / "report.html").read_text()
    assert "Runs that failed" in report
    assert "try a lower learning rate" in report
    again = shlex.join(["statetrack", "grid", *where])
    assert again in report

    assert main(["grid", *where]) == EXIT_FAILED_RUNS  # the failed one is not tried again ...
    assert "2 already in the store" in capsys.readouterr().err
    assert main(["grid", *where, "--retry-failed", "--dry-run"]) == 0  # ... unless asked
    assert "2 runs, 1 already in the store, 1 to run" in capsys.readouterr().out

    assert main(["status", *where]) == 0
    output = capsys.readouterr().out
    assert "1 finished, 1 failed, 0 missing; 0 stored runs belong to no run" in output
    assert re.search(r"^failed [0-9a-f]{16}: loss is .* \(s3, diagonal", output, re.MULTILINE)

    assert main(["results", str(folder)]) == 0
    assert "diagonal [-1,1]" in capsys.readouterr().out
    assert main(["results", str(folder), "--csv", str(tmp_path / "csv")]) == 0
    written = capsys.readouterr().out.split()
    assert str(tmp_path / "csv" / "curves.csv") in written
    assert load_results(tmp_path / "csv").runs.status.tolist() == ["finished", "failed"]
    parquet = tmp_path / "parquet"
    assert main(["results", str(folder), "status=failed", "--parquet", str(parquet)]) == 0
    capsys.readouterr()
    assert load_results(parquet).runs.status.tolist() == ["failed"]
    for name, part in (
        ("horizons", "never fell below"),
        ("solved", "0 of 1"),
        ("comparisons", "learning rate"),
        ("failures", "try a lower learning rate"),
        ("runs", "run_id"),
        ("curves", "majority_rate"),
        ("spectra", "modulus"),
    ):
        assert main(["results", str(folder), "--show", name]) == 0
        shown = capsys.readouterr().out
        assert part in shown or (name == "comparisons" and "no comparisons" in shown)
    assert "unknown table 'horizon'" in refusal(capsys, "results", folder, "--show", "horizon")
    assert "no run in" in refusal(capsys, "results", folder, "seed=77")
    assert "no condition" in refusal(capsys, "results", folder, "seed")
    failed = ("results", folder, "status=failed")
    assert "no run is finished: ask for --show runs" in refusal(capsys, *failed)

    drawn = {name: (folder / name).read_bytes() for name in ("figure.png", "table.csv")}
    for name in (*drawn, "report.html"):
        (folder / name).unlink()
    for ending in ("pdf", "svg", "png"):
        drawing = tmp_path / f"drawn.{ending}"
        assert main(["figure", *where, "--to", str(drawing)]) == 0
        assert capsys.readouterr().out.strip() == str(drawing)
        content = drawing.read_bytes()
        main(["figure", *where, "--to", str(drawing)])
        capsys.readouterr()
        assert drawing.read_bytes() == content
    assert "ends in .png, .pdf, .svg" in refusal(capsys, "figure", *where, "--to", "a.jpg")
    assert "nowhere" in refusal(capsys, "figure", *where, "--to", tmp_path / "nowhere" / "a.svg")
    assert main(["report", *where]) == 0
    assert {name: (folder / name).read_bytes() for name in drawn} == drawn
    assert (folder / "report.html").read_text() == report
    capsys.readouterr()
    assert "no run is finished" in refusal(capsys, "report", *where, "--preset", "other")


def test_status_counts_stale_rows(capsys, tmp_path, experiment, in_this_process):
    folder = tmp_path / "out"
    assert main(["grid", str(experiment), "--preset", "other", "--output", str(folder)]) == 0
    capsys.readouterr()
    assert main(["status", str(experiment), "--output", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "0 finished, 0 failed, 2 missing; 1 stored runs belong to no run" in output


def test_files_in_the_place_of_folders(capsys, tmp_path, experiment, in_this_process):
    (tmp_path / "file").write_text("mine")
    assert "file" in refusal(capsys, "grid", experiment, "--output", tmp_path / "file")
    main(["grid", str(experiment), "--preset", "other", "--output", str(tmp_path / "out")])
    assert "file" in refusal(capsys, "results", tmp_path / "out", "--csv", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--launcher", "slrum"), "unknown launcher 'slrum': did you mean 'slurm'"),
        (("--partition", "gpu"), "--partition is an option of --launcher slurm"),
        (("--launcher", "ray", "--time", "60"), "--time is an option of --launcher slurm"),
        (("--launcher", "slurm", "--address", "auto"), "--address is an option of --launcher ray"),
        (("--launcher", "slurm", "--time", "1h"), "'1h' is not a whole number >= 1"),
        (("--launcher", "slurm", "--gpus", "0"), "'0' is not a whole number >= 1"),
        (("--launcher", "slurm", "--device", "cuda"), "give --gpus instead"),
        (("--launcher", "ray", "--device", "cuda:1"), "Ray places the workers"),
    ],
)
def test_options_of_launchers_are_checked(capsys, experiment, options, says):
    assert says in refusal(capsys, "grid", experiment, *options)
