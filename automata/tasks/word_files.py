"""Files of words and targets: CSV as the word problem's papers write it, and NumPy archives.

A CSV file has the header ``seed,input,target`` and a line for every word: the seed, the token ids
separated by blanks, and as many target ids. Files that compose the other way, so that the target is
``product(x_t, q_{t-1})``, are turned round at the border by `composed_left_to_right`.
"""

import os
import re
import struct
import tokenize
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.tasks.batch import Batch
from automata.validation import BoolArray, IntArray

__all__ = ["WordFile", "composed_left_to_right", "csv_lines", "read_csv", "read_npz"]

MAX_FILE_BYTES: Final = 2**30
_MAX_LINE_BYTES: Final = 2**24
_MAX_TOKENS: Final = 2**26
_HEADER: Final = b"seed,input,target"
_LINE: Final = re.compile(rb"([0-9]{1,10}),([0-9 ]*),([0-9 ]*)")
_IDS: Final = re.compile(rb"[0-9]{1,9}(?: [0-9]{1,9})*")
_PARSE_ERRORS: Final = (struct.error, tokenize.TokenError, NotImplementedError)
_ARRAYS: Final = {"tokens": 2, "targets": 2, "mask": 2, "lengths": 1, "seed": 0}


class WordFile(NamedTuple):
    """What was read from a file.

    Attributes
    ----------
    tokens, targets : ndarray of int64, [num_words, longest]
        0 after the end of a shorter word.
    mask : ndarray of bool, [num_words, longest]
        True where there is a target.
    lengths : ndarray of int64, [num_words]
    seeds : ndarray of int64, [num_words]
    """

    tokens: IntArray
    targets: IntArray
    mask: BoolArray
    lengths: IntArray
    seeds: IntArray


def csv_lines(batch: Batch, seed: int) -> Iterator[str]:
    r"""Write the words of a batch as lines of a CSV file.

    Parameters
    ----------
    batch : Batch
    seed : int

    Yields
    ------
    str
        With the end of the line.

    Examples
    --------
    >>> from automata.tasks import get_task
    >>> next(csv_lines(get_task("parity").dataset(1, 4), 0))
    '0,0 1 0 1,0 1 1 0\n'
    """
    rows = zip(batch.tokens.tolist(), batch.targets.tolist(), batch.lengths.tolist(), strict=True)
    for tokens, targets, length in rows:
        written = (" ".join(map(str, part[:length])) for part in (tokens, targets))
        yield f"{seed},{','.join(written)}\n"


