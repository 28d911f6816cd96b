"""Exact decisions from lazily drawn digits."""

import collections
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from automata.digits import choose_by_weight, digits_at, exact_integers, locate
from automata.errors import InputError
from automata.philox import PhiloxSource, philox_4x32_10, random_u32
from automata.random_draws import endless_integers, random_integers, random_permutation

few = settings(derandomize=True, max_examples=60, deadline=None)
KEY = {"seed": 9, "split": "report", "stream": 16}


def test_digits_are_lanes_of_later_streams():
    items, blocks = np.array([3, 2**40]), np.array([7, 5 << 32])
    for digit in range(3):
        found = digits_at(items, blocks, 2, digit=digit, **KEY)
        for row in range(2):
            item, block = int(items[row]), int(blocks[row])
            counter = [item % 2**32, item >> 32, block % 2**32, block >> 32]
            block_words = philox_4x32_10(counter, [9, 2 << 24 | (16 + 256 * digit)])
            assert found[row] == block_words[2]


def test_first_blocks_may_differ_by_item():
    together = random_u32([4, 9, 4], 3, seed=1, first_block=[0, 10, 2**33])
    for row, (item, first) in enumerate(((4, 0), (9, 10), (4, 2**33))):
        assert (random_u32([item], 3, seed=1, first_block=first) == together[row]).all()
    with pytest.raises(InputError, match=r"first_block has shape \(2,\)"):
        random_u32([4, 9, 4], 3, seed=1, first_block=[0, 1])
    with pytest.raises(InputError, match="first_block is -1"):
        random_u32([4, 9], 3, seed=1, first_block=[0, -1])


@given(
    weights=st.lists(st.integers(0, 50), min_size=1, max_size=5).filter(any),
    digit=st.integers(0, 2**32 - 1),
)
@few
def test_locate_agrees_with_fractions(weights, digit):
    """An exact answer is the cell of every real that begins with the digit; none, if two are."""
    total, edges = sum(weights), []
    for cell in range(len(weights)):
        edges.append(Fraction(sum(weights[: cell + 1]), total))
    low, high = Fraction(digit, 2**32), Fraction(digit + 1, 2**32)
    cells = {sum(edge <= low for edge in edges), sum(edge < high for edge in edges)}
    found = locate(digit, 1, weights)
    assert found == cells.pop() if len(cells) == 1 else found is None


def test_locate_near_edges():
    edge = (2**32 - 1) // 3
    assert locate(edge, 1, [1, 2]) is None
    assert locate(edge - 1, 1, [1, 2]) == 0 and locate(edge + 1, 1, [1, 2]) == 1
    assert locate(edge << 32, 2, [1, 2]) == 0
    assert locate(2**31, 1, [1, 1], slack=1) is None
    assert locate(2**31 + 1, 1, [1, 1], slack=1) == 1
    assert locate(0, 1, [0, 0, 5, 0]) == 2 and locate(2**32 - 1, 1, [0, 5, 0], slack=100) == 1


def test_an_open_choice_looks_at_the_next_digit():
    """Weights whose edge is the very digit drawn: both outcomes are decided, and rightly."""
    items, blocks = np.arange(40), np.zeros(40, dtype=np.int64)
    first = digits_at(items, blocks, 0, **KEY)
    second = digits_at(items, blocks, 0, digit=1, **KEY)
    for row in range(40):
        edge = int(first[row]) * 2**32 + 2**31
        cell = choose_by_weight([edge, 2**64 - edge], items[[row]], blocks[[row]], 0, **KEY)
        assert cell[0] == (second[row] >= 2**31)


def test_choices_follow_their_weights():
    items = np.arange(20000)
    cells = choose_by_weight([10**30, 0, 3 * 10**30], items, np.zeros_like(items), 1, **KEY)
    assert set(cells.tolist()) == {0, 2}
    assert abs((cells == 0).mean() - 0.25) < 0.015


def test_exact_integers_drop_unfair_digits():
    items = np.arange(5000)
    bound = 3 * 2**30
    values = exact_integers(bound, items, 4, 3, **KEY)
    first = digits_at(items, 4, 3, **KEY)
    scaled = first.astype(np.uint64) * np.uint64(bound)
    unfair = scaled % np.uint64(2**32) < 2**32 % bound
    direct = (scaled >> np.uint64(32)).astype(np.int64)
    assert 0.1 < unfair.mean() < 0.4
    assert (values[~unfair] == direct[~unfair]).all()
    assert (values[unfair] != direct[unfair]).any()
    assert values.min() >= 0 and values.max() < bound
    assert (exact_integers(bound, items[7:9], 4, 3, **KEY) == values[7:9]).all()
    assert exact_integers(2**32, items[:3], 4, 3, **KEY).tolist() == first[:3].tolist()


def test_running_draws_are_uniform():
    source = PhiloxSource(seed=2, stream=40)
    counts = np.bincount(random_integers(source, 7, 7000), minlength=7)
    assert chi2.sf(((counts - 1000) ** 2 / 1000).sum(), 6) > 1e-4
    bounds = np.array([1, 2, 3] * 50)
    assert (random_integers(source, bounds, 150) < bounds).all()
    orders = collections.Counter(tuple(random_permutation(source, 4).tolist()) for _ in range(2400))
    assert len(orders) == 24
    assert chi2.sf(sum((c - 100) ** 2 / 100 for c in orders.values()), 23) > 1e-4
    stream = endless_integers(PhiloxSource(seed=2, stream=40), 7, at_once=4)
    some = [next(stream) for _ in range(10)]
    assert set(some) <= set(range(7)) and len(set(some)) > 2
