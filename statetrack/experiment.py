"""An experiment is a Python file: ``grid(preset)`` says what to run, ``figure(results)`` draws it.

This module finds such a file, runs it, and writes what a person looks at: figure, table, report.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from automata.errors import InputError, unknown_name
from statetrack.atomic_files import write_atomically
from statetrack.grid_report import write_grid_report
from statetrack.report_tables import accuracy_overview
from statetrack.source_files import import_file, raised_in
from statetrack.training.grid import Grid
from statetrack.training.results import OVERVIEW_NAME, Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TABLES_NAME = "tables"


def no_tables(results: Results) -> Mapping[str, "pd.DataFrame"]:
    """What an experiment has that makes no tables of its own."""
    return {}


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
    readings : tuple of str
        ``READINGS`` of the file, which the figure needs: what `statetrack read` reads of the runs.
    tables : callable
        ``tables(results) -> mapping of name to DataFrame`` of the file: its own tables, none by
        default. One named ``published`` is a frame of `statetrack.analysis.compare_published`.
    """

    path: Path
    title: str
    question: str
    presets: tuple[str, ...]
    grid: Callable[[str], Grid]
    figure: Callable[[Results], "Figure"]
    readings: tuple[str, ...] = ()
    tables: Callable[[Results], Mapping[str, "pd.DataFrame"]] = no_tables


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
        file,
        title.rstrip("."),
        _unwrap(question),
        tuple(presets),
        module.grid,
        module.figure,
        tuple(getattr(module, "READINGS", ())),
        getattr(module, "tables", no_tables),
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
    experiment: Experiment,
    results: Results,
    folder: str | Path,
    command: str,
    num_runs: int | None = None,
) -> dict[str, Path]:
    """Write the figure, the tables and the report.

    Parameters
    ----------
    experiment : Experiment
    results : Results
    folder : str or Path
    command : str
        The command line that makes the results again.
    num_runs : int, optional
        Runs of the grid, where some may be missing among the results.

    Returns
    -------
    dict of str to Path
        What was written: "figure", "table", "report", and "tables", the folder of the experiment's
        own, where it has some.

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
    save_figure(figure, figure_path)
    table = accuracy_overview(results)
    table_path = place / OVERVIEW_NAME
    write_atomically(table_path, table.to_csv(index=False, float_format="%.4f").encode())
    own_tables = experiment.tables(results)
    if own_tables:
        (place / TABLES_NAME).mkdir(exist_ok=True)
    for name, frame in own_tables.items():
        content = frame.to_csv(index=False, float_format="%.4f").encode()
        write_atomically(place / TABLES_NAME / f"{name}.csv", content)
    report_path = write_grid_report(
        place / "report.html",
        experiment.title,
        experiment.question,
        figure,
        results,
        command,
        num_runs,
        own_tables,
    )
    written = {"figure": figure_path, "table": table_path, "report": report_path}
    return written | ({"tables": place / TABLES_NAME} if own_tables else {})


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure, the same bytes for the same results.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        Ends in .png, .pdf or .svg.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    import matplotlib as mpl

    kept = {".png": "Software", ".pdf": "CreationDate", ".svg": "Date"}[path.suffix]
    try:
        with mpl.rc_context({"svg.hashsalt": path.name}):
            figure.savefig(path, dpi=300, facecolor="white", metadata={kept: None})
    except OSError as error:
        raise InputError(f"figure {path}: {error.strerror or error}") from None
