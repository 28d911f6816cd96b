"""What every command of the command line shares: one-line errors, an example in the help."""

import argparse
import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, TypeAlias

from automata.errors import InputError
from automata.files import usable_path


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong in one line, through `InputError`."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise InputError(f"{message} (see: {self.prog} --help)")


Commands: TypeAlias = "argparse._SubParsersAction[CommandParser]"


def add_command(
    commands: Commands, name: str, summary: str, example: str, run: Callable[..., int]
) -> CommandParser:
    """Add a command.

    Parameters
    ----------
    commands : argparse subparsers
    name, summary : str
    example : str
        What stands after the name in an example.
    run : callable
        Takes the parsed options and returns the exit code.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example: statetrack {name} {example}",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_text(parser: CommandParser) -> None:
    """Add the option ``--text PATH``, which stands for the task `text` on that file."""
    parser.add_argument(
        "--text",
        metavar="PATH",
        help="the task is to model the characters of this file, such as --text hamlet.txt: short "
        "for task=text task.path=PATH",
    )


def with_text(pairs: Iterable[str], path: str | None) -> list[str]:
    """Put what ``--text PATH`` stands for before the other pairs.

    Parameters
    ----------
    pairs : iterable of str
    path : str or None
        None if the option is not given.

    Raises
    ------
    InputError
        Another task, or another path, is named beside it; neither pairs nor a path.

    Examples
    --------
    >>> with_text(["model=mru"], "hamlet.txt")
    ['task=text', 'task.path="hamlet.txt"', 'model=mru']
    """
    given = list(pairs)
    if path is None:
        if not given:
            raise InputError("no task given: add task=NAME, such as task=parity, or --text PATH")
        return given
    for pair in given:
        if pair.partition("=")[0].strip() in ("task", "task.path"):
            raise InputError(f"--text {path} names task and file: leave out {pair!r}")
    return ["task=text", f"task.path={json.dumps(path)}", *given]


def add_experiment(parser: CommandParser) -> None:
    """Add what names a grid: the experiment file, ``--preset`` and ``--output``."""
    parser.add_argument("file", metavar="FILE", help="experiment file")
    parser.add_argument("--preset", help="size of the experiment; the file's first by default")
    parser.add_argument(
        "--output", type=path_argument, help="folder of results; runs/NAME by default"
    )


def add_device(parser: CommandParser) -> None:
    """Add the option ``--device``."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")


def path_argument(text: str) -> Path:
    """A path that a file can have, as an argparse type."""
    try:
        return usable_path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """A whole number from 1 on, as an argparse type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 1")
    return int(text)


def results_folder(options: argparse.Namespace, name: str) -> Path:
    """Folder of results that ``--output`` names, or the one of a grid's name."""
    folder: Path = options.output or Path("runs") / name
    return folder


def grid_command_line(options: argparse.Namespace) -> str:
    """The command line that runs what is missing of the grid that these options name."""
    parts = ["statetrack", "grid", str(options.file)]
    for name in ("preset", "output"):
        value = getattr(options, name)
        if value is not None:
            parts += [f"--{name}", str(value)]
    return shlex.join(parts)
