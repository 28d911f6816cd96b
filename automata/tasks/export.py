"""Words and targets of a task as files: Parquet with a card, CSV, NumPy."""

import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from automata.atomic_files import replacing
from automata.errors import InputError, unknown_name
from automata.philox import SPLITS
from automata.tasks.batch import Batch, read_lengths
from automata.tasks.task import Task
from automata.tasks.word_files import csv_lines
from automata.uniform_draw import check_size
from automata.validation import as_integer

__all__ = ["FORMATS", "write_dataset", "write_words"]

FORMATS: Final = ("parquet", "csv", "npz")
_TOKENS_PER_CHUNK: Final = 1 << 22
_MAX_WORDS: Final = 2**31
_LARGEST_ID: Final = np.iinfo(np.int16).max


def write_words(
    task: Task,
    path: str | os.PathLike[str],
    *,
    num_words: int,
    length: int | tuple[int, int],
    split: str = "train",
    seed: int = 0,
) -> Path:
    """Write the first words of one split to a file, and the task's card beside it.

    Parameters
    ----------
    task : Task
    path : str or path-like
        The ending names the format: ``.parquet``, ``.csv`` or ``.npz``.
    num_words : int
    length : int or (low, high)
        See `Task.sample`; words are written without padding (but for ``.npz``).
    split : {"train", "selection", "report"}
    seed : int

    Returns
    -------
    Path
        Of the file. The card has the same name with ``.card.json`` at its end.

    Raises
    ------
    InputError
        On arguments out of range, an unknown ending, tokens that do not fit the format, or a file
        that cannot be written. What was there before then stays.

    Notes
    -----
    * Parquet, which needs the extra ``data``: columns ``tokens`` and ``targets`` (lists of int16),
      ``mask`` (list of bool), ``length`` (int32), ``task``, ``seed`` (int64), ``split``.
    * CSV: see `automata.tasks.word_files`; every position must be supervised.
    * NumPy: the arrays of `Batch`, padded, int16 and bool, int32 for the lengths.

    Examples
    --------
    >>> import tempfile
    >>> from automata.tasks import get_task
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_words(get_task("s3"), Path(folder, "s3.csv"), num_words=2, length=9)
    ...     print(path.read_text())
    seed,input,target
    0,2 5 4 3 3 5 0 3 0,2 3 0 3 4 1 1 2 2
    0,5 2 4 0 4 5 2 2 2,5 4 3 3 0 5 4 5 4
    <BLANKLINE>
    """
    target = _write_file(task, Path(path), num_words, length, split, seed)
    card = {
        "task": task.card(),
        "num_words": num_words,
        "length": length,
        "seed": seed,
        "split": split,
    }
    write_card(card, target.with_name(f"{target.stem}.card.json"))
    return target


def write_dataset(
    task: Task,
    folder: str | os.PathLike[str],
    *,
    num_words: int | Mapping[str, int],
    length: int | tuple[int, int],
    seed: int = 0,
) -> list[Path]:
    """Write a folder that ``datasets.load_dataset(folder)`` reads without a script.

    Parameters
    ----------
    task : Task
    folder : str or path-like
    num_words : int or mapping of str to int
        For every split, or by split.
    length, seed
        See `write_words`.

    Returns
    -------
    list of Path
        ``data/SPLIT-00000-of-00001.parquet`` for every split, and ``card.json``.

    Raises
    ------
    InputError
        As `write_words`.

    Examples
    --------
    >>> import tempfile
    >>> from automata.tasks import get_task
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     paths = write_dataset(get_task("s3"), folder, num_words=100, length=64)
    """
    counts = dict.fromkeys(SPLITS, num_words) if isinstance(num_words, int) else dict(num_words)
    for split in counts:
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
    if not counts:
        raise InputError("num_words names no split: give a number of words")
    root = Path(folder)
    paths = []
    for split, count in counts.items():
        path = root / "data" / f"{split}-00000-of-00001.parquet"
        paths.append(_write_file(task, path, count, length, split, seed))
    card = {"task": task.card(), "num_words": counts, "length": length, "seed": seed}
    paths.append(write_card(card, root / "card.json"))
    return paths


