"""Reading and writing text files, with limits that hold before memory is taken."""

import os
from pathlib import Path
from typing import Final

from automata.errors import InputError, shown

__all__ = [
    "MAX_CELLS",
    "MAX_FILE_BYTES",
    "MAX_SYMBOLS",
    "check_size",
    "check_text",
    "read_bytes",
    "read_text",
    "usable_path",
    "write_text",
]

MAX_NAME_BYTES: Final = 200  # 255 are allowed; temporary files beside it have longer names
MAX_PATH_BYTES: Final = 3500
MAX_FILE_BYTES: Final = 2**24
MAX_CELLS: Final = 2**22
MAX_SYMBOLS: Final = 10_000


def usable_path(path: str | os.PathLike[str], what: str = "path") -> Path:
    r"""Refuse what no file can be called, before the system meets it.

    Parameters
    ----------
    path : str or path-like
    what : str
        How the error calls it.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If it is no path, has a character that no name may have, or a name or all of it is too long.

    Examples
    --------
    >>> usable_path("runs\0")
    Traceback (most recent call last):
    ...
    automata.errors.InputError: path 'runs\x00' has a character that no name may have
    """
    try:
        usable = Path(path)
        data = os.fsencode(usable)
    except TypeError:
        raise InputError(f"{what} {shown(path)} is none: give the path of a file") from None
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data:
        raise InputError(f"{what} {shown(os.fspath(path))} has a character that no name may have")
    longest = max(map(len, data.split(os.sep.encode())))
    if longest > MAX_NAME_BYTES or len(data) > MAX_PATH_BYTES:
        raise InputError(
            f"{what} {shown(os.fspath(path))} is too long: give names of at most {MAX_NAME_BYTES} "
            f"bytes, {MAX_PATH_BYTES} in all"
        )
    return usable


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a UTF-8 text file; a byte order mark is left out.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the file cannot be read, is no UTF-8, or has more than `MAX_FILE_BYTES` bytes.

    Examples
    --------
    >>> read_text("no such file")
    Traceback (most recent call last):
    ...
    automata.errors.InputError: cannot read 'no such file': No such file or directory
    """
    data = read_bytes(path, MAX_FILE_BYTES)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{os.fspath(path)!r} is no UTF-8 text: byte {error.start} cannot be decoded"
        ) from None


def read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read a file of limited size.

    Parameters
    ----------
    path : str or path-like
    max_bytes : int

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If the file cannot be read, is no ordinary one, or has more than `max_bytes` bytes.

    Examples
    --------
    >>> read_bytes(".", 10)
    Traceback (most recent call last):
    ...
    automata.errors.InputError: cannot read '.': it is no ordinary file
    """
    try:
        if not Path(path).is_file() and Path(path).exists():
            raise InputError(f"cannot read {os.fspath(path)!r}: it is no ordinary file")
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path!r}: give the path of a file ({error})") from None
    if len(data) > max_bytes:
        raise InputError(
            f"{os.fspath(path)!r} has more than {max_bytes} bytes: give a smaller file"
        )
    return data


def write_text(text: str, path: str | os.PathLike[str]) -> None:
    """Write a UTF-8 text file with Unix line ends, in place of what was there.

    Parameters
    ----------
    text : str
    path : str or path-like

    Raises
    ------
    InputError
        If the file cannot be written, or the text is not Unicode.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text("ab", pathlib.Path(folder, "word.txt"))
    ...     read_text(pathlib.Path(folder, "word.txt"))
    'ab'
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the text cannot be written as UTF-8: {error.reason}") from None
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise InputError(f"cannot write {os.fspath(path)!r}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot write {path!r}: give the path of a file ({error})") from None


def check_text(text: object, what: str) -> str:
    """Refuse what is no text, or more of it than a file may hold.

    Parameters
    ----------
    text : object
    what : str
        How the error calls it.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If it is no str, or longer than `MAX_FILE_BYTES`.

    Examples
    --------
    >>> check_text("ab", "the word")
    'ab'
    """
    if not isinstance(text, str):
        raise InputError(f"{what} is of type {type(text).__name__}: give a str")
    if len(text) > MAX_FILE_BYTES:
        raise InputError(f"{what} has {len(text)} characters: give at most {MAX_FILE_BYTES}")
    return text


def check_size(num_states: int, num_symbols: int) -> None:
    """Refuse a table that would be too large, before memory is taken.

    Parameters
    ----------
    num_states, num_symbols : int

    Raises
    ------
    InputError
        Above `MAX_SYMBOLS` symbols or `MAX_CELLS` transitions.

    Examples
    --------
    >>> check_size(1000, 4)
    """
    if num_symbols > MAX_SYMBOLS:
        raise InputError(f"there are {num_symbols} symbols: alphabets are read up to {MAX_SYMBOLS}")
    if num_states * num_symbols > MAX_CELLS:
        raise InputError(
            f"{num_states} states and {num_symbols} symbols make {num_states * num_symbols} "
            f"transitions: tables are read up to {MAX_CELLS}"
        )
