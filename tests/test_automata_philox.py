"""The generator against published vectors and against itself in other orders."""

import numpy as np
import pytest

from automata.errors import InputError
from automata.philox import (
    PhiloxSource,
    Stream,
    philox_4x32_10,
    random_u32,
    stream_key,
    uniform_integers,
)

# Random123's known-answer file, philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def _words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers(counter, key, result):
    assert philox_4x32_10(_words(counter), _words(key)).tolist() == _words(result)


def test_known_answers_at_once_with_leading_axes():
    counters, keys, results = (
        np.array([_words(row[part]) for row in KNOWN_ANSWERS]) for part in range(3)
    )
    assert (philox_4x32_10(counters[:, None], keys[:, None])[:, 0] == results).all()
    assert (philox_4x32_10(counters[0], keys[:1])[0] == results[0]).all()


def test_counter_and_key_layout():
    """Counter = item low, item high, block low, block high; key = seed, split and stream."""
    item, block, seed = 5 << 32 | 6, 7 << 32 | 8, 0xDEADBEEF
    words = random_u32(
        [item], 1, seed=seed, split="report", stream=Stream.LENGTHS, first_block=block
    )
    expected = philox_4x32_10([6, 5, 8, 7], [seed, 2 << 24 | 1])
    assert (words[0] == expected).all()
    assert stream_key(seed, "selection", 3) == (seed, 1 << 24 | 3)


def test_mapping_to_a_bound():
    words = random_u32([0, 9], 3, seed=4)
    for bound in (1, 2, 6, 120, 2**31 + 1, 2**32):
        values = uniform_integers(bound, [0, 9], 3, seed=4)
        assert values.tolist() == [[int(w) * bound >> 32 for w in row] for row in words]


def test_items_and_blocks_are_independent_of_the_rest_of_the_call():
    everything = random_u32(np.arange(3000), 7, seed=1)
    assert (random_u32([2999, 3], 7, seed=1) == everything[[2999, 3]]).all()
    assert (random_u32([11], 2, seed=1, first_block=5) == everything[11, 20:]).all()
    assert random_u32([], 3, seed=1).shape == (0, 12)
    assert random_u32([4], 0, seed=1).shape == (1, 0)


def test_keys_differ():
    draws = {
        random_u32([0], 1, seed=seed, split=split, stream=stream).tobytes()
        for seed in (0, 1)
        for split in ("train", "selection", "report")
        for stream in Stream
    }
    assert len(draws) == 2 * 3 * len(Stream)


def test_no_two_purposes_share_a_number():
    """A member with a number already taken would be a second name of the first one."""
    assert len(Stream) == len(Stream.__members__)


def test_source_draws_exactly_below_a_bound():
    source = PhiloxSource(seed=3, stream=Stream.TRANSITIONS)
    draws = [source.below(5) for _ in range(500)]
    assert set(draws) == set(range(5))
    assert max(draws.count(value) for value in range(5)) < 140
    assert all(0 <= source.below(10**40) < 10**40 for _ in range(20))
    assert source.below(1) == 0


def test_source_continues_by_blocks():
    source = PhiloxSource(seed=3, split="report", stream=4, item=2)
    first, second = source.words(5), source.words(4)
    expected = random_u32([2], 3, seed=3, split="report", stream=4)[0]
    assert (first == expected[:5]).all() and (second == expected[8:]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1: give an integer from 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"seed": 1.5}, "seed is 1.5: give an integer"),
        ({"seed": True}, "not a boolean"),
        ({"split": "test"}, "unknown split 'test'"),
        ({"stream": 2**24}, "stream is 16777216"),
        ({"items": [-1]}, "smallest item is -1"),
        ({"items": [[1]]}, "items has shape"),
        ({"items": [0.5]}, "items holds float64"),
        ({"bound": 0}, "bound is 0"),
        ({"bound": 2**32 + 1}, "bound is"),
        ({"num_blocks": -1}, "num_blocks is -1"),
    ],
)
def test_bad_input(arguments, message):
    valid = {"bound": 2, "items": [0], "num_blocks": 1, "seed": 0}
    with pytest.raises(InputError, match=message):
        uniform_integers(**{**valid, **arguments})
