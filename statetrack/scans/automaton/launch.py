"""Launching the kernels of automata: grids, alignment, long words cut into pieces."""

import functools
from typing import Any

import torch
from torch import Tensor

from automata.letters import word_portion

LANES = 32
TILE = 32
# Measured on an H200: a lane's step, the steps of full multiprocessors together, the launches that
# cutting words adds. In microseconds.
LANE_STEP = 0.08
STEPS_TOGETHER = 2e-6
CUT_LAUNCHES = 100.0
CUT_PIECES = 16384
SHORTEST_PIECE = 128
GROUP = 64
# From this many letters on a narrow copy of a wide table pays for itself.
NARROW_FROM = 2**22


def is_cut(num_words: int, length: int, num_states: int) -> bool:
    """Whether words are cut in time so that the GPU is filled, and then run from all states.

    Parameters
    ----------
    num_words, length, num_states : int
    """
    whole = LANE_STEP * length
    pieces = CUT_LAUNCHES + STEPS_TOGETHER * num_words * length * (num_states + 1)
    return pieces < whole or length >= 2**31


def run_words(
    transitions: Tensor,
    words: Tensor,
    initial: Tensor | None,
    start: int,
    outputs: Tensor | None,
    written: Tensor,
) -> Tensor:
    """Run an automaton over words on the GPU.

    Parameters
    ----------
    transitions : Tensor of int, [num_states, num_symbols]
    words : Tensor of int, [num_words, T]
        Any stride between words, unit stride in time; T >= 1.
    initial : Tensor of int, [num_words], or None
        State before each word.
    start : int
        The state before every word where `initial` is None.
    outputs : Tensor, [num_states], or None
    written : Tensor, [num_words, T]
        Takes the states, or the outputs.

    Returns
    -------
    Tensor of int64, [num_words]
        State after each word.
    """
    num_words, length = words.shape
    num_states = transitions.shape[0]
    table = _narrow(transitions, words.numel())
    first = None if initial is None else initial.contiguous()
    chunk = length
    if is_cut(num_words, length, num_states):
        pieces = -(-num_words * length // CUT_PIECES)
        chunk = max(SHORTEST_PIECE, -(-pieces // TILE) * TILE)
    num_chunks = -(-length // chunk)
    arguments = (table, outputs, words, chunk, num_chunks)
    if num_chunks > 1:
        images = words.new_empty(num_words, num_chunks, num_states, dtype=torch.int32)
        _launch_scan(*arguments, None, 0, None, images)
        first = _states_before(images, first, start)
    final = words.new_empty(num_words, num_chunks, dtype=torch.int64)
    _launch_scan(*arguments, first, start, written, final)
    return final[:, -1].clone()


def _launch_scan(
    table: Tensor,
    outputs: Tensor | None,
    words: Tensor,
    chunk: int,
    num_chunks: int,
    initial: Tensor | None,
    start: int,
    written: Tensor | None,
    final: Tensor,
) -> None:
    from statetrack.scans.automaton.kernel import scan_kernel

    length = words.shape[-1]
    _run(
        scan_kernel,
        final.numel(),
        table,
        _storage(outputs),
        words,
        initial,
        _storage(written),
        final,
        final.numel(),
        length,
        chunk,
        num_chunks,
        *table.shape,
        words.stride(0),
        start,
        FILL=_fill(outputs),
        IMAGES=written is None,
        CUT=num_chunks > 1,
        ALIGNED=_aligned(length, chunk, words.stride(0)),
    )


def _states_before(maps: Tensor, initial: Tensor | None, start: int) -> Tensor:
    """State before every map [num_words, length, num_states] of every word, flat."""
    from statetrack.scans.automaton.kernel import chain_kernel

    num_words, length, num_states = maps.shape
    group = length if length <= 2 * GROUP else GROUP
    num_groups = -(-length // group)
    shape = (length, group, num_groups, num_states)
    if num_groups > 1:
        images = maps.new_empty(num_words, num_groups, num_states)
        count = images.numel()
        _run(chain_kernel, count, maps, None, None, images, count, *shape, 0, IMAGES=True)
        initial = _states_before(images, initial, start)
    before = maps.new_empty(num_words * length)
    count = num_words * num_groups
    _run(chain_kernel, count, maps, initial, before, None, count, *shape, start, IMAGES=False)
    return before


def draw_words(
    num_symbols: int,
    tokens: Tensor,
    *,
    seed: int | Tensor,
    stream: int,
    first_item: int | Tensor,
    first_letter: int,
    portion: Tensor | None,
    transitions: Tensor | None = None,
    initial: int | Tensor = 0,
    outputs: Tensor | None = None,
    states: Tensor | None = None,
    labels: Tensor | None = None,
) -> None:
    """Fill `tokens` with uniform words, and `states` and `labels` with what an automaton makes.

    Parameters
    ----------
    num_symbols : int
    tokens : Tensor, [num_runs, num_items, T]
        Contiguous, not empty; so are `states` and `labels`.
    seed, first_item, initial : int or Tensor of int, [num_runs]
        One for all runs or one for each.
    stream : int
        Second word of the key.
    first_letter : int
        Where in every word `tokens` begin, a multiple of 4; 0 with a `portion`.
    portion : Tensor of int32, or None
        The codes of a split's words, where they are short.
    transitions : Tensor, [num_states, num_symbols], optional
    outputs : Tensor, [num_states], optional
    states, labels : Tensor, [num_runs, num_items, T], optional
    """
    from statetrack.scans.automaton.kernel import draw_kernel

    num_runs, num_items, length = tokens.shape
    chunk = length
    if transitions is None and portion is None:
        pieces = -(-tokens.numel() // CUT_PIECES)
        chunk = min(length, max(TILE, -(-pieces // TILE) * TILE))
    num_chunks = -(-length // chunk)
    num_lanes = num_runs * num_items * num_chunks
    items, item = _tensor_or_int(first_item)
    seeds, key = _tensor_or_int(seed)
    starts, start = _tensor_or_int(initial)
    _run(
        draw_kernel,
        num_lanes,
        None if transitions is None else _narrow(transitions, tokens.numel()),
        _storage(outputs),
        portion,
        seeds,
        items,
        starts,
        tokens,
        states,
        _storage(labels),
        num_lanes,
        num_items,
        length,
        chunk,
        num_chunks,
        0 if transitions is None else transitions.shape[0],
        num_symbols,
        0 if portion is None else len(portion),
        num_symbols ** (length - 1) if portion is not None else 0,
        _signed_word(key),
        _signed_word(stream),
        _signed_word(item & 0xFFFFFFFF),
        _signed_word(item >> 32),
        first_letter // 4,
        start,
        FILL=_fill(outputs),
        CUT=num_chunks > 1,
        ALIGNED=_aligned(length, chunk),
    )


# Without a bound: a captured CUDA graph may read a portion at every replay.
@functools.cache
def portion_on(device: torch.device, num_symbols: int, length: int, split: str) -> Tensor:
    """Codes of the short words of a split on a device.

    Parameters
    ----------
    device : torch.device
    num_symbols, length, split
        See `automata.letters.word_portion`.

    Returns
    -------
    Tensor of int32, [portion_size]
    """
    codes = torch.from_numpy(word_portion(num_symbols, length, split).copy())
    return codes.to(device, torch.int32)


def _narrow(transitions: Tensor, num_letters: int) -> Tensor:
    """The table in 16 bits where that saves more cache traffic than it costs."""
    num_states = transitions.shape[0]
    if num_letters < NARROW_FROM or transitions.element_size() <= 2 or num_states >= 2**15:
        return transitions.contiguous()
    return transitions.clamp(-1, num_states).to(torch.int16).contiguous()


def _run(kernel: Any, num_lanes: int, *arguments: Any, **constants: Any) -> None:
    """Launch one warp for every `LANES` lanes, on the device of the arguments."""
    device = next(one.device for one in arguments if isinstance(one, Tensor))
    with torch.cuda.device(device.index if device.type == "cuda" else -1):
        kernel[(-(-num_lanes // LANES),)](*arguments, **constants, num_warps=1, num_stages=1)


def _tensor_or_int(value: int | Tensor) -> tuple[Tensor | None, int]:
    return (value.contiguous(), 0) if isinstance(value, Tensor) else (None, value)


def _signed_word(value: int) -> int:
    """The int32 with the bits of a 32-bit word, so that its type never depends on its value."""
    return value - 2**32 if value >= 2**31 else value


def _storage(tensor: Tensor | None) -> Tensor | None:
    """Booleans as the bytes that hold them."""
    if tensor is None or tensor.dtype != torch.bool:
        return tensor
    return tensor.contiguous().view(torch.uint8)


def _fill(outputs: Tensor | None) -> int:
    """What stands for the output of the state -1."""
    return fill_value(torch.int64 if outputs is None else outputs.dtype)


def fill_value(dtype: torch.dtype) -> int:
    """Return the label of the state -1: False, the largest byte, or -1.

    Parameters
    ----------
    dtype : torch.dtype
    """
    return {torch.bool: 0, torch.uint8: 255}.get(dtype, -1)


def _aligned(*lengths: int) -> bool:
    return all(length % TILE == 0 for length in lengths)
