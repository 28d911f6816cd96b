"""The counter-based generator behind every random draw: Philox-4x32-10 in plain NumPy.

A draw is a pure function of a key and a counter, so item ``i`` alone equals item ``i`` of a set,
in any order, on any device.

* key word 0 = ``seed``, key word 1 = ``split_index << 24 | stream``, with the split indices
  ``train`` 0, ``selection`` 1, ``report`` 2 and one ``stream`` per purpose (`Stream`);
* counter words = (item low 32 bits, item high 32 bits, block low, block high);
* each (item, block) yields four 32-bit words, in order;
* a value below ``bound`` is ``(word * bound) >> 32`` in 64-bit arithmetic.

One round takes counter ``(c0, c1, c2, c3)`` and key ``(k0, k1)`` to
``(hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))``, where hi and lo are the halves
of a 64-bit product, ``M0 = 0xD2511F53`` and ``M1 = 0xCD9E8D57``. Between two of the ten rounds the
key grows by ``(0x9E3779B9, 0xBB67AE85)`` modulo 2**32.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from enum import IntEnum, unique
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automata.errors import InputError, unknown_name
from automata.validation import IntArray, as_integer, as_integer_array

__all__ = [
    "SPLITS",
    "PhiloxSource",
    "Stream",
    "philox_4x32_10",
    "random_u32",
    "stream_key",
    "uniform_integers",
]

Word64Array: TypeAlias = NDArray[np.uint64]

SPLITS: Final = ("train", "selection", "report")

_MULTIPLIERS: Final = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
_KEY_STEPS: Final = np.array([[0x9E3779B9], [0xBB67AE85]], dtype=np.uint64)
_LOW_HALF: Final = np.uint64(0xFFFFFFFF)
_HALF_BITS: Final = np.uint64(32)
_NUM_ROUNDS: Final = 10
_BLOCKS_PER_CHUNK: Final = 1 << 13


@unique
class Stream(IntEnum):
    """The purposes of random draws; each has its own key, so no two ever share words.

    Examples
    --------
    >>> int(Stream.LETTERS)
    0
    """

    LETTERS = 0
    LENGTHS = 1
    SHORT_WORDS = 2
    WORD_ORDER = 3
    TRANSITIONS = 4
    ACCEPTING = 5
    LANGUAGE_WORDS = 16
    LANGUAGE_LENGTHS = 17
    LABELS = 18
    NEGATIVE_CHOICES = 19
    NEGATIVE_WORDS = 20
    WALKS = 21
    PROMPTS = 22
    TEXT_WINDOWS = 23
    MINIMAL_AUTOMATA = 32
    STRONGLY_CONNECTED_AUTOMATA = 33
    PERMUTATION_AUTOMATA = 34
    APERIODIC_AUTOMATA = 35
    R_TRIVIAL_AUTOMATA = 36
    GROUP_AUTOMATA = 37
    MIXED_AUTOMATA = 38
    REGBENCH_AUTOMATA = 39
    SOLVABLE_AUTOMATA = 40
    WEIGHTS = 41
    ALGEBRAIC_CLASS = 42
    GENERATORS = 43
    # Random elements that steer a computation, whose result is exact.
    ALGEBRA = 64
    PERMUTATION_PRODUCTS = 65
    # Which values a bootstrap draws again.
    RESAMPLES = 66


def stream_key(seed: int, split: str, stream: int) -> tuple[int, int]:
    """Return the two key words of a stream.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**32.
    split : {"train", "selection", "report"}
    stream : int
        The purpose, below 2**24 (see `Stream`).

    Returns
    -------
    tuple of two int

    Raises
    ------
    InputError
        On a seed or stream out of range, or an unknown split.

    Examples
    --------
    >>> stream_key(7, "report", Stream.LENGTHS)
    (7, 33554433)
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    seed = as_integer(seed, "seed", 0, 2**32 - 1)
    stream = as_integer(stream, "stream", 0, 2**24 - 1)
    return seed, SPLITS.index(split) << 24 | stream


