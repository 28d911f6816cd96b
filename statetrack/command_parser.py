"""What every command of the command line shares: one-line errors, an example in the help."""

import argparse
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from automata.errors import InputError


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
