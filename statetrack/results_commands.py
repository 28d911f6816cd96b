"""The commands that look at a grid: ``status``, ``results``, ``figure`` and ``report``."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from automata.errors import InputError, unknown_name
from statetrack.command_parser import (
    Commands,
    add_command,
    add_experiment,
    grid_command_line,
    path_argument,
    results_folder,
)

if TYPE_CHECKING:
    import pandas as pd

    from statetrack.experiment import Experiment
    from statetrack.training import Results

EXIT_INTERRUPTED = 130
COMPUTED = ("accuracy", "horizons", "solved", "comparisons", "failures")
FIGURE_FORMATS = (".png", ".pdf", ".svg")


def add_status(commands: Commands) -> None:
    """Add ``status``."""
    parser = add_command(
        commands,
        "status",
        "Say which runs of an experiment are solved, failed, running or left, and why some failed.",
        "experiments/eigenvalue_ranges.py --preset cpu --watch",
        _status,
    )
    add_experiment(parser)
    parser.add_argument("--watch", action="store_true", help="go on until no run is left")


def _status(options: argparse.Namespace) -> int:
    from statetrack.experiment import load_experiment, preset_grid
    from statetrack.training.status_view import show_status

    grid = preset_grid(load_experiment(options.file), options.preset)
    try:
        show_status(grid, results_folder(options, grid.name), sys.stdout, watch=options.watch)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def add_results(commands: Commands) -> None:
    """Add ``results``."""
    parser = add_command(
        commands,
        "results",
        "Print stored results, of all runs or of some, or write them as CSV or Parquet.",
        'runs/eigenvalue_ranges-cpu task=parity "seed<2" --show horizons',
        _results,
    )
    parser.add_argument("folder", type=path_argument, help="folder with results")
    parser.add_argument(
        "conditions",
        nargs="*",
        metavar="CONDITION",
        help='of runs such as task=s3, "seed<8", label!=LSTM, solved_step=none',
    )
    parser.add_argument(
        "--show",
        default="accuracy",
        metavar="TABLE",
        help=f"{', '.join(COMPUTED)}, or a stored table such as runs, curves, history, spectra",
    )
    parser.add_argument(
        "--csv", type=path_argument, metavar="FOLDER", help="write every stored table there"
    )
    parser.add_argument(
        "--parquet", type=path_argument, metavar="FOLDER", help="the same as Parquet"
    )


def _results(options: argparse.Namespace) -> int:
    from statetrack.training import export_results, load_results
    from statetrack.training.conditions import Condition

    conditions = [Condition.parse(text) for text in options.conditions]
    targets = [
        (folder, kind)
        for folder, kind in ((options.csv, "csv"), (options.parquet, "parquet"))
        if folder is not None
    ]
    if targets:
        results = load_results(options.folder, conditions)
        for folder, kind in targets:
            for path in export_results(results, folder, kind):
                print(path)
        return 0
    stored = ["curves"] if options.show in COMPUTED else [options.show]
    results = load_results(options.folder, conditions, stored)
    if results.runs.empty:
        raise InputError(f"no run in {options.folder} is of that kind")
    table = _table(results, options.show)
    if table.empty:
        print(f"no {options.show} among these {len(results.runs)} runs")
        return 0
    print(table.to_string(index=False, float_format="%.4g", na_rep="-"))
    return 0


def _table(results: "Results", name: str) -> "pd.DataFrame":
    from statetrack import report_tables
    from statetrack.analysis import with_variants

    if name == "runs":
        return results.runs
    if name in results.tables and name not in COMPUTED:
        return results.tables[name]
    if name == "failures":
        return report_tables.failure_table(with_variants(results.runs))
    if name == "solved":
        return report_tables.solved_table(with_variants(results.runs))
    if name not in COMPUTED:
        raise unknown_name("table", name, [*COMPUTED, "runs", "curves", "history", "spectra"])
    if results.finished.empty:
        raise InputError("no run is finished: ask for --show runs or --show failures")
    made: dict[str, Callable[[], pd.DataFrame]] = {
        "accuracy": lambda: report_tables.accuracy_overview(results),
        "horizons": lambda: report_tables.horizon_table(report_tables.reached_horizons(results)),
        "comparisons": lambda: report_tables.comparison_table(
            report_tables.comparisons(report_tables.reached_horizons(results))
        ),
    }
    return made[name]()


def add_figure(commands: Commands) -> None:
    """Add ``figure``."""
    parser = add_command(
        commands,
        "figure",
        "Draw the figure of an experiment from stored results, for a paper or a screen.",
        "experiments/eigenvalue_ranges.py --preset full "
        "--output experiments/results/eigenvalue_ranges-full --to figure.pdf",
        _figure,
    )
    add_experiment(parser)
    parser.add_argument(
        "--to",
        type=path_argument,
        default=Path("figure.pdf"),
        metavar="FILE",
        help="a name ending in .pdf (figure.pdf by default), .svg or .png",
    )


def _figure(options: argparse.Namespace) -> int:
    from statetrack.experiment import save_figure

    if options.to.suffix not in FIGURE_FORMATS:
        raise InputError(f"--to {options.to}: a figure's name ends in {', '.join(FIGURE_FORMATS)}")
    experiment, results, *_ = _stored(options)
    save_figure(experiment.figure(results), options.to)
    print(options.to)
    return 0


def add_report(commands: Commands) -> None:
    """Add ``report``."""
    parser = add_command(
        commands,
        "report",
        "Write figure, table and report again from stored results, without training.",
        "experiments/eigenvalue_ranges.py --preset full "
        "--output experiments/results/eigenvalue_ranges-full",
        _report,
    )
    add_experiment(parser)


def _report(options: argparse.Namespace) -> int:
    from statetrack.experiment import write_products

    experiment, results, folder, num_runs = _stored(options)
    command = grid_command_line(options)
    for name, path in write_products(experiment, results, folder, command, num_runs).items():
        print(f"{name:<8} {path}")
    return 0


def _stored(options: argparse.Namespace) -> "tuple[Experiment, Results, Path, int]":
    from statetrack.experiment import load_experiment, preset_grid
    from statetrack.training import load_results

    experiment = load_experiment(options.file)
    grid = preset_grid(experiment, options.preset)
    folder = results_folder(options, grid.name)
    results = load_results(folder).only([run.run_id for run in grid.runs])
    if results.finished.empty:
        raise InputError("no run is finished: there is nothing to draw yet")
    return experiment, results, folder, len(grid.runs)