def read_csv(path: str | os.PathLike[str]) -> WordFile:
    r"""Read a CSV file of words and targets.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    WordFile
        Ids as they stand in the file.

    Raises
    ------
    InputError
        If the file cannot be read or is too large, or on the first line that is no such line, with
        its number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "s3.csv")
    ...     _ = path.write_text("seed,input,target\n7,3 1 0,3 2 2\n")
    ...     read_csv(path).targets
    array([[3, 2, 2]])
    """
    shown = repr(os.fspath(path))
    seeds, lengths, flat_tokens, flat_targets = (array("q" if i < 2 else "i") for i in range(4))
    longest = 0
    try:
        if not Path(path).is_file():
            raise InputError(f"cannot read {shown}: it is no file")
        if Path(path).stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{shown} has more than {MAX_FILE_BYTES} bytes: split it")
        with open(path, "rb") as file:
            if file.readline(64).strip() != _HEADER:
                raise InputError(f"{shown} does not begin with the line {_HEADER.decode()!r}")
            number = 1
            while line := file.readline(_MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > _MAX_LINE_BYTES:
                    raise InputError(f"{shown}: line {number} is too long")
                if not line.strip():
                    continue
                match = _LINE.fullmatch(line.rstrip(b"\r\n"))
                parts = [] if match is None else [match[2], match[3]]
                if match is None or not all(_IDS.fullmatch(part) for part in parts):
                    raise InputError(
                        f"{shown}: line {number} is not SEED,INPUT,TARGET with ids separated by "
                        "single blanks"
                    )
                tokens, targets = ([int(text) for text in part.split()] for part in parts)
                if len(tokens) != len(targets):
                    raise InputError(
                        f"{shown}: line {number} has {len(tokens)} tokens and {len(targets)} "
                        "targets: give as many"
                    )
                seeds.append(int(match[1]))
                lengths.append(len(tokens))
                flat_tokens.extend(tokens)
                flat_targets.extend(targets)
                longest = max(longest, len(tokens))
                if len(lengths) * longest > _MAX_TOKENS:
                    raise InputError(f"{shown} holds more than {_MAX_TOKENS} tokens: split it")
    except OSError as error:
        raise InputError(f"cannot read {shown}: {error.strerror}") from None
    except UnicodeError as error:
        raise InputError(f"cannot read {shown}: {error}") from None
    counts = np.array(lengths, dtype=np.int64)
    mask = np.arange(longest) < counts[:, None]
    tokens_read, targets_read = np.zeros((2, len(counts), longest), dtype=np.int64)
    tokens_read[mask], targets_read[mask] = flat_tokens, flat_targets
    return WordFile(tokens_read, targets_read, mask, counts, np.array(seeds, dtype=np.int64))


def read_npz(path: str | os.PathLike[str]) -> WordFile:
    """Read a NumPy archive that `automata.tasks.export.write_words` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    WordFile

    Raises
    ------
    InputError
        If the file cannot be read, is too large unpacked, or holds something else. Nothing in it
        is ever run.

    Examples
    --------
    >>> read_npz("no such file")
    Traceback (most recent call last):
    ...
    automata.errors.InputError: cannot read 'no such file': No such file or directory
    """
    shown = repr(os.fspath(path))
    arrays: dict[str, NDArray[np.generic]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            found = {info.filename: info.file_size for info in archive.infolist()}
        if set(found) != {f"{name}.npy" for name in _ARRAYS}:
            raise InputError(f"{shown} does not hold exactly {', '.join(_ARRAYS)}")
        if sum(found.values()) > MAX_FILE_BYTES:
            raise InputError(f"{shown} unpacks to more than {MAX_FILE_BYTES} bytes: split it")
        with np.load(path, allow_pickle=False) as archive:
            for name, ndim in _ARRAYS.items():
                part = np.asarray(archive[name])
                kind = "b" if name == "mask" else "i"
                if part.ndim != ndim or part.dtype.kind != kind:
                    raise InputError(f"{shown}: {name} has the wrong type or shape")
                arrays[name] = part
    except OSError as error:
        raise InputError(f"cannot read {shown}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{shown} is no NumPy archive of words: {error}") from None
    except (RuntimeError, SyntaxError, TypeError, MemoryError, *_PARSE_ERRORS) as error:
        raise InputError(f"{shown} is no NumPy archive of words: {error}") from None
    shape = arrays["tokens"].shape
    lengths = arrays["lengths"].astype(np.int64)
    shapes = {arrays[name].shape for name in ("tokens", "targets", "mask")}
    if shapes != {shape} or lengths.shape != shape[:1]:
        raise InputError(f"{shown}: tokens, targets, mask and lengths do not fit together")
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= shape[1]:
        raise InputError(f"{shown}: a length is out of range")
    valid = np.arange(shape[1]) < lengths[:, None]
    mask: BoolArray = arrays["mask"].astype(np.bool_) & valid
    tokens = np.where(valid, arrays["tokens"].astype(np.int64), 0)
    targets = np.where(mask, arrays["targets"].astype(np.int64), 0)
    seeds = np.full(len(lengths), int(arrays["seed"]), dtype=np.int64)
    return WordFile(tokens, targets, mask, lengths, seeds)


def composed_left_to_right(words: WordFile, group: FiniteGroup) -> WordFile:
    """Bring the word problem of a group into this library's order, whichever the file has.

    Parameters
    ----------
    words : WordFile
        Tokens and targets are elements of the group.
    group : FiniteGroup

    Returns
    -------
    WordFile
        With ``q_t = product(q_{t-1}, x_t)``. A file that composes the other way, with
        ``q_t = product(x_t, q_{t-1})``, has every token and target replaced by its inverse, which
        turns products round; files that fit both ways stay as they are.

    Raises
    ------
    InputError
        If an id is no element, or the targets fit neither order.

    Examples
    --------
    >>> from automata.groups import symmetric
    >>> group = symmetric(3)
    >>> other = np.array([[1, group.table[2, 1]]])
    >>> everywhere, one = np.ones((1, 2), dtype=bool), np.array([0])
    >>> words = WordFile(np.array([[1, 2]]), other, everywhere, np.array([2]), one)
    >>> turned = composed_left_to_right(words, group)
    >>> int(group.table[turned.targets[0, 0], turned.tokens[0, 1]]) == int(turned.targets[0, 1])
    True
    """
    inside = np.arange(words.tokens.shape[1]) < words.lengths[:, None]
    if not (words.mask == inside).all():
        raise InputError("the words lack targets at some positions: products cannot be checked")
    for what, ids in (("token", words.tokens), ("target", words.targets)):
        if ids.size and not 0 <= ids.min() <= ids.max() < group.order:
            wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
            raise InputError(
                f"{what} {wrong} is no element of {group.name}, of order {group.order}"
            )
    before = np.zeros_like(words.targets)
    before[:, 1:] = words.targets[:, :-1]
    fits = (group.table[before, words.tokens] == words.targets) | ~inside
    if fits.all():
        return words
    turned = (group.table[words.tokens, before] == words.targets) | ~inside
    if not turned.all():
        row, position = np.argwhere(~fits)[0].tolist()
        raise InputError(
            f"word {row} is no word problem of {group.name} in either order: see position "
            f"{position + 1}; the file may number the elements in another way"
        )
    tokens = np.where(inside, group.inverses[words.tokens], 0)
    targets = np.where(inside, group.inverses[words.targets], 0)
    return words._replace(tokens=tokens, targets=targets)
