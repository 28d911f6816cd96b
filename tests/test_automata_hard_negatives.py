"""Hard negatives against full enumeration: nothing missing, nothing wrong, all equally likely."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from automata import hard_negatives as module
from automata.dfa import DFA
from automata.edits import apply_edits, count_edits_into
from automata.errors import InputError
from automata.hard_negatives import _plan, _trials
from automata.philox import SPLITS
from automata.sampling import random_dfa
from automata.words import hard_negatives

few = settings(derandomize=True, max_examples=30, deadline=None)
BALANCED = DFA.from_partial([[1, -1], [2, 0], [-1, 1]], accepting=[0])
REPEAT_ABC = DFA.from_partial([[1, -1, -1], [-1, 2, -1], [-1, -1, 0]], accepting=[0])
NINES = DFA([[q % 9 + 1] for q in range(10)], accepting=[0, 9])
ONLY_AAAA = DFA.from_partial([[1, -1], [2, -1], [3, -1], [4, -1], [-1, -1]], accepting=[4])
PARITY = DFA([[0, 1], [1, 0]], accepting=[1])


def edits_of(word, num_symbols):
    """All words that one edit makes, once for each pair of a place and a letter."""
    for place, letter in itertools.product(range(len(word)), range(num_symbols)):
        if word[place] != letter:
            yield (*word[:place], letter, *word[place + 1 :])
    for place in range(len(word)):
        yield (*word[:place], *word[place + 1 :])
    for place, letter in itertools.product(range(len(word) + 1), range(num_symbols)):
        yield (*word[:place], letter, *word[place:])


def accepts(dfa, word):
    return bool(dfa.accepts(np.array(word, dtype=np.int64)))


def enumerate_negatives(dfa, length):
    """Apply all edits to all accepted words of the three lengths."""
    found = set()
    for near in range(max(0, length - 1), length + 2):
        for word in itertools.product(range(dfa.num_symbols), repeat=near):
            if accepts(dfa, word):
                found.update(w for w in edits_of(word, dfa.num_symbols) if len(w) == length)
    return {word for word in found if not accepts(dfa, word)}


@pytest.mark.parametrize(
    ("dfa", "length", "by_edits"),
    [
        (BALANCED, 6, True),
        (BALANCED, 7, True),
        (REPEAT_ABC, 5, True),
        (REPEAT_ABC, 6, True),
        (PARITY, 5, False),
        (random_dfa(4, 2, seed=1), 6, False),
        (random_dfa(5, 3, seed=2), 4, False),
    ],
)
def test_uniform_over_all(dfa, length, by_edits):
    support = sorted(enumerate_negatives(dfa, length))
    assert _plan(dfa, length).by_edits == by_edits
    num_words = 120 * len(support)
    drawn = collections.Counter(map(tuple, hard_negatives(dfa, length, num_words, seed=1).tolist()))
    assert set(drawn) == set(support)
    statistic = sum((drawn[word] - 120) ** 2 / 120 for word in support)
    assert chi2.sf(statistic, len(support) - 1) > 1e-4


@pytest.mark.parametrize("dfa", [BALANCED, PARITY, random_dfa(4, 2, seed=1)])
def test_both_ways_have_the_same_law(dfa, monkeypatch):
    """Force the other way of the two: still every hard negative is equally likely."""
    support = sorted(enumerate_negatives(dfa, 6))
    plan = _plan(dfa, 6)
    monkeypatch.setattr(module, "_plan", lambda *_: plan._replace(by_edits=not plan.by_edits))
    items = np.repeat(np.arange(1000), 50)
    drawn, kept = _trials(dfa, 6, items, np.tile(np.arange(50), 1000), 3, "train")
    counts = collections.Counter(map(tuple, drawn[kept].tolist()))
    expected = kept.sum() / len(support)
    assert set(counts) == set(support) and expected > 20
    statistic = sum((counts[word] - expected) ** 2 / expected for word in support)
    assert chi2.sf(statistic, len(support) - 1) > 1e-4


@given(
    num_states=st.integers(1, 5),
    num_symbols=st.integers(1, 3),
    automaton=st.integers(0, 30),
    length=st.integers(0, 5),
)
@few
def test_against_enumeration(num_states, num_symbols, automaton, length):
    dfa = random_dfa(num_states, num_symbols, seed=automaton)
    support = enumerate_negatives(dfa, length)
    if support:
        drawn = hard_negatives(dfa, length, 60, seed=2, first_item=2**35)
        assert set(map(tuple, drawn.tolist())) <= support
        assert (hard_negatives(dfa, length, 1, seed=2, first_item=2**35 + 59)[0] == drawn[59]).all()
    else:
        with pytest.raises(InputError):
            hard_negatives(dfa, length, 1)


@given(automaton=st.integers(0, 30), num_symbols=st.integers(1, 3), length=st.integers(0, 5))
@few
def test_counting_edits(automaton, num_symbols, length):
    dfa = random_dfa(4, num_symbols, seed=automaton)
    words = list(itertools.product(range(num_symbols), repeat=length))[:20]
    counts = count_edits_into(dfa, np.array(words, dtype=np.int64).reshape(len(words), length))
    for word, count in zip(words, counts, strict=True):
        assert count == sum(accepts(dfa, edited) for edited in edits_of(word, num_symbols))


def test_applying_edits():
    rng = np.random.default_rng(0)
    for _ in range(50):
        length, kind = int(rng.integers(1, 6)), int(rng.integers(3))
        size = length + (0, -1, 1)[kind]
        word = rng.integers(0, 3, size)
        place, letter = int(rng.integers(0, max(1, size + (kind == 1)))), int(rng.integers(3))
        padded = np.concatenate([word, np.full(length + 1 - size, 9)])
        found = apply_edits(padded[None], *(np.array([v]) for v in (kind, place, letter)))[0]
        head, tail = word[:place], word[place + (kind != 1) :]
        middle = [] if kind == 2 else [letter]
        assert found.tolist() == [*head, *middle, *tail]


def test_any_cut_gives_the_same_words(monkeypatch):
    whole = hard_negatives(REPEAT_ABC, 8, 100, seed=5)
    pieces = [
        hard_negatives(REPEAT_ABC, 8, n, seed=5, first_item=f) for f, n in ((0, 37), (37, 63))
    ]
    assert (np.concatenate(pieces) == whole).all()
    monkeypatch.setattr(module, "_LETTERS_PER_ROUND", 60)
    assert (hard_negatives(REPEAT_ABC, 8, 100, seed=5) == whole).all()


def test_splits():
    seen = []
    for split in SPLITS:
        short = {row.tobytes() for row in hard_negatives(BALANCED, 10, 500, split=split)}
        long = hard_negatives(BALANCED, 30, 20, split=split)
        assert not BALANCED.accepts(long).any() and (count_edits_into(BALANCED, long) > 0).all()
        seen.append(short | {row.tobytes() for row in long})
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert not len(hard_negatives(BALANCED, 30, 0))


def test_long_words():
    words = hard_negatives(REPEAT_ABC, 300, 50, seed=1)
    assert not REPEAT_ABC.accepts(words).any() and (count_edits_into(REPEAT_ABC, words) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dfa": DFA([[0]], accepting=[0])}, "the complement has no word at all"),
        ({"dfa": DFA([[0]])}, "the language has no word at all"),
        ({"dfa": DFA([[1], [1]], accepting=[0]), "length": 9}, "nearest length with such words: 1"),
        ({"dfa": NINES, "length": 5}, "nearest lengths with such words: 1 and 8"),
        ({"length": -1}, "length is -1"),
        ({"split": "dev"}, "unknown split"),
        ({"first_item": -2}, "first_item is -2"),
        ({"num_words": 2**40}, "too many at once"),
        ({"dfa": ONLY_AAAA, "length": 4, "split": "report"}, "no word of length 4 in the split"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        hard_negatives(**{"dfa": REPEAT_ABC, "length": 3, "num_words": 2, **arguments})
