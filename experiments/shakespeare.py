"""Input methods of the MRU on the characters of a text.

The author of the Matrix Recurrent Unit compared its input methods with attention and with a network
without time, by their loss on tiny Shakespeare: which ways to make a matrix of a token learn a
language, and which have loss spikes? Here every input method, a transformer, linear attention and
an FFN have one mixing layer of width 256 each, are trained on windows of 256 characters and
measured on a part of the text that nothing else sees.

After the post: one mixer at width 256. After the code of mru-lm: readout, initial weights and
learning rates of the MRU, and the settings of its training on this text at width 384. Not after the
post: it has four MLPs, and here one holds as many weights (16 times the width; the FFN has two of 8
times, and no mixer); its heads and steps are not known, and 4 heads of order 8 are taken;
there is no dropout, norms are RMS norms, and the embedding is not tied to the head.

The text is no part of the project: the environment variable STATETRACK_TEXT names the file, or the
folder of a tinyshakespeare.txt or input.txt.
"""

import os
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from seaborn import color_palette

from automata.errors import InputError
from statetrack.analysis import loss_spikes
from statetrack.training import Grid, Results

PRESETS = ("post", "cpu", "smoke")
VARIABLE = "STATETRACK_TEXT"
FILES = ("tinyshakespeare.txt", "input.txt")
FAMILIES = {
    "MRU, orthogonal": ("exponential", "cayley", "householder"),
    "MRU, triangular factors": ("ldu", "qr_exponential", "qr_cayley"),
    "MRU, others": ("residual", "determinant", "newton_schulz"),
}
METHODS = tuple(method for methods in FAMILIES.values() for method in methods)
BASELINES = ("transformer", "linear_attention", "ffn")
DASHES = {"transformer": "-", "linear_attention": (0, (4, 1.5)), "ffn": (0, (1, 1.2))}
MARKERS = "osD"


def text_file() -> Path:
    """The text that the environment names.

    Raises
    ------
    InputError
        The variable is not set, or there is no text.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        raise InputError(
            f"{VARIABLE} is not set: let it name a text file, or the folder of a "
            f"{' or '.join(FILES)}"
        )
    for path in [Path(given), *(Path(given, name) for name in FILES)]:
        if path.is_file():
            return path
    raise InputError(
        f"{VARIABLE} = {given!r}: no file, and no {' or '.join(FILES)} in such a folder"
    )


def grid(preset: str) -> Grid:
    """Runs of a preset.

    ``post`` is the experiment (36 runs, a GPU); ``cpu`` is a quarter as wide and long, with
    fewer and shorter steps, for a few cores (24 runs); ``smoke`` only shows that
    everything works (2 runs).
    """
    name = f"shakespeare-{preset}"
    base = [
        f'task.path="{text_file().as_posix()}"',
        "task=text",
        "evaluation.read_transitions=false",
    ]
    if preset == "smoke":
        small = [
            "model.width=16",
            "training.length=18",
            "training.batch_size=4",
            "training.steps=30",
            "training.select_every=10",
            "training.select_words=16",
            "evaluation.max_length=20",
            "evaluation.num_words=64",
        ]
        return Grid.product(name, [*base, *small], {"model": ["mru", "ffn"]})
    is_full = preset == "post"
    width, length = (256, 256) if is_full else (64, 64)
    base += [
        f"model.width={width}",
        f"training.length={length}",
        f"training.batch_size={64 if is_full else 8}",
        f"training.steps={5000 if is_full else 300}",
        f"training.learning_rate={1e-3 if is_full else 4e-3}",
        f"training.warmup_steps={100 if is_full else 50}",
        "training.final_rate_share=0.1",
        "training.weight_decay=0.1",
        "training.beta2=0.99",
        "training.published_rates=true",
        f"training.select_every={50 if is_full else 10}",
        f"training.select_words={256 if is_full else 8}",
        f"evaluation.max_length={length}",
        f"evaluation.num_words={4096 if is_full else 512}",
    ]
    seeds = {"seed": range(3 if is_full else 2)}
    head = 8 if is_full else 4
    mru = [
        "model=mru",
        "model.mlp_ratio=16",
        "model.num_heads=4",
        f"model.head_size={head}",
        "model.readout=linear",
        f"model.readout_size={width // (4 * head)}",
        "model.initialisation=identity",
    ]
    attention = ["model.mlp_ratio=16", "model.num_heads=4", f"model.head_size={width // 4}"]
    return (
        Grid.product(name, [*base, *mru], {"model.input_method": METHODS, **seeds})
        + Grid.product(name, [*base, *attention], {"model": BASELINES[:2], **seeds})
        + Grid.product(name, [*base, "model=ffn", "model.mlp_ratio=8"], seeds)
    )


def figure(results: Results) -> Figure:
    """Training loss over steps: input methods by family, the same baselines in every panel."""
    runs = results.finished
    curves = results.table("history").merge(runs[["run_id"]], on="run_id")
    method = runs["model.input_method"].where(runs.model == "mru")
    names = method.fillna(runs.model)
    spikes = loss_spikes(curves).run_id.value_counts()
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    panels = figure.subplots(1, len(FAMILIES), sharey=True)
    palette = color_palette("colorblind", 3)
    for axes, (title, methods) in zip(panels, FAMILIES.items(), strict=True):
        for baseline in BASELINES:
            style = {"color": "0.35", "linestyle": DASHES[baseline], "linewidth": 1.3}
            _draw(axes, curves, runs[names == baseline], spikes, baseline, style)
        for color, marker, name in zip(palette, MARKERS, methods, strict=True):
            style = {"color": color, "marker": marker, "markersize": 4, "linewidth": 1.8}
            _draw(axes, curves, runs[names == name], spikes, name, style)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            frameon=False, fontsize=7.5, title="report loss; spikes a run", title_fontsize=7.5
        )
    panels[0].set_ylabel("training loss (nats a character)\nmedian over seeds; thin: one seed")
    return figure


def _draw(
    axes: Axes,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    spikes: "pd.Series[int]",
    name: str,
    style: dict[str, object],
) -> None:
    """Every run of one model thin, their median thick; the measured loss in the legend."""
    if runs.empty:
        return
    own = curves[curves.run_id.isin(runs.run_id)]
    for _, curve in own.groupby("run_id"):
        axes.plot(curve.step, curve.loss, color=style["color"], linewidth=0.5, alpha=0.4)
    median = own.groupby("step").loss.median()
    count = spikes.reindex(runs.run_id, fill_value=0).mean()
    label = f"{name.replace('_', ' ')}: {runs.report_loss.median():.2f}; {count:.3g}"
    axes.plot(median.index, median, label=label, markevery=max(1, len(median) // 8), **style)
