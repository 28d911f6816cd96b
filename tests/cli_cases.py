"""What tests of the command line share: an experiment of two runs, and how a refusal looks."""

from statetrack.cli import EXIT_BAD_INPUT, main

TINY = (
    "model.width=8",
    "training.steps=4",
    "training.length=18",
    "training.batch_size=4",
    "training.select_words=16",
    "evaluation.max_length=40",
    "evaluation.num_words=64",
)
RUN = ("train", "task=parity", "model=diagonal")
EXPERIMENT = f'''"""Two runs, one of them bad.

Which?
"""

from matplotlib.figure import Figure

from statetrack.training import Grid

PRESETS = ("small", "other")


def grid(preset):
    base = ["task=s3", "model=diagonal", *{TINY!r}]
    rates = ["0.01", "1e30"] if preset == "small" else ["0.02"]
    return Grid.product(f"two-{{preset}}", base, {{"training.learning_rate": rates}})


def figure(results):
    figure = Figure()
    figure.subplots().plot([0, 1])
    return figure
'''


def refusal(capsys, *arguments):
    """The one line on standard error of a command line with exit code 2."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == EXIT_BAD_INPUT
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 1, output.err
    assert lines[0].startswith("statetrack: ")
    return lines[0]
