"""An experiment is a Python file: ``grid(preset)`` says what to run, ``figure(results)`` draws it.

This module finds such a file, runs it, and writes what a person looks at: figure, table, report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from automata.errors import InputError, unknown_name
from statetrack.analysis import (
    ReportFigure,
    ReportSection,
    ReportTable,
    accuracy_table,
    best_runs,
    write_report,
)
from statetrack.atomic_files import write_atomically
from statetrack.source_files import import_file, raised_in
from statetrack.training.grid import Grid
from statetrack.training.results import OVERVIEW_NAME, Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE_LENGTHS = 4


@dataclass(frozen=True)
class Experiment:
    """One experiment file.

    Attributes
    ----------
    path : Path
    title, question : str
        First line and rest of the file's docstring.
    presets : tuple of str
        Sizes it comes in, the first is the default.
    grid : callable
        ``grid(preset) -> Grid``.
    figure : callable
        ``figure(results) -> matplotlib Figure``.
    """

    path: Path
    title: str
    question: str
    presets: tuple[str, ...]
    grid: Callable[[str], Grid]
    figure: Callable[[Results], "Figure"]


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment file.

    Raises
    ------
    InputError
        No such file, or it lacks ``PRESETS``, ``grid`` or ``figure``.
    """
    file = Path(path)
    module = import_file(file)
    for name in ("PRESETS", "grid", "figure"):
        if not hasattr(module, name):
            raise InputError(f"experiment file {path} defines no {name}")
    presets = module.PRESETS
    is_listed = isinstance(presets, tuple | list | Mapping)
    if not (is_listed and presets and all(isinstance(preset, str) for preset in presets)):
        raise InputError(
            f"experiment file {path}: PRESETS must be a tuple of names, or a dict by name"
        )
    title, _, question = (module.__doc__ or file.stem).strip().partition("\n")
    return Experiment(
        file, title.rstrip("."), _unwrap(question), tuple(presets), module.grid, module.figure
    )


def _unwrap(text: str) -> str:
    """Paragraphs without the line breaks of the source."""
    return "\n\n".join(" ".join(block.split()) for block in text.strip().split("\n\n"))


def preset_grid(experiment: Experiment, preset: str | None) -> Grid:
    """Grid of a preset, the first one by default.

    Raises
    ------
    InputError
        Unknown preset, a mistake in the grid, or whatever else the file raises, in one line.
    """
    chosen = preset or experiment.presets[0]
    if chosen not in experiment.presets:
        raise unknown_name("preset", chosen, experiment.presets)
    try:
        grid = experiment.grid(chosen)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a file of the user raises is told in a line
        raise raised_in(experiment.path, error) from None
    if not isinstance(grid, Grid):
        raise InputError(
            f"experiment file {experiment.path}: grid({chosen!r}) returned a "
            f"{type(grid).__name__}, expected a Grid"
        )
    return replace(grid, source=experiment.path)


def write_products(
    experiment: Experiment, results: Results, folder: str | Path, command: str
) -> dict[str, Path]:
    """Write the figure, the table and the report.

    Parameters
    ----------
    experiment : Experiment
    results : Results
    folder : str or Path
    command : str
        The command line that makes the results again.

    Returns
    -------
    dict of str to Path
        What was written: "figure", "table", "report".

    Raises
    ------
    InputError
        No run is finished.
    """
    if results.finished.empty:
        raise InputError("no run is finished: there is nothing to draw yet")
    place = Path(folder)
    figure = experiment.figure(results)
    figure_path = place / "figure.png"
    figure.savefig(figure_path, dpi=300, facecolor="white", metadata={"Software": None})
    table = accuracy_overview(results)
    table_path = place / OVERVIEW_NAME
    write_atomically(table_path, table.to_csv(index=False, float_format="%.4f").encode())
    report_path = write_report(
        place / "report.html",
        experiment.title,
        [
            ReportFigure(
                figure, alt=f"{experiment.title}. {_best(table)}", caption=_caption(results)
            )
        ],
        report_tables(results, table),
        provenance_rows(results),
        failures(results),
        question=experiment.question,
        command=command,
    )
    return {"figure": figure_path, "table": table_path, "report": report_path}