def write_card(card: Mapping[str, Any], path: Path) -> Path:
    """Write a card as JSON.

    Parameters
    ----------
    card : mapping
    path : Path

    Returns
    -------
    Path
    """
    with replacing(path) as temporary:
        text = json.dumps(card, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def _write_file(
    task: Task,
    path: Path,
    num_words: int,
    length: int | tuple[int, int],
    split: str,
    seed: int,
) -> Path:
    file_format = path.suffix.removeprefix(".").lower()
    if file_format not in FORMATS:
        raise unknown_name("file format", path.suffix, [f".{name}" for name in FORMATS])
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    num_words = as_integer(num_words, "num_words", 1, _MAX_WORDS)
    if max(task.num_tokens, task.num_classes - 1) > _LARGEST_ID:
        raise InputError(
            f"{task.name} has {task.num_tokens} tokens and {task.num_classes} classes: files hold "
            f"16-bit numbers, up to {_LARGEST_ID}"
        )
    write = {"parquet": _write_parquet, "csv": _write_csv, "npz": _write_npz}[file_format]
    with replacing(path) as temporary:
        write(temporary, task, _Words(task, num_words, length, split, seed))
    return path


class _Words:
    """The words of a file, drawn a part at a time."""

    def __init__(
        self, task: Task, num_words: int, length: int | tuple[int, int], split: str, seed: int
    ) -> None:
        self.task, self.num_words, self.length = task, num_words, length
        self.split, self.seed = split, seed

    def batches(self) -> Iterator[Batch]:
        """Draw the words in order; the last part is cut to size."""
        _, longest = read_lengths(self.length)
        size = min(self.num_words, max(1, _TOKENS_PER_CHUNK // longest))
        for step in range(-(-self.num_words // size)):
            batch = self.task.sample(
                self.seed, batch_size=size, length=self.length, split=self.split, step=step
            )
            keep = min(size, self.num_words - step * size)
            yield Batch(
                batch.tokens[:keep],
                batch.targets[:keep],
                batch.mask[:keep],
                batch.lengths[:keep],
                batch.valid[:keep],
            )


def _write_parquet(path: Path, task: Task, words: _Words) -> None:
    arrow, parquet = _import("pyarrow"), _import("pyarrow.parquet")
    schema = arrow.schema(
        [
            ("tokens", arrow.list_(arrow.int16())),
            ("targets", arrow.list_(arrow.int16())),
            ("mask", arrow.list_(arrow.bool_())),
            ("length", arrow.int32()),
            ("task", arrow.string()),
            ("seed", arrow.int64()),
            ("split", arrow.string()),
        ]
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in words.batches():
            offsets = np.concatenate([[0], np.cumsum(batch.lengths)]).astype(np.int32)
            lists = [
                arrow.ListArray.from_arrays(offsets, arrow.array(part[batch.valid].astype(kind)))
                for part, kind in (
                    (batch.tokens, np.int16),
                    (batch.targets, np.int16),
                    (batch.mask, np.bool_),
                )
            ]
            count = len(batch.lengths)
            columns = [
                *lists,
                arrow.array(batch.lengths.astype(np.int32)),
                arrow.array([task.name] * count),
                arrow.array(np.full(count, words.seed)),
                arrow.array([words.split] * count),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))


def _write_csv(path: Path, task: Task, words: _Words) -> None:
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write("seed,input,target\n")
        for batch in words.batches():
            if not (batch.mask == batch.valid).all():
                raise InputError(
                    f"{task.name} with supervision {task.supervision!r} leaves positions without a "
                    "target, which CSV cannot tell: write .parquet or .npz, or supervise per_prefix"
                )
            file.writelines(csv_lines(batch, words.seed))


def _write_npz(path: Path, task: Task, words: _Words) -> None:
    check_size(words.num_words, read_lengths(words.length)[1])
    parts = list(words.batches())
    kinds = {"tokens": np.int16, "targets": np.int16, "mask": np.bool_, "lengths": np.int32}
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]).astype(kind)
        for name, kind in kinds.items()
    }
    with open(path, "wb") as file:
        save: Callable[..., None] = np.savez_compressed
        save(file, **arrays, seed=np.int64(words.seed))


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            "Parquet needs the package pyarrow: install statetrack[data], or write .csv or .npz"
        ) from None
