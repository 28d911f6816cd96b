"""The command ``statetrack grid``: its launchers, their options, the plan, and the run."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automata.errors import InputError, unknown_name
from statetrack.command_parser import (
    CommandParser,
    Commands,
    add_command,
    add_device,
    add_experiment,
    grid_command_line,
    path_argument,
    positive,
    results_folder,
)

if TYPE_CHECKING:
    from statetrack.training.calibration import Calibration
    from statetrack.training.config import RunConfig
    from statetrack.training.grid import Grid
    from statetrack.training.grid_plan import GridPlan

EXIT_FAILED_RUNS = 1
LAUNCHERS = ("local", "ray", "slurm")
OWN_OPTIONS = {
    "ray": ("address",),
    "slurm": (
        "partition",
        "account",
        "time",
        "gpus",
        "memory",
        "elements",
        "parallelism",
        "shared_folder",
    ),
}
EXAMPLES = """experiments/eigenvalue_ranges.py --preset cpu
         statetrack grid experiments/range_steepness.py --preset full --dry-run
         statetrack grid experiments/range_steepness.py --preset full --launcher ray --address auto
         statetrack grid experiments/range_steepness.py --preset full --launcher slurm \\
             --partition gpu --gpus 1 --time 240 --parallelism 8"""


def add_grid(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "grid",
        "Run what is missing of an experiment, read what it reads of the trained models, and write "
        "its figure, table and report.",
        EXAMPLES,
        _grid,
    )
    add_experiment(parser)
    parser.add_argument(
        "--launcher", default="local", metavar="NAME", help="local (default), ray or slurm"
    )
    parser.add_argument(
        "--workers", type=positive, help="processes that train side by side; with slurm, of a job"
    )
    parser.add_argument(
        "--pack-size", type=positive, help="most runs of equal shape that are trained as one"
    )
    parser.add_argument(
        "--log",
        action="append",
        metavar="LOGGER",
        help="jsonl (default), tensorboard, wandb or trackio; may be given several times",
    )
    parser.add_argument("--retry-failed", action="store_true", help="run failed runs again")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what would run, in which packs, and what a few steps of each shape cost",
    )
    add_device(parser)
    ray = parser.add_argument_group("with --launcher ray")
    ray.add_argument("--address", help="of a running cluster: auto, HOST:PORT or ray://HOST:PORT")
    _add_slurm(parser)


def _add_slurm(parser: CommandParser) -> None:
    slurm = parser.add_argument_group("with --launcher slurm")
    slurm.add_argument("--partition", help="of the cluster")
    slurm.add_argument("--account", help="that is charged")
    slurm.add_argument("--time", type=positive, metavar="MINUTES", help="limit of a job (60)")
    slurm.add_argument("--gpus", type=positive, help="of a job; none by default")
    slurm.add_argument("--memory", type=positive, metavar="GB", help="of a job")
    slurm.add_argument("--elements", type=positive, help="most jobs of an array (16)")
    slurm.add_argument("--parallelism", type=positive, help="most jobs at the same time (16)")
    slurm.add_argument(
        "--shared-folder",
        type=path_argument,
        metavar="FOLDER",
        help="that all nodes see; slurm/ in the folder of results by default",
    )


def _check_options(options: argparse.Namespace) -> None:
    """An option of another launcher is a mistake."""
    if options.launcher not in LAUNCHERS:
        raise unknown_name("launcher", options.launcher, LAUNCHERS)
    for launcher, names in OWN_OPTIONS.items():
        for name in names:
            if launcher != options.launcher and getattr(options, name) is not None:
                raise InputError(
                    f"--{name.replace('_', '-')} is an option of --launcher {launcher}, and the "
                    f"launcher is {options.launcher}"
                )
    if options.launcher == "slurm" and options.device != "auto":
        raise InputError("--device: with --launcher slurm give --gpus instead")


def _grid(options: argparse.Namespace) -> int:
    from statetrack.experiment import load_experiment, preset_grid
    from statetrack.read_command import write_what_was_read
    from statetrack.training import run_grid
    from statetrack.training.loggers import make_logger

    _check_options(options)
    experiment = load_experiment(options.file)
    grid = preset_grid(experiment, options.preset)
    folder = results_folder(options, grid.name)
    missing = _missing(grid, folder, options.retry_failed)
    calibration = _calibration(grid, missing, options)
    if options.dry_run and options.launcher != "local":
        plan = _plan_elsewhere(grid, missing, options)
    else:
        launcher = _launcher(options, folder / "slurm", grid.name, calibration)
        plan = _plan(grid, missing, folder, launcher, calibration)
    if options.dry_run:
        print(*plan.lines(), f"results in {folder}", sep="\n")
        return 0
    for line in plan.lines()[1:]:  # the first says what the progress will say
        print(line, file=sys.stderr)
    names = dict.fromkeys(options.log or ["jsonl"])
    results = run_grid(
        grid,
        folder,
        launcher=launcher,
        retry_failed=options.retry_failed,
        loggers=[make_logger(name, folder, grid.name) for name in names],
    )
    write_what_was_read(experiment, grid, folder, grid_command_line(options), options.workers)
    failed = len(results.runs) - len(results.finished)
    if failed:
        print(f"{failed} of {len(results.runs)} runs failed: the report says why", file=sys.stderr)
    return EXIT_FAILED_RUNS if failed else 0


def _missing(grid: "Grid", folder: Path, retry_failed: bool) -> "list[RunConfig]":
    from statetrack.training.store import FILE_NAME, Store

    if not (folder / FILE_NAME).exists():
        return list(grid)
    with Store(folder, read_only=True) as store:
        return grid.missing(store, retry_failed=retry_failed)


def _calibration(
    grid: "Grid", missing: "list[RunConfig]", options: argparse.Namespace
) -> "Calibration | None":
    """Measured for a dry run, and on a GPU, whose memory decides the packs."""
    from statetrack.devices import choose_devices
    from statetrack.training import LocalLauncher
    from statetrack.training.calibration import calibrate

    if options.launcher != "local" or not missing:
        return None
    device = choose_devices(options.device)[0]
    if device == "cpu" and not options.dry_run:
        return None
    workers = LocalLauncher(options.workers, options.device).num_workers
    return calibrate(missing, device, num_workers=workers, source=grid.source)


def _launcher(
    options: argparse.Namespace, shared: Path, name: str, calibration: "Calibration | None"
) -> Any:
    from statetrack.training import LocalLauncher

    if options.launcher == "ray":
        from statetrack.training.launchers.ray import RayLauncher

        return RayLauncher(options.workers, options.address, options.device, options.pack_size)
    if options.launcher == "slurm":
        from statetrack.training.launchers.slurm import SlurmLauncher

        folder = shared if options.shared_folder is None else options.shared_folder / name
        return SlurmLauncher(folder, slurm_resources(options), options.pack_size)
    return LocalLauncher(options.workers, options.device, options.pack_size, calibration)


def slurm_resources(options: argparse.Namespace) -> Any:
    """What an element of the array asks for."""
    from statetrack.training.launchers.slurm_resources import SlurmResources

    given = {
        "minutes": options.time,
        "partition": options.partition,
        "account": options.account,
        "gpus": options.gpus,
        "processors": options.workers,
        "memory_gb": options.memory,
        "num_elements": options.elements,
        "parallelism": options.parallelism,
    }
    return SlurmResources(**{name: value for name, value in given.items() if value is not None})


def _plan(
    grid: "Grid",
    missing: "list[RunConfig]",
    folder: Path,
    launcher: Any,
    calibration: "Calibration | None",
) -> "GridPlan":
    """The packs as `run_grid` will make them."""
    from statetrack.training.grid import plan_for
    from statetrack.training.grid_plan import GridPlan
    from statetrack.training.plan_file import PlanFile

    known = {run.run_id for run in grid} - {run.run_id for run in missing}
    jobs = plan_for(launcher, grid, known, PlanFile(folder).earlier())
    return GridPlan(
        grid.name,
        len(grid),
        tuple(job.missing for job in jobs),
        launcher.where,
        launcher.num_workers,
        calibration,
    )


def _plan_elsewhere(
    grid: "Grid", missing: "list[RunConfig]", options: argparse.Namespace
) -> "GridPlan":
    """The packs for a cluster, without asking it; of Ray one worker is assumed, or those given."""
    from statetrack.training.grid_plan import GridPlan
    from statetrack.training.packs import MAX_PACK_ON_CPU, Pack, pack_size_for, partition

    if options.launcher == "slurm":
        resources = slurm_resources(options)
        where, workers = resources.where, resources.num_workers
    else:
        workers = options.workers or 1
        where = f"{workers} Ray worker{'s' if workers > 1 else ''}"
    packs: tuple[Pack, ...] = ()
    if missing:
        size = options.pack_size or pack_size_for(missing, workers, MAX_PACK_ON_CPU)
        packs = tuple(partition(missing, size))
    return GridPlan(grid.name, len(grid), packs, where, workers)
