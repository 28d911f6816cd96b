"""Language modelling: predict every next character of a text file."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Final

import numpy as np

from automata.errors import InputError, unknown_name
from automata.files import read_bytes
from automata.philox import SPLITS, Stream, uniform_integers
from automata.tasks.next_token import NextTokenTask
from automata.tasks.published import published_versions
from automata.tasks.task import Task
from automata.tasks.token_laws import TokenLaw, drawn_lengths
from automata.validation import BoolArray, FloatArray, IntArray, as_integer, read_only

__all__ = ["Text", "TextTask", "TextWindows", "read_text_file", "text"]

MAX_TEXT_BYTES: Final = 2**30
_KEPT_TEXTS: Final = 2
_texts: "dict[str, Text]" = {}


@dataclass(frozen=True)
class Text:
    """The characters of a file; equal where the bytes are.

    Attributes
    ----------
    sha256 : str
        Digest of the file's bytes, 64 hexadecimal digits.
    vocabulary : str
        Distinct characters in the order of their code points.
    tokens : ndarray of unsigned int, [num_characters]
        Place of every character in the vocabulary.
    """

    sha256: str
    vocabulary: str = field(compare=False)
    tokens: Any = field(compare=False, repr=False)


def read_text_file(path: str | os.PathLike[str], sha256: str | None = None) -> Text:
    r"""Read a UTF-8 text; no character is changed or left out.

    Parameters
    ----------
    path : str or path-like
    sha256 : str, optional
        Digest that the file must have.

    Returns
    -------
    Text

    Raises
    ------
    InputError
        If the file cannot be read, has more than 2**30 bytes, is empty or no UTF-8, or has another
        digest.

    Notes
    -----
    The file is read whenever it is asked for, so that a change is always seen; the last texts are
    not decoded again.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write("dé\n".encode()), file.flush()
    ...     text = read_text_file(file.name)
    >>> text.vocabulary, text.tokens.tolist()
    ('\ndé', [1, 2, 0])
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path is {path!r}: give the path of a text file")
    data = read_bytes(path, MAX_TEXT_BYTES)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None:
        if not isinstance(sha256, str) or len(sha256) != len(found):
            raise InputError(f"sha256 is {sha256!r}: give {len(found)} hexadecimal digits")
        if sha256.lower() != found:
            raise InputError(
                f"{os.fspath(path)!r} holds another text than before: its sha256 is {found}, and "
                f"{sha256.lower()} was asked for"
            )
    kept = _texts.pop(found, None) or _decode(data, found, os.fspath(path))
    _texts[found] = kept
    while len(_texts) > _KEPT_TEXTS:
        del _texts[next(iter(_texts))]
    return kept


def _decode(data: bytes, digest: str, path: str) -> Text:
    if data.isascii():
        codes: Any = np.frombuffer(data, dtype=np.uint8)
    else:
        try:
            wide = data.decode("utf-8").encode("utf-32-le")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path!r} is no UTF-8 text: byte {error.start} cannot be decoded"
            ) from None
        codes = np.frombuffer(wide, dtype="<u4")
    if not codes.size:
        raise InputError(f"{path!r} is empty: give a text")
    is_there = np.zeros(int(codes.max()) + 1, dtype=bool)
    is_there[codes] = True
    vocabulary = np.flatnonzero(is_there)
    kind = next(k for k in (np.uint8, np.uint16, np.uint32) if vocabulary.size <= np.iinfo(k).max)
    places = np.zeros(is_there.size, dtype=kind)
    places[vocabulary] = np.arange(vocabulary.size)
    tokens = places[codes]
    read_only(tokens)
    return Text(digest, "".join(map(chr, vocabulary.tolist())), tokens)


