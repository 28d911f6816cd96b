"""The commands ``statetrack doctor`` and ``statetrack bench``."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from automata.errors import InputError, unknown_name
from statetrack.command_parser import Commands, add_command, path_argument

if TYPE_CHECKING:
    from statetrack.benchmark.bench import Plan
    from statetrack.benchmark.results import BenchmarkResults
    from statetrack.training.store_health import StoreHealth

EXIT_UNHEALTHY = 1
EXIT_INTERRUPTED = 130
SUITES = ("scans",)
RUNS = Path("runs")
FOLDER = RUNS / "bench-scans"
STOPPED = "stopped"
ISOLATED = True


def add_doctor(commands: Commands) -> None:
    """Add ``doctor``."""
    parser = add_command(
        commands,
        "doctor",
        "Check the environment, the GPU, every scan against its reference, and stores of results.",
        "--json doctor.json",
        _doctor,
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--json", type=path_argument, metavar="FILE", help="write what was found there"
    )
    parser.add_argument(
        "--store",
        type=path_argument,
        nargs="+",
        default=[RUNS],
        metavar="FOLDER",
        help=f"folders of results, or folders of such folders, to check; {RUNS} by default",
    )


def _doctor(options: argparse.Namespace) -> int:
    import torch

    from statetrack.atomic_files import write_atomically
    from statetrack.benchmark.doctor import examine, report_block
    from statetrack.benchmark.results import finite
    from statetrack.devices import choose_device

    if options.json is not None:
        if options.json.is_dir():
            raise InputError(f"--json {options.json} is a folder: give a file")
        _require_writable("--json", options.json.parent)
    diagnosis = examine(
        torch.device(choose_device(options.device)), lambda line: print(line, flush=True)
    )
    stores = _check_stores(options.store)
    if options.json is not None:
        found = diagnosis.to_json() | {"stores": [asdict(store) for store in stores]}
        found["healthy"] = diagnosis.healthy and all(store.ok for store in stores)
        text = json.dumps(finite(found), indent=1) + "\n"
        try:
            write_atomically(options.json, text.encode())
        except OSError as error:
            raise InputError(f"cannot write {str(options.json)!r}: {error.strerror}") from None
    failed_checks = sum(not check.ok for check in diagnosis.checks)
    failed = failed_checks + sum(not store.ok for store in stores)
    checked = f"{len(diagnosis.checks) + len(stores)} checks in {diagnosis.seconds:.0f} s"
    print(f"{checked}: {f'{failed} FAILED' if failed else 'all is well'}")
    for line in diagnosis.advice:
        print(f"- {line}")
    if failed_checks:
        print(report_block(diagnosis))
    return EXIT_UNHEALTHY if failed else 0


def _check_stores(places: Sequence[Path]) -> list["StoreHealth"]:
    try:
        from statetrack.training.store_health import check_new_store, check_store, store_folders
    except ImportError as error:  # kernels are used where torch alone is installed
        print(f"stores            not checked: {error.name} is not installed")
        return []

    folders = {folder: None for place in places for folder in store_folders(place)}
    checks = [check_new_store(places[0])]
    print(checks[0].line(), flush=True)
    for folder in folders:
        checks.append(check_store(folder))
        print(checks[-1].line(), flush=True)
    if not folders:
        print(f"stores            none in {', '.join(map(str, places))}")
    return checks


def add_bench(commands: Commands) -> None:
    """Add ``bench``."""
    parser = add_command(
        commands,
        "bench",
        "Time every scan against its floor and against the peers that are installed.",
        "scans --quick --scans diagonal matrix --out runs/bench",
        _bench,
    )
    parser.add_argument("suite", metavar="scans", help="what to time")
    parser.add_argument(
        "--scans",
        nargs="+",
        metavar="NAME",
        help="diagonal, outer_product, matrix, householder, low_rank, words; all by default",
    )
    parser.add_argument("--quick", action="store_true", help="one or two sizes of every scan")
    parser.add_argument(
        "--out",
        type=path_argument,
        metavar="DIR",
        help=f"folder of the results; {FOLDER} by default",
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=path_argument,
        metavar="DIR",
        help="measure nothing: draw table and figure again from the results there",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="time these alone: statetrack, fla, fpscan, ..."
    )
    parser.add_argument(
        "--peer-file",
        type=path_argument,
        action="append",
        default=[],
        metavar="FILE",
        help="Python file with more to time: PEERS = [Contestant(...)]",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="after which nothing new is started; 10 by default",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")


def _bench(options: argparse.Namespace) -> int:
    from statetrack.benchmark.bench import run_benchmark
    from statetrack.benchmark.results import FILE_NAME, read_results, write_results

    if options.suite not in SUITES:
        raise unknown_name("benchmark", options.suite, SUITES)
    if options.source is not None:
        _refuse_measuring(options)
        results, folder = read_results(options.source), options.out or options.source
        _require_writable("--out", folder)
    else:
        plan, folder = _plan(options), options.out or FOLDER
        _require_writable("--out", folder)
        if plan.device.type != "cuda":
            _say("no GPU here: tiny sizes on the processor, which say nothing about speed")
        start = time.monotonic()
        results = run_benchmark(plan, _say)
        _say(f"measured in {time.monotonic() - start:.0f} s")
        if results.is_interrupted and (folder / FILE_NAME).exists():
            folder = folder / STOPPED  # what an earlier run measured to its end stays
        write_results(results, folder)
    _write_products(results, folder)
    if options.source is None and results.is_interrupted:
        _say(f"stopped: what had been measured is in {folder}")
        return EXIT_INTERRUPTED
    wrong = sum(row["status"] == "wrong" and bool(row.get("ours")) for row in results.rows)
    if wrong:
        print(f"{wrong} results of ours are wrong and were not timed: statetrack doctor")
    return EXIT_UNHEALTHY if wrong else 0


def _refuse_measuring(options: argparse.Namespace) -> None:
    given = {
        "--quick": options.quick,
        "--scans": options.scans,
        "--only": options.only,
        "--peer-file": options.peer_file,
    }
    for name, value in given.items():
        if value:
            raise InputError(f"--from measures nothing: leave out {name}")


def _require_writable(option: str, folder: Path) -> None:
    """Make a folder and a file in it, before minutes are spent on what could not be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{option}: cannot write into {str(folder)!r}: {error.strerror}; give another folder"
        ) from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _plan(options: argparse.Namespace) -> "Plan":
    import torch

    from statetrack.benchmark.bench import Plan
    from statetrack.benchmark.cases import full_cases, of_scans, quick_cases, tiny_cases
    from statetrack.benchmark.peers import OURS, PEERS, peers_from_file
    from statetrack.benchmark.words import WORD_SOURCES
    from statetrack.devices import choose_device

    if not 0 < options.minutes < float("inf"):
        raise InputError(f"--minutes {options.minutes}: give a number above 0")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out {options.out} is a file: give a folder")
    device = torch.device(choose_device(options.device))
    on_gpu = device.type == "cuda"
    cases = tiny_cases() if not on_gpu else quick_cases() if options.quick else full_cases()
    if options.scans is not None:
        cases = of_scans(cases, options.scans)
    more = list(peers_from_file(*options.peer_file))
    first, *slower = OURS
    names = [first, *more, *(PEERS if on_gpu else ()), *slower]
    sources = list(WORD_SOURCES)
    if options.only is not None:
        known = list(dict.fromkeys([*names, *sources]))
        for part in options.only:
            if not any(name.startswith(part) for name in known):
                raise unknown_name("contestant", part, known)
        names = [name for name in names if name.startswith(tuple(options.only))]
        sources = [name for name in sources if name.startswith(tuple(options.only))]
    return Plan(
        cases,
        device,
        names,
        options.peer_file,
        seconds=0.1 if on_gpu else 0.01,
        minutes=options.minutes,
        isolated=ISOLATED,
        compile_first=on_gpu,
        word_sources=sources,
    )


def _write_products(results: "BenchmarkResults", folder: Path) -> None:
    from statetrack.atomic_files import write_atomically
    from statetrack.benchmark.report import write_table

    table = write_table(results)
    try:
        write_atomically(folder / "table.md", table.encode())
        print(table)
        _draw(results, folder)
    except OSError as error:
        raise InputError(f"cannot write into {str(folder)!r}: {error.strerror}") from None
    print(f"results  {folder}")


def _draw(results: "BenchmarkResults", folder: Path) -> None:
    try:
        from statetrack.benchmark.figure import draw_figure
    except ImportError as error:
        print(f"no figure: {error}; bench scans --from {folder} draws it where that is installed")
        return
    try:
        figure = draw_figure(results)
    except InputError as error:  # words alone, or nothing that could be timed
        print(f"no figure: {error}")
        return
    for name in ("figure.png", "figure.pdf"):
        figure.savefig(folder / name, dpi=200)
