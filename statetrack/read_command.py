"""The command ``statetrack read``: what an experiment reads of its trained models, on the CPU."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from automata.errors import InputError
from statetrack.command_parser import (
    Commands,
    add_command,
    add_experiment,
    grid_command_line,
    positive,
    results_folder,
)

if TYPE_CHECKING:
    from statetrack.experiment import Experiment
    from statetrack.training import Grid


def add_read(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "read",
        "Read of the trained models of an experiment what its figure needs and is missing, on the "
        "CPU, then write figure, table and report. Nothing is trained.",
        "experiments/horizon.py --preset gpu --workers 16",
        _read,
    )
    add_experiment(parser)
    parser.add_argument(
        "--workers", type=positive, help="processes side by side; one a processor by default"
    )


def _read(options: argparse.Namespace) -> int:
    from statetrack.experiment import load_experiment, preset_grid

    experiment = load_experiment(options.file)
    if not experiment.readings:
        raise InputError(f"experiment file {options.file} has no READINGS: nothing is to be read")
    grid = preset_grid(experiment, options.preset)
    folder = results_folder(options, grid.name)
    write_what_was_read(experiment, grid, folder, grid_command_line(options), options.workers)
    return 0


def write_what_was_read(
    experiment: "Experiment", grid: "Grid", folder: Path, command: str, num_workers: int | None
) -> None:
    """Read what is missing, then write tables, figure and report, and print where they are.

    Of a grid that is not finished, what is there is read and written, and what is not is said.

    Parameters
    ----------
    experiment : Experiment
    grid : Grid
    folder : Path
        Of the results.
    command : str
        The command line that makes the results again.
    num_workers : int, optional
        Processes that read.
    """
    from statetrack.experiment import write_products
    from statetrack.training import export_results, load_results
    from statetrack.training.readings import read_grid

    if experiment.readings:
        read_grid(
            grid,
            folder,
            experiment.readings,
            num_workers=num_workers,
            tell=lambda line: print(line, file=sys.stderr),
        )
    results = load_results(folder).only([run.run_id for run in grid.runs])
    export_results(results, folder)
    products = write_products(experiment, results, folder, command, len(grid.runs))
    for name, path in {**products, "results": folder}.items():
        print(f"{name:<8} {path}")
    left = len(grid.runs) - len(results.finished)
    if left:
        line = f"{left} of {len(grid.runs)} runs are not finished: these are results of the others"
        print(line, file=sys.stderr)
