"""The command line: ``statetrack COMMAND``, every command with an example in its help."""

import argparse
import io
import os
import select
import sys
from collections.abc import Callable, Sequence

from automata.errors import InputError, unknown_name
from statetrack.benchmark.commands import add_bench, add_doctor
from statetrack.command_parser import (
    CommandParser,
    Commands,
    add_command,
    add_device,
    add_text,
    path_argument,
    positive,
    with_text,
)
from statetrack.grid_command import EXIT_FAILED_RUNS, add_grid
from statetrack.read_command import add_read
from statetrack.results_commands import add_figure, add_report, add_results, add_status

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
_BEGIN_ANEW = ("doctor", "bench")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the program's name; ``sys.argv`` by default.

    Returns
    -------
    int
        0 when all went well, 1 when runs or checks failed, 2 on bad input (one line on standard
        error says what), 130 when interrupted, 141 when nobody reads the output any more.

    Examples
    --------
    >>> main(["train", "task=partiy", "model=diagonal"])
    2
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parse(given)
        run: Callable[[argparse.Namespace], int] = options.run
        code = run(options)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"statetrack: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        if not _nobody_reads_output():
            raise
        return EXIT_CLOSED_PIPE
    except KeyboardInterrupt:
        goes_on = "; nothing finished is lost, the same command goes on from here"
        print(f"statetrack: stopped{'' if given[0] in _BEGIN_ANEW else goes_on}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _nobody_reads_output() -> bool:
    """Whether standard output is a closed pipe; what else is written there goes nowhere then."""
    try:
        output = sys.stdout.fileno()
    except io.UnsupportedOperation:
        return False
    poll = select.poll()
    poll.register(output, 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True


def _parse(given: list[str]) -> argparse.Namespace:
    parser = CommandParser(
        prog="statetrack",
        description="Which recurrent models follow which automata, how far, and why.",
        epilog="example: statetrack grid experiments/eigenvalue_ranges.py --preset cpu",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    for add in (
        _add_data,
        _add_train,
        add_grid,
        add_read,
        add_status,
        add_results,
        add_figure,
        add_report,
        _add_analyze,
        add_doctor,
        add_bench,
    ):
        add(commands)
    names = list(commands.choices)
    if given and not given[0].startswith("-") and given[0] not in names:
        raise unknown_name("command", given[0], names)
    if not given:
        parser.print_help()
        raise SystemExit(EXIT_BAD_INPUT)
    if given and given[0].startswith("-") and given[0] not in ("-h", "--help"):
        raise unknown_name("option", given[0], ["--help"])
    options, unknown = parser.parse_known_args(given)
    if unknown:
        known = [
            text
            for action in commands.choices[given[0]]._actions
            for text in action.option_strings
            if text.startswith("--")
        ]
        raise unknown_name(f"option of {given[0]}", unknown[0], known)
    return options


def _add_data(commands: Commands) -> None:
    parser = add_command(
        commands,
        "data",
        "Write words and targets of a task: a folder for Hugging Face datasets, or one file.",
        "task=s5 task.generators=standard --words 10000 --length 128 --output data/s5",
        _data,
    )
    parser.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="the task, its parameters")
    add_text(parser)
    parser.add_argument("--words", type=positive, default=10_000, help="words of every split")
    parser.add_argument("--length", type=_length, default=128, help="of a word; or LOW-HIGH")
    parser.add_argument("--seed", type=int, default=0, help="seed of the words")
    parser.add_argument("--split", default="train", help="of a single file (train by default)")
    parser.add_argument(
        "--output",
        type=path_argument,
        required=True,
        help="a folder, or a file ending in .parquet, .csv or .npz",
    )


def _data(options: argparse.Namespace) -> int:
    from automata.tasks.export import write_dataset, write_words
    from statetrack.training.config import TaskConfig

    task = TaskConfig.from_pairs(with_text(options.pairs, options.text)).build()
    shared = {"num_words": options.words, "length": options.length, "seed": options.seed}
    if options.output.suffix:
        paths = [write_words(task, options.output, split=options.split, **shared)]
    else:
        paths = write_dataset(task, options.output, **shared)
    for path in paths:
        print(path)
    return 0


def _add_train(commands: Commands) -> None:
    parser = add_command(
        commands,
        "train",
        "Train one model on one task and print its accuracy over length.",
        'task=s3 model=householder model.num_factors=2 "model.eigenvalue_range=[-1,1]" seed=1',
        _train,
    )
    parser.add_argument("pairs", nargs="+", metavar="KEY=VALUE", help="parts of the configuration")
    add_text(parser)
    parser.add_argument(
        "--checkpoint", type=path_argument, help="keep, and go on from, this .safetensors"
    )
    add_device(parser)


def _train(options: argparse.Namespace) -> int:
    from statetrack.devices import choose_device
    from statetrack.training import RunConfig
    from statetrack.training.execute import execute
    from statetrack.training.progress import training_progress

    config = RunConfig.from_pairs(with_text(options.pairs, options.text))
    device = choose_device(options.device)
    with training_progress() as report:
        record = execute(config, device=device, checkpoint=options.checkpoint, report=report)
    if record.status == "failed":
        print(f"failed: {record.summary['error']}", file=sys.stderr)
        return EXIT_FAILED_RUNS
    print(f"run {record.run_id}: {record.summary['task']}, {record.summary['label']}")
    curve = record.tables["curves"]
    print("length  token  whole prefix  majority")
    rows = list(zip(*(curve[name] for name in _CURVE_COLUMNS), strict=True))
    for length, token, whole, majority in rows:
        if length & (length - 1) == 0 or length in (config.training.length, rows[-1][0]):
            print(f"{length:>6}  {token:.3f}  {whole:>12.3f}  {majority:>8.3f}")
    if "report_loss" in record.summary:
        nats, bits = (record.summary[name] for name in ("report_loss", "report_bits"))
        print(f"loss on the report words: {nats:.3f} nats, {bits:.3f} bits a character")
    return 0


_CURVE_COLUMNS = ("length", "token_accuracy", "whole_prefix_accuracy", "majority_rate")


def _add_analyze(commands: Commands) -> None:
    parser = add_command(
        commands,
        "analyze",
        "Read a trained model: representations, automaton, horizon, certificate, on one HTML page.",
        "runs/eigenvalue_ranges-cpu/checkpoints/RUN.safetensors --tables",
        _analyze,
    )
    parser.add_argument("checkpoint", type=path_argument, help=".safetensors file of a run")
    parser.add_argument(
        "--output", type=path_argument, help="page; beside the checkpoint by default"
    )
    parser.add_argument("--max-length", type=positive, default=1024, help="longest words measured")
    parser.add_argument("--words", type=positive, default=512, help="random words a measurement")
    parser.add_argument(
        "--tables", action="store_true", help="print the learned matrices as tables, no page"
    )


def _analyze(options: argparse.Namespace) -> int:
    from statetrack.model_report import write_model_report
    from statetrack.models import load_model
    from statetrack.training.checkpoint import load_tensors
    from statetrack.training.kept_progress import kept_config
    from statetrack.training.transition_tables import transition_tables

    model = load_model(options.checkpoint)
    _, description = load_tensors(options.checkpoint)
    config = kept_config(options.checkpoint, description)
    if options.tables:
        tables = transition_tables(model, config.task.build())
        if not tables:
            raise InputError(f"{config.model.name} has no linear transitions to read")
        for name, frame in tables.items():
            print(f"{name}\n{frame.to_string(index=False, float_format='%.4f')}\n")
        return 0
    page = options.output or options.checkpoint.with_suffix(".html")
    write_model_report(
        page,
        model,
        config,
        f"statetrack analyze {options.checkpoint} --output {page} "
        f"--max-length {options.max_length} --words {options.words}",
        max_length=options.max_length,
        num_words=options.words,
        tell=lambda line: print(line, file=sys.stderr),
    )
    print(f"page     {page}")
    return 0


def _length(text: str) -> int | tuple[int, int]:
    low, dash, high = text.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no length: give 128, or 3-40 for a range")
    return (int(low), int(high)) if dash else int(low)


if __name__ == "__main__":
    raise SystemExit(main())
