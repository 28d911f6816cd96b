"""Uniform words drawn on a device and run through an automaton there."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from automata.errors import InputError
from automata.letters import piece_length
from statetrack.scans.automaton.arguments import (
    check_dtype,
    check_outputs,
    check_start,
    check_table,
    choose_automaton_backend,
    require_integers,
    require_whole,
)
from statetrack.scans.automaton.draw_operator import words_operator
from statetrack.scans.inputs import shape_of


class UniformWords(NamedTuple):
    """Words and what an automaton makes of them.

    Attributes
    ----------
    tokens : Tensor, [..., num_items, length]
    states : Tensor, [..., num_items, length], or None
        State after every token.
    labels : Tensor, [..., num_items, length], or None
        Output of that state.

    Of a piece of words, `length` is its number of letters.
    """

    tokens: Tensor
    states: Tensor | None
    labels: Tensor | None


def uniform_words(
    transitions: Tensor,
    length: int,
    first_item: int | Tensor,
    num_items: int,
    *,
    seed: int | Tensor = 0,
    split: str = "train",
    initial: int | Tensor = 0,
    outputs: Tensor | None = None,
    keep_states: bool = True,
    first_letter: int = 0,
    num_letters: int | None = None,
    dtype: torch.dtype = torch.int64,
    backend: str = "auto",
) -> UniformWords:
    """Draw words of independent uniform letters and run an automaton over them.

    Parameters
    ----------
    transitions : Tensor of int, [num_states, num_symbols]
        A complete automaton; words are drawn where it lies.
    length : int
        Letters per word.
    first_item : int or Tensor of int64, [...]
        Items ``first_item, ..., first_item + num_items - 1``. A tensor on the device is read
        there, so that a captured CUDA graph draws new words when it has changed.
    num_items : int
    seed : int or Tensor of int64, [...]
        0 <= seed < 2**32. Leading axes of `first_item`, `seed` and `initial` broadcast: many runs
        draw their words at once.
    split : {"train", "selection", "report"}
    initial : int or Tensor of int, [...]
        State before the first letter that is drawn.
    outputs : Tensor of int or bool, [num_states], optional
        What to label states with.
    keep_states : bool
        Whether states are written as well.
    first_letter : int
        Where to begin in every word of `length` letters, a multiple of 4: a word too long to hold
        is drawn in pieces, each from the state after the one before.
    num_letters : int, optional
        How many letters to draw; by default all to the end.
    dtype : torch.dtype
        Integer type of tokens and states; labels have the type of `outputs`.
    backend : {"auto", "reference", "parallel", "triton"}
        "auto" takes the fastest that runs where `transitions` lies.

    Returns
    -------
    UniformWords
        Tokens equal to those of `automata.words.uniform_letters`, on every device.

    Raises
    ------
    InputError
        An argument out of range, or a split that would hold no word. What lies in tensors is not
        looked at: an item has its low 64 bits, a seed its low 32, and a state or table entry out
        of range gives -1 from there on, as in `automaton_scan`.

    Notes
    -----
    On a GPU one kernel draws, runs and labels; nothing is read but the tables. Few long words are
    drawn first and then run in pieces.

    Examples
    --------
    >>> parity = torch.tensor([[0, 1], [1, 0]])
    >>> is_odd = torch.tensor([False, True])
    >>> drawn = uniform_words(parity, 20, 0, 2, seed=1, outputs=is_odd)
    >>> drawn.tokens[:, :5].tolist()
    [[1, 1, 1, 1, 0], [1, 1, 0, 1, 0]]
    >>> drawn.labels[0, :5].tolist()
    [True, False, True, False, False]
    """
    num_states, num_symbols = check_table("uniform_words", transitions)
    check_outputs("uniform_words", outputs, transitions)
    check_dtype("uniform_words", dtype, max(num_states, num_symbols))
    for name, value in (("length", length), ("num_items", num_items)):
        if not (isinstance(value, int) and 0 <= value < 2**63):
            raise InputError(
                f"uniform_words: {name} = {value}: expected a whole number from 0 to 2**63 - 1"
            )
    given = {"first_item": first_item, "seed": seed, "initial": initial}
    for name, one in given.items():
        require_whole("uniform_words", name, one)
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        raise InputError(f"uniform_words: seed = {seed}: expected 0 to 2**32 - 1")
    if isinstance(first_item, int) and not 0 <= first_item <= 2**63 - 1 - num_items:
        raise InputError(
            f"uniform_words: first_item = {first_item}: expected 0 to 2**63 - 1 - num_items"
        )
    if isinstance(initial, int):
        check_start("uniform_words", initial, num_states)
    if outputs is None and not keep_states:
        raise InputError("uniform_words: keep_states=False needs outputs: nothing would be written")
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        require_integers("uniform_words", name, tensor, transitions.device)
    leading: Sequence[int] = ()
    try:
        if tensors:
            leading = torch.broadcast_shapes(*(tensor.shape for tensor in tensors.values()))
    except RuntimeError as error:
        shapes = ", ".join(f"{name} {shape_of(tensor)}" for name, tensor in tensors.items())
        raise InputError(f"uniform_words: leading axes do not broadcast: {shapes}") from error

    def split_kinds(value: int | Tensor) -> tuple[Tensor | None, int]:
        return (value.expand(leading), 0) if isinstance(value, Tensor) else (None, value)

    count = piece_length(length, first_letter, num_letters)
    if first_letter % 4:
        raise InputError(
            f"uniform_words: first_letter = {first_letter}: letters are drawn four at a time; "
            "begin at a multiple of 4"
        )
    work = num_items * num_states
    tokens, states, labels = words_operator(
        transitions,
        outputs,
        list(leading),
        num_items,
        length,
        *split_kinds(seed),
        *split_kinds(first_item),
        *split_kinds(initial),
        split,
        dtype,
        keep_states,
        choose_automaton_backend("uniform_words", backend, transitions.device, work, count),
        first_letter,
        count,
    )
    return UniformWords(
        tokens, states if keep_states else None, None if outputs is None else labels
    )