def philox_4x32_10(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Apply the ten rounds of Philox-4x32 to arrays of counters and keys.

    Parameters
    ----------
    counter : array_like of 32-bit unsigned values, [..., 4]
    key : array_like of 32-bit unsigned values, [..., 2]
        Leading axes broadcast against those of `counter`.

    Returns
    -------
    ndarray of uint32, [..., 4]

    Examples
    --------
    >>> [hex(word) for word in philox_4x32_10([0, 0, 0, 0], [0, 0])]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    counters = np.asarray(counter, dtype=np.uint64)
    keys = np.asarray(key, dtype=np.uint64)
    leading = np.broadcast_shapes(counters.shape[:-1], keys.shape[:-1])
    counters = np.broadcast_to(counters, (*leading, 4)).reshape(-1, 4)
    keys = np.broadcast_to(keys, (*leading, 2)).reshape(-1, 2)
    even = np.ascontiguousarray(counters[:, 0::2].T)
    odd = np.ascontiguousarray(counters[:, 1::2].T)
    _apply_rounds(even, odd, np.ascontiguousarray(keys.T))
    words = np.stack([even[0], odd[0], even[1], odd[1]], axis=-1)
    return words.astype(np.uint32).reshape(*leading, 4)


def _apply_rounds(even: Word64Array, odd: Word64Array, key: Word64Array) -> None:
    """Run the rounds in place on counter words (0, 2) and (1, 3), each [2, n]; key [2, 1 or n]."""
    product = np.empty_like(even)
    for _ in range(_NUM_ROUNDS):
        np.multiply(even, _MULTIPLIERS, out=product)
        np.right_shift(product[::-1], _HALF_BITS, out=even)
        np.bitwise_xor(even, odd, out=even)
        np.bitwise_xor(even, key, out=even)
        np.bitwise_and(product[::-1], _LOW_HALF, out=odd)
        key = (key + _KEY_STEPS) & _LOW_HALF


def uniform_integers(
    bound: int,
    items: ArrayLike,
    num_blocks: int,
    *,
    seed: int,
    split: str = "train",
    stream: int = Stream.LETTERS,
    first_block: ArrayLike = 0,
) -> IntArray:
    """Draw integers below `bound`, four for every (item, block).

    Parameters
    ----------
    bound : int
        1 <= bound <= 2**32. Each value has probability ``1 / bound`` up to a relative error below
        ``bound / 2**32``.
    items : array_like of int, [num_items]
        Item indices, not negative.
    num_blocks : int
        Blocks per item.
    seed, split, stream
        See `stream_key`.
    first_block : int or array_like of int, [num_items]
        Index of the first block, one for all items or one for each.

    Returns
    -------
    ndarray of int64, [num_items, 4 * num_blocks]

    Raises
    ------
    InputError
        On any argument out of range.

    Notes
    -----
    About 10 ns a value on one core; scratch memory is constant.

    Examples
    --------
    >>> uniform_integers(6, [0, 5], 1, seed=1)
    array([[5, 5, 3, 4],
           [0, 1, 0, 1]])
    """
    bound = as_integer(bound, "bound", 1, 2**32)
    num_blocks = as_integer(num_blocks, "num_blocks", 0)
    item_array = as_integer_array(items, "items")
    if item_array.ndim != 1:
        raise InputError(f"items has shape {item_array.shape}: give one axis of item indices")
    if item_array.size:
        as_integer(int(item_array.min()), "the smallest item", 0)
    first_blocks = _read_first_blocks(first_block, item_array.size, num_blocks)
    key = np.array(stream_key(seed, split, stream), dtype=np.uint64).reshape(2, 1)
    item_words = item_array.astype(np.uint64)
    num_total = item_words.size * num_blocks
    values = np.empty((num_total, 4), dtype=np.int64)
    factor = np.uint64(bound)
    for start in range(0, num_total, _BLOCKS_PER_CHUNK):
        chunk = values[start : start + _BLOCKS_PER_CHUNK]
        rows, blocks = np.divmod(np.arange(start, start + len(chunk)), num_blocks)
        item_chunk = item_words[rows]
        block_chunk = (blocks + first_blocks[rows]).astype(np.uint64)
        even = np.stack([item_chunk & _LOW_HALF, block_chunk & _LOW_HALF])
        odd = np.stack([item_chunk >> _HALF_BITS, block_chunk >> _HALF_BITS])
        _apply_rounds(even, odd, key)
        for half, words in enumerate((even, odd)):
            words *= factor
            words >>= _HALF_BITS
            chunk[:, half::2] = words.T
    return values.reshape(item_words.size, 4 * num_blocks)


def _read_first_blocks(first_block: ArrayLike, num_items: int, num_blocks: int) -> IntArray:
    """Read the first block of every item; a single one counts for all."""
    first_blocks = as_integer_array(first_block, "first_block")
    if first_blocks.ndim and first_blocks.shape != (num_items,):
        raise InputError(
            f"first_block has shape {first_blocks.shape}: give one, or one for each of the "
            f"{num_items} items"
        )
    if first_blocks.size:
        as_integer(int(first_blocks.min()), "first_block", 0)
        as_integer(int(first_blocks.max()), "first_block", 0, 2**63 - 1 - num_blocks)
    return np.broadcast_to(first_blocks, (num_items,))


def random_u32(
    items: ArrayLike,
    num_blocks: int,
    *,
    seed: int,
    split: str = "train",
    stream: int = Stream.LETTERS,
    first_block: ArrayLike = 0,
) -> NDArray[np.uint32]:
    """Return the raw 32-bit words, four for every (item, block).

    Parameters
    ----------
    items, num_blocks, seed, split, stream, first_block
        See `uniform_integers`.

    Returns
    -------
    ndarray of uint32, [num_items, 4 * num_blocks]

    Examples
    --------
    >>> [hex(word) for word in random_u32([0], 1, seed=0)[0]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    return uniform_integers(
        2**32, items, num_blocks, seed=seed, split=split, stream=stream, first_block=first_block
    ).astype(np.uint32)


class PhiloxSource:
    """Consecutive draws from one item of a stream, for algorithms that draw as they go.

    Parameters
    ----------
    seed, split, stream
        See `stream_key`.
    item : int
        The item whose blocks are consumed in order.

    Examples
    --------
    >>> source = PhiloxSource(seed=0, stream=Stream.TRANSITIONS)
    >>> 0 <= source.below(10**30) < 10**30
    True
    """

    def __init__(self, *, seed: int, split: str = "train", stream: int, item: int = 0) -> None:
        stream_key(seed, split, stream)
        self._seed, self._split, self._stream = seed, split, stream
        self._item = as_integer(item, "item", 0, 2**63 - 1)
        self._next_block = 0

    def words(self, count: int) -> NDArray[np.uint32]:
        """Return the next `count` words; what is left of the last block is dropped.

        Parameters
        ----------
        count : int

        Returns
        -------
        ndarray of uint32, [count]
        """
        num_blocks = -(-count // 4)
        words = random_u32(
            [self._item],
            num_blocks,
            seed=self._seed,
            split=self._split,
            stream=self._stream,
            first_block=self._next_block,
        )
        self._next_block += num_blocks
        return words[0, :count]

    def below(self, bound: int) -> int:
        """Return an exactly uniform integer in ``[0, bound)``, of any size, by rejection.

        Parameters
        ----------
        bound : int
            At least 1.

        Returns
        -------
        int
        """
        num_bits = (bound - 1).bit_length()
        num_words = -(-num_bits // 32)
        while True:
            value = int.from_bytes(self.words(num_words).astype("<u4").tobytes(), "little")
            value >>= 32 * num_words - num_bits
            if value < bound:
                return value
