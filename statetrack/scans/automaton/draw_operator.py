"""The drawing of uniform words, run through an automaton, as a torch operator."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from automata.letters import is_split_by_word, word_portion
from automata.philox import Stream, stream_key
from statetrack.scans.automaton.launch import draw_words, is_cut, portion_on, run_words
from statetrack.scans.automaton.letters import uniform_letters
from statetrack.scans.automaton.operator import DisjointUnion, mapped_first, scan_in_torch
from statetrack.scans.operators import register_operator


def _draw(
    transitions: Tensor,
    outputs: Tensor | None,
    leading: Sequence[int],
    num_items: int,
    length: int,
    seeds: Tensor | None,
    seed: int,
    items: Tensor | None,
    first_item: int,
    initial: Tensor | None,
    start: int,
    split: str,
    dtype: torch.dtype,
    keep_states: bool,
    backend: str,
    first_letter: int,
    num_letters: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw and run pieces of words of `length` letters.

    `seeds`, `items` and `initial` are [*leading], or None for one value.
    """
    num_states, num_symbols = transitions.shape
    is_short = length > 0 and is_split_by_word(num_symbols, length)
    if is_short:
        word_portion(num_symbols, length, split)
    stream = stream_key(seed, split, Stream.SHORT_WORDS if is_short else Stream.LETTERS)[1]
    tokens, states, labels = _empty_words(
        transitions, outputs, leading, num_items, num_letters, dtype, keep_states
    )
    if not tokens.numel():
        return tokens, states, labels
    is_piece = num_letters < length
    if backend != "triton" or (is_short and is_piece):
        drawn = uniform_letters(
            num_symbols,
            length,
            first_item if items is None else items,
            num_items,
            seed=seed if seeds is None else seeds,
            split=split,
            first_letter=first_letter,
            num_letters=num_letters,
            device=transitions.device,
            backend="reference",
        ).expand(tokens.shape)
        first = None if initial is None else initial.unsqueeze(-1).expand(tokens.shape[:-1])
        tokens.copy_(drawn)
        in_torch = "reference" if backend == "triton" else backend
        for written, read in ((states, None), (labels, outputs)):
            if written.numel():
                found, _ = scan_in_torch(transitions, drawn, first, start, read, dtype, in_torch)
                written.copy_(found)
        return tokens, states, labels
    shape = (prod(leading), num_items, num_letters)
    draw: dict[str, Any] = {
        "seed": seed if seeds is None else seeds.reshape(-1),
        "stream": stream,
        "first_item": first_item if items is None else items.reshape(-1),
        "first_letter": first_letter,
        "portion": portion_on(transitions.device, num_symbols, length, split) if is_short else None,
    }
    num_words = shape[0] * num_items
    if not is_cut(num_words, num_letters, num_states):
        draw_words(
            num_symbols,
            tokens.view(shape),
            **draw,
            transitions=transitions,
            initial=start if initial is None else initial.reshape(-1),
            outputs=outputs,
            states=states.view(shape) if keep_states else None,
            labels=None if outputs is None else labels.view(shape),
        )
        return tokens, states, labels
    draw_words(num_symbols, tokens.view(shape), **draw)
    first = None
    if initial is not None:
        first = initial.reshape(-1, 1).expand(-1, num_items).reshape(-1)
    for written, read in ((states, None), (labels, outputs)):
        if written.numel():
            flat = tokens.view(num_words, num_letters)
            run_words(transitions, flat, first, start, read, written.view(flat.shape))
    return tokens, states, labels


def _empty_words(
    like: Tensor,
    outputs: Tensor | None,
    leading: Sequence[int],
    num_items: int,
    length: int,
    dtype: torch.dtype,
    keep_states: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Room for tokens, states and labels; of length 0 where one is not asked for."""
    shape = (*leading, num_items, length)
    tokens = like.new_empty(shape, dtype=dtype)
    states = like.new_empty(shape if keep_states else (0,), dtype=dtype)
    if outputs is None:
        return tokens, states, like.new_empty((0,), dtype=dtype)
    return tokens, states, outputs.new_empty(shape)


def _allocate(
    transitions: Tensor,
    outputs: Tensor | None,
    leading: Sequence[int],
    num_items: int,
    length: int,
    seeds: Tensor | None,
    seed: int,
    items: Tensor | None,
    first_item: int,
    initial: Tensor | None,
    start: int,
    split: str,
    dtype: torch.dtype,
    keep_states: bool,
    backend: str,
    first_letter: int,
    num_letters: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_words(transitions, outputs, leading, num_items, num_letters, dtype, keep_states)


def _map(
    info: Any,
    in_dims: Any,
    transitions: Tensor,
    outputs: Tensor | None,
    leading: Sequence[int],
    num_items: int,
    length: int,
    seeds: Tensor | None,
    seed: int,
    items: Tensor | None,
    first_item: int,
    initial: Tensor | None,
    start: int,
    split: str,
    dtype: torch.dtype,
    keep_states: bool,
    backend: str,
    first_letter: int,
    num_letters: int,
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int | None, ...]]:
    size = info.batch_size
    seeds, items, initial = (
        None if tensor is None else mapped_first(tensor, axis, size)
        for tensor, axis in zip((seeds, items, initial), in_dims[5:10:2], strict=True)
    )
    union = None
    wide = dtype
    if in_dims[0] is not None or in_dims[1] is not None:
        union = DisjointUnion(transitions, in_dims[0], outputs, in_dims[1], size)
        transitions, outputs, wide = union.transitions, union.outputs, torch.int64
        if initial is None:
            initial = torch.full((size, *leading), start, device=transitions.device)
        initial = union.enter(initial)
    tokens, states, labels = words_operator(
        transitions,
        outputs,
        [size, *leading],
        num_items,
        length,
        seeds,
        seed,
        items,
        first_item,
        initial,
        start,
        split,
        wide,
        keep_states,
        backend,
        first_letter,
        num_letters,
    )
    if union is not None:
        tokens = tokens.to(dtype)
        states = union.leave(states).to(dtype) if keep_states else states.to(dtype)
    axes = (0, 0 if keep_states else None, None if outputs is None else 0)
    return (tokens, states, labels), axes


words_operator = register_operator(
    "uniform_words(Tensor transitions, Tensor? outputs, SymInt[] leading, SymInt num_items, "
    "SymInt length, Tensor? seeds, SymInt seed, Tensor? items, SymInt first_item, "
    "Tensor? initial, SymInt start, str split, ScalarType dtype, bool keep_states, str backend, "
    "SymInt first_letter, SymInt num_letters) "
    "-> (Tensor, Tensor, Tensor)",
    _draw,
    _allocate,
    vmap_rule=_map,
)