@dataclass(frozen=True)
class TextWindows(TokenLaw):
    """Windows of a text, their places uniform over a split's own part of it.

    The text is cut into three parts, in this order: train, selection, report. The last two share
    what is held out in equal halves, and no window reaches over a cut. Lane 0 of block 0 of an item
    is the place of its window, among all places where the longest word asked for fits.

    Attributes
    ----------
    text : Text
    held_out : float
        Share of the text, between 0 and 1.

    Examples
    --------
    >>> law = TextWindows(Text("", "ab", np.arange(40) % 2), 0.5)
    >>> law.part("train"), law.part("selection"), law.part("report")
    ((0, 20), (20, 30), (30, 40))
    """

    text: Text
    held_out: float

    def __post_init__(self) -> None:
        """Refuse a share out of range, and a text of which a split gets less than two tokens."""
        share = self.held_out
        if not isinstance(share, Real) or isinstance(share, bool) or not 0 < share < 1:
            raise InputError(f"held_out is {share!r}: give a share between 0 and 1, such as 0.1")
        sizes = {split: end - begin for split in SPLITS for begin, end in [self.part(split)]}
        least = min(sizes, key=lambda split: sizes[split])
        if sizes[least] < 2:
            raise InputError(
                f"the text has {self.text.tokens.size} characters, and held_out = {share} leaves "
                f"{sizes[least]} of them for {least}: give a longer text or another share"
            )

    @property
    def num_tokens(self) -> int:
        """Number of distinct characters."""
        return len(self.text.vocabulary)

    @property
    def description(self) -> str:
        """The law in a few words."""
        return "windows of a text, uniform over the part of their split"

    def part(self, split: str) -> tuple[int, int]:
        """Return the first place of a split's part of the text, and the end of it.

        Parameters
        ----------
        split : {"train", "selection", "report"}

        Returns
        -------
        begin, end : int
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        size = int(self.text.tokens.size)
        half = int(size * self.held_out / 2)
        cuts = (0, size - 2 * half, size - half, size)
        number = SPLITS.index(split)
        return cuts[number], cuts[number + 1]

    def draw(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray]:
        """Draw consecutive items (see `TokenLaw`)."""
        begin, end = self.part(split)
        if longest > end - begin:
            raise InputError(
                f"the {split} part of the text has {end - begin} characters, too few for {longest} "
                "in a row: give shorter words or a longer text"
            )
        lengths = drawn_lengths(
            first_item, num_items, range(shortest, longest + 1), seed=seed, split=split
        )
        offsets = uniform_integers(
            end - begin - longest + 1,
            np.arange(first_item, first_item + num_items, dtype=np.int64),
            1,
            seed=seed,
            split=split,
            stream=Stream.TEXT_WINDOWS,
        )[:, :1]
        places = begin + offsets + np.arange(longest)
        return self.text.tokens[places].astype(np.int64), lengths


class TextTask(NextTokenTask):
    """Predict the next character everywhere in windows of a text.

    The last character of a word has a target too: the one that follows in the text. `label` and
    `explain` see the word alone and leave it out.

    Parameters
    ----------
    law : TextWindows
    facts : mapping of str to str
    """

    def __init__(self, law: TextWindows, facts: Mapping[str, str]) -> None:
        super().__init__("text", law, alphabet=tuple(law.text.vocabulary), facts=facts)
        self._windows = law

    @property
    def places(self) -> Mapping[str, Mapping[str, str]]:
        """The path, and the digest of what lies there."""
        return {"path": {"sha256": self._windows.text.sha256}}

    @property
    def is_language_model(self) -> bool:
        """True."""
        return True

    def check_length(self, length: int, split: str) -> None:
        """Raise `InputError` where the part of a split is too short for a word of a length."""
        begin, end = self._windows.part(split)
        if length >= end - begin:
            raise InputError(
                f"the {split} part of the text has {end - begin} characters, too few for words of "
                f"length {length} and the character after them: give shorter words or a longer text"
            )

    def _draw_labelled(
        self, first_item: int, num_items: int, shortest: int, longest: int, *, seed: int, split: str
    ) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
        self.check_length(longest, split)
        drawn, lengths = self._windows.draw(
            first_item, num_items, shortest + 1, longest + 1, seed=seed, split=split
        )
        tokens, targets = drawn[:, :-1].copy(), drawn[:, 1:].copy()
        return tokens, lengths - 1, targets, np.ones(tokens.shape, dtype=np.bool_)

    @property
    def has_exact_rates(self) -> bool:
        """True."""
        return True

    def class_distribution(self, length: int) -> FloatArray:
        """Return how often each character follows, counted over all windows of the training part.

        Parameters
        ----------
        length : int

        Returns
        -------
        ndarray of float64, [length, num_classes]
        """
        length = as_integer(length, "length", 1)
        self.check_length(length, "train")
        begin, end = self._windows.part("train")
        tokens = self._windows.text.tokens[begin:end]
        num_windows = tokens.size - length
        counts = np.bincount(tokens[1 : num_windows + 1], minlength=self.num_classes)
        result = np.empty((length, self.num_classes))
        result[0] = counts
        for position in range(1, length):
            counts[tokens[position]] -= 1
            counts[tokens[position + num_windows]] += 1
            result[position] = counts
        return result / num_windows


def text(*, path: str, held_out: float = 0.1, sha256: str | None = None) -> Task:
    """Predict the next character of a text file.

    Parameters
    ----------
    path : str
        A UTF-8 file of up to 2**30 bytes.
    held_out : float
        Share of the text, at its end, that is not trained on: its first half is for selection, its
        second for the report.
    sha256 : str, optional
        Digest of the file that is meant; a file with another one is refused. Configurations fill it
        in, and know a text by it, wherever the file lies.

    Returns
    -------
    Task
        Tokens are the distinct characters of the whole file, in the order of their code points.
        Every position of a word has a target, and the loss of a model is reported.

    Notes
    -----
    On tiny Shakespeare (1,115,394 characters, 65 distinct), it is what the author of the Matrix
    Recurrent Unit compares its input methods with attention on (Levi 2024). Character models of
    that text are commonly measured on its last tenth; here one half of it selects, and only the
    other is reported.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"to be or not to be " * 40), file.flush()
    ...     task = text(path=file.name)
    >>> batch = task.sample(seed=1, batch_size=1, length=9)
    >>> ["".join(task.alphabet[i] for i in row[0]) for row in (batch.tokens, batch.targets)]
    [' not to b', 'not to be']
    """
    read = read_text_file(path, sha256)
    facts = {
        "file": Path(path).name,
        "sha256": read.sha256,
        "num_characters": str(read.tokens.size),
        **published_versions(text),
    }
    return TextTask(TextWindows(read, held_out), facts)