def accuracy_overview(results: Results) -> pd.DataFrame:
    """Accuracy at the training length and up to the longest, best and median, with horizons."""
    curves = results.table("curves")
    longest = int(curves.length.max())
    trained = int(results.finished.training_length.max())
    wanted = [trained, *(trained * 2**k * 8 // 5 // 8 * 8 for k in range(0, 12))]
    measured = set(curves.groupby("length").run_id.nunique().loc[lambda n: n == n.max()].index)
    lengths = sorted({n for n in wanted if n in measured and n < longest} | {longest})
    if len(lengths) > TABLE_LENGTHS:
        lengths = [*lengths[: TABLE_LENGTHS - 1], longest]
    return accuracy_table(results.finished, curves, lengths)


def report_tables(results: Results, accuracy: pd.DataFrame) -> list[ReportTable]:
    """Tables of the report: token accuracy, whole-prefix accuracy, homomorphism errors, runs."""
    curves = results.table("curves")
    lengths = [int(c.removeprefix("best at ")) for c in accuracy if c.startswith("best at ")]
    whole = accuracy_table(results.finished, curves, lengths, metric="whole_prefix_accuracy")
    tables = [
        ReportTable(
            "Token accuracy at position L",
            accuracy,
            "Accuracy at that position alone. Horizon: the longest length with accuracy at least "
            ".99 at every length up to it.",
        ),
        ReportTable(
            "Whole-prefix accuracy at L",
            whole,
            "Share of words with every position up to L right.",
        ),
    ]
    homomorphism = results.table("homomorphism")
    if not homomorphism.empty:
        tables.append(
            ReportTable(
                "Learned matrices against the group table",
                homomorphism_overview(results),
                "Best seed of every model, the most faithful head. Error: root mean square of "
                "M_p M_q - M_pq over the whole table, on the subspace that outlives long words and "
                "that the head moves; separation: the same of M_p - M_q for different elements. "
                "A non-trivial irreducible orthogonal representation of a group with n elements "
                "has error 0 and separation sqrt(2n / (n - 1)): 2 for parity, 1.55 for S3. "
                "Matrices of MRUs are taken up to scale, which their readout does not see.",
                {"error": ".2e", "separation": ".3f"},
            )
        )
    shown = ["task", "label", "seed", "status", "solved_step", "final_loss"]
    shown += ["report_loss", "report_bits", "seconds"]
    runs = results.runs[[name for name in shown if name in results.runs]]
    formats = {"final_loss": ".1e", "report_loss": ".3f", "report_bits": ".3f", "seconds": ".0f"}
    tables.append(
        ReportTable("All runs", runs, formats={k: v for k, v in formats.items() if k in runs})
    )
    return tables


def homomorphism_overview(results: Results) -> pd.DataFrame:
    """For the best seed of every model the head whose matrices multiply most like the group."""
    best = best_runs(results.finished, results.table("curves"))
    joined = best[["run_id", "task", "label", "seed"]].merge(
        results.table("homomorphism"), on="run_id"
    )
    rank = joined.verdict.map(_verdict_rank)
    order = joined.assign(rank=rank).sort_values(["rank", "ratio"], kind="stable")
    chosen = order.drop_duplicates(["task", "label"]).sort_index()
    chosen = chosen.sort_values(
        "task", key=lambda tasks: tasks.map(_first_places(tasks)), kind="stable"
    )
    columns = ["task", "label", "seed", "layer", "head", "dimension", "error", "separation"]
    return chosen[[*columns, "verdict"]].reset_index(drop=True)


def _first_places(values: "pd.Series[Any]") -> dict[Any, int]:
    return {value: place for place, value in enumerate(values.unique())}


def _verdict_rank(verdict: str) -> int:
    """Place of a head among its fellows: faithful, sees a quotient, the rest."""
    if verdict == "faithful":
        return 0
    return 1 if verdict.startswith("sees") else 2


def provenance_rows(results: Results) -> dict[str, object]:
    """What the numbers were measured with, as rows of a table."""
    rows: dict[str, object] = {}
    for number, entry in enumerate(results.provenance, start=1):
        suffix = f" ({number})" if len(results.provenance) > 1 else ""
        versions = ", ".join(f"{name} {text}" for name, text in entry["versions"].items())
        changed = " with uncommitted changes" if entry["uncommitted_changes"] else ""
        rows |= {
            f"runs{suffix}": entry["num_runs"],
            f"device{suffix}": entry["device"],
            f"processors and threads a run{suffix}": (
                f"{entry['num_processors']}, {entry['threads']}"
            ),
            f"versions{suffix}": versions,
            f"commit{suffix}": f"{entry['commit'] or 'unknown'}{changed}",
            f"time (UTC){suffix}": f"{entry['first']} to {entry['last']}",
        }
    seeds = sorted(int(seed) for seed in results.finished.seed.unique())
    rows["seeds"] = ", ".join(map(str, seeds))
    return rows


def failures(results: Results) -> Sequence[ReportSection]:
    """A section on runs that failed, when some did."""
    failed = results.runs[results.runs.status == "failed"]
    if failed.empty:
        return ()
    lines = [
        f"{run.task}, {run.label}, seed {run.seed}: {run.error}" for run in failed.itertuples()
    ]
    return (ReportSection("Runs that failed", "\n\n".join(lines)),)


def _caption(results: Results) -> str:
    runs = results.finished
    curves = results.table("curves")
    return (
        f"Trained at length {_span(runs.training_length)}, measured on "
        f"{_span(curves.num_words)} fresh words of length {int(curves.length.max())}, "
        f"{runs.seed.nunique()} seeds."
    )


def _span(values: "pd.Series[Any]") -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _best(table: pd.DataFrame) -> str:
    """The figure's main numbers in words, for those who cannot see it."""
    last = [name for name in table if name.startswith("best at ")][-1]
    length = last.removeprefix("best at ")
    parts = [f"{row['task']} {row['label']} {row[last]:.2f}" for _, row in table.iterrows()]
    return f"Best token accuracy at length {length}: {'; '.join(parts)}."
