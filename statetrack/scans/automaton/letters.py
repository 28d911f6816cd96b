"""Uniform words drawn on the device: the torch twin of `automata.words`, bit for bit.

The algorithm and its constants are described in `automata.philox` and `automata.words`. Torch has
no unsigned 64-bit products, so the high half of a 32 x 32 bit product is put together from two
48-bit ones. Whole words on a GPU are drawn by a kernel.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from automata.errors import InputError, unknown_name
from automata.letters import piece_length
from automata.philox import Stream, stream_key
from automata.words import is_split_by_word, word_portion
from statetrack.scans.automaton.launch import draw_words, portion_on
from statetrack.scans.kernels import why_unavailable

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
LOW_32 = 0xFFFFFFFF
NUM_ROUNDS = 10


def philox_4x32_10(
    counter: tuple[Tensor, ...], key: tuple[int | Tensor, int]
) -> tuple[Tensor, ...]:
    """Ten rounds of Philox-4x32 (Salmon et al. 2011).

    Parameters
    ----------
    counter : four Tensors of int64 below 2**32, broadcastable
    key : two int below 2**32, the first maybe a Tensor that broadcasts

    Returns
    -------
    four Tensors of int64 below 2**32
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(NUM_ROUNDS):
        high0, low0 = _multiply(c0, MULTIPLIERS[0])
        high1, low1 = _multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW_32, (k1 + KEY_STEPS[1]) & LOW_32
    return c0, c1, c2, c3


def uniform_letters(
    num_symbols: int,
    length: int,
    first_item: int | Tensor,
    num_items: int,
    *,
    seed: int | Tensor = 0,
    split: str = "train",
    first_letter: int = 0,
    num_letters: int | None = None,
    device: torch.device | str = "cpu",
    backend: str = "auto",
) -> Tensor:
    """Draw words of independent uniform letters, one for each of consecutive items.

    Parameters
    ----------
    num_symbols : int
        Size of the alphabet, at most 2**31.
    length : int
        Letters per word.
    first_item : int or Tensor of int64, [...]
        Items ``first_item, ..., first_item + num_items - 1``.
    num_items : int
    seed : int or Tensor of int64, [...]
        0 <= seed < 2**32.
    split : {"train", "selection", "report"}
    first_letter : int
        Where to begin in every word of `length` letters.
    num_letters : int, optional
        How many letters to draw; by default all to the end.
    device : torch.device or str
    backend : {"auto", "reference", "triton"}
        "auto" takes the kernel for whole words on a GPU, and torch elsewhere, which
        `torch.func.vmap` needs.

    Returns
    -------
    Tensor of int64, [..., num_items, num_letters]
        Equal to `automata.words.uniform_letters` of the same items.

    Raises
    ------
    InputError
        An argument out of range, a split that would hold no word, a backend that cannot run.

    Examples
    --------
    >>> uniform_letters(2, 20, 0, 2, seed=1)[:, :5].tolist()
    [[1, 1, 1, 1, 0], [1, 1, 0, 1, 0]]
    """
    if not 1 <= num_symbols <= 2**31:
        raise InputError(f"num_symbols = {num_symbols}: expected 1 to 2**31")
    count = piece_length(length, first_letter, num_letters)
    device = torch.device(device)
    if backend not in ("auto", "reference", "triton"):
        raise unknown_name("uniform_letters backend", backend, ("auto", "reference", "triton"))
    reason = why_unavailable(device)
    if reason is None and count != length:
        reason = f"it draws whole words, not {count} letters of {length}"
    if backend == "triton" and reason is not None:
        raise InputError(
            f"uniform_letters: backend 'triton' cannot run: {reason}; use backend='reference'"
        )
    given = [one.shape for one in (first_item, seed) if isinstance(one, Tensor)]
    shape = (*torch.broadcast_shapes(*given), num_items, count)
    if prod(shape) == 0:
        return torch.zeros(shape, dtype=torch.int64, device=device)
    drawn = (num_symbols, length, first_item, shape, seed, split)
    if backend == "triton" or (backend == "auto" and device.type == "cuda" and reason is None):
        return _by_kernel(*drawn, device)
    return _in_torch(*drawn, first_letter, device)


def _in_torch(
    num_symbols: int,
    length: int,
    first_item: int | Tensor,
    shape: Sequence[int],
    seed: int | Tensor,
    split: str,
    first_letter: int,
    device: torch.device,
) -> Tensor:
    """The plain twin, which draws pieces as well."""
    *_runs, num_items, count = shape
    # Added as a number or as a tensor: a first item on the device stays there.
    items = torch.arange(num_items, device=device)
    items = items + (first_item.unsqueeze(-1) if isinstance(first_item, Tensor) else first_item)
    items = items.unsqueeze(-1).expand(*shape[:-1], 1)
    if is_split_by_word(num_symbols, length):
        portion = torch.from_numpy(word_portion(num_symbols, length, split).copy()).to(device)
        block = torch.full((1, 1), length, device=device)
        draw = _words(items, block, _key(seed, split, Stream.SHORT_WORDS))[..., :1]
        code = portion[draw * len(portion) >> 32]
        last_place = length - 1 - first_letter
        place_values = num_symbols ** torch.arange(
            last_place, last_place - count, -1, device=device
        )
        return code // place_values % num_symbols
    first_block, skipped = divmod(first_letter, 4)
    end_block = first_block - (-(skipped + count) // 4)
    blocks = torch.arange(first_block, end_block, device=device).unsqueeze(0)
    words = _words(items, blocks, _key(seed, split, Stream.LETTERS))
    return (words * num_symbols >> 32)[..., skipped : skipped + count]


def _by_kernel(
    num_symbols: int,
    length: int,
    first_item: int | Tensor,
    shape: Sequence[int],
    seed: int | Tensor,
    split: str,
    device: torch.device,
) -> Tensor:
    """Whole words."""
    *runs, num_items, _ = shape
    tokens = torch.empty(shape, dtype=torch.int64, device=device)
    is_short = is_split_by_word(num_symbols, length)
    draw_words(
        num_symbols,
        tokens.view(prod(runs), num_items, length),
        seed=_of_runs(seed, runs),
        stream=stream_key(0, split, Stream.SHORT_WORDS if is_short else Stream.LETTERS)[1],
        first_item=_of_runs(first_item, runs),
        first_letter=0,
        portion=portion_on(tokens.device, num_symbols, length, split) if is_short else None,
    )
    return tokens


def _of_runs(number: int | Tensor, runs: Sequence[int]) -> int | Tensor:
    """One number for each run, or one for all."""
    return number.expand(runs).reshape(-1) if isinstance(number, Tensor) else number


def _key(seed: int | Tensor, split: str, stream: int) -> tuple[int | Tensor, int]:
    if isinstance(seed, Tensor):
        return seed[..., None, None] & LOW_32, stream_key(0, split, stream)[1]
    return stream_key(seed, split, stream)


def _words(items: Tensor, blocks: Tensor, key: tuple[int | Tensor, int]) -> Tensor:
    """All 32-bit words of items [..., n, 1] and blocks [1, m], in order: [..., n, 4 m]."""
    counter = (items & LOW_32, items >> 32, blocks & LOW_32, blocks >> 32)
    drawn = torch.broadcast_tensors(*philox_4x32_10(counter, key))
    return torch.stack(drawn, dim=-1).flatten(-2)


def _multiply(value: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of a product of two 32-bit numbers."""
    upper = (value >> 16) * factor
    lower = (value & 0xFFFF) * factor
    return (upper + (lower >> 16)) >> 16, (upper << 16) + lower & LOW_32
