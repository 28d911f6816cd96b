"""Weighted walks: laws against enumeration, the documented bits, and refusals."""

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from automata.errors import InputError
from automata.philox import SPLITS, Stream, random_u32
from automata.walks import markov_chain, random_weighted_dfa
from automata.weighted import WeightedDFA

few = settings(derandomize=True, max_examples=30, deadline=None)
ENDING = WeightedDFA([[1, 0], [-1, 0]], [[3, 1], [0, 2]], stop_weights=[0, 1])


def all_words(num_symbols, length):
    words = list(itertools.product(range(num_symbols), repeat=length))
    return np.array(words, dtype=np.int64).reshape(num_symbols**length, length)


def test_walks_letter_by_letter():
    """The documented rule on 32-bit words, by loops."""
    model = random_weighted_dfa(5, 3, seed=2, max_stop_weight=20)
    words, lengths, ended = model.sample(11, 30, seed=8, split="report", first_item=2**40)
    bits = random_u32(
        np.arange(2**40, 2**40 + 30), 3, seed=8, split="report", stream=Stream.WALKS
    ).tolist()
    for row in range(30):
        state, letters = model.initial, []
        for word in bits[row][:11]:
            weights = [*model.weights[state].tolist(), int(model.stop_weights[state])]
            running = np.cumsum(weights).tolist()
            letter = sum(word >= total * 2**32 // running[-1] for total in running)
            if letter == 3:
                break
            letters.append(letter)
            state = int(model.transitions[state, letter])
        assert words[row].tolist() == letters + [3] * (11 - len(letters))
        assert lengths[row] == len(letters) and ended[row] == (len(letters) < 11)


def test_walks_follow_the_law():
    model = random_weighted_dfa(4, 2, seed=1, max_weight=9)
    everything = all_words(2, 6)
    expected = 20000 * np.exp(model.log_probability(everything))
    assert expected.sum() == pytest.approx(20000)
    codes = model.sample(6, 20000, seed=3).words @ (2 ** np.arange(5, -1, -1))
    counts = np.bincount(codes, minlength=64)
    assert chi2.sf(((counts - expected) ** 2 / expected).sum(), 63) > 1e-4


def test_words_that_end():
    total = sum(np.exp(ENDING.log_probability(all_words(2, n))).sum() for n in range(14))
    assert 0.85 < total < 1
    words, lengths, ended = ENDING.sample(60, 5000, seed=1)
    assert ended.mean() > 0.99 and words.max() == 2
    for short in range(1, 4):
        expected = np.exp(ENDING.log_probability(all_words(2, short))).sum()
        assert abs((lengths == short).mean() - expected) < 5 * np.sqrt(0.25 / 5000)
    assert ENDING.support().accepts([0]) and not ENDING.support().accepts([0, 0])
    assert ENDING.log_probability([0, 0]) == -np.inf and ENDING.log_probability([]) == -np.inf


def test_laws_and_entropies():
    law = ENDING.next_symbol_law([[1, 0], [0, 0]])
    assert law[0].tolist() == pytest.approx(np.array([[0.75, 0.25, 0]] * 2 + [[0, 2 / 3, 1 / 3]]))
    assert law[1, 2].tolist() == [0, 0, 0]
    model = random_weighted_dfa(4, 3, seed=5)
    for length in (1, 4):
        logs = model.log_probability(all_words(3, length))
        assert model.entropies(length).sum() == pytest.approx(-(np.exp(logs) * logs).sum())
    assert model.entropies(0).shape == (0,)


def test_markov_chain():
    chain = markov_chain([[0, 1, 1], [1, 0, 0], [1, 1, 2]], initial_weights=[0, 0, 1])
    words = chain.sample(40, 400, seed=1).words
    assert (words[:, 0] == 2).all()
    pairs = np.bincount((words[:, :-1] * 3 + words[:, 1:]).reshape(-1), minlength=9).reshape(3, 3)
    assert (pairs[[0, 1, 1], [0, 1, 2]] == 0).all()
    assert pairs[0, 1] / pairs[0].sum() == pytest.approx(0.5, abs=0.05)
    ends = markov_chain([[1, 1], [1, 1]], stop_weights=[2, 0])
    words, lengths, ended = ends.sample(30, 300)
    assert lengths.min() >= 1 and (words[np.arange(300), lengths - 1][ended] == 0).all()


@given(
    num_states=st.integers(1, 5),
    num_symbols=st.integers(1, 4),
    seed=st.integers(0, 100),
    start=st.integers(0, 2**50),
    length=st.integers(0, 20),
    split=st.sampled_from(SPLITS),
    stops=st.sampled_from([None, 30]),
)
@few
def test_items_and_prefixes(num_states, num_symbols, seed, start, length, split, stops):
    model = random_weighted_dfa(
        num_states, num_symbols, seed=seed, kind="accessible", max_stop_weight=stops
    )
    words = model.sample(length, 8, seed=3, split=split, first_item=start).words
    alone = model.sample(length + 5, 1, seed=3, split=split, first_item=start + 7).words
    assert (alone[0, :length] == words[7]).all()


def test_regbench_models_never_enter_the_sink():
    model = random_weighted_dfa(7, 5, seed=3, kind="regbench")
    words = model.sample(50, 20).words
    assert (model.log_probability(words) > -np.inf).all() and (model.weights == 0).any()


def test_thresholds_at_the_limit():
    model = WeightedDFA([[0, 0, 0]], [[0, 2**32 - 1, 1]])
    assert model.thresholds.tolist() == [[0, 2**32 - 1, 2**32]]
    assert WeightedDFA([[0, 0]], [[2**32, 0]]).thresholds.tolist() == [[2**32, 2**32]]


def test_copies_are_equal():
    twin = copy.deepcopy(ENDING)
    assert twin == ENDING and hash(twin) == hash(ENDING) and not twin.weights.flags.writeable
    assert WeightedDFA(ENDING.transitions, ENDING.weights) != ENDING and ENDING != 3
    assert repr(ENDING) == "WeightedDFA(num_states=2, num_symbols=2, ends)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": [[1, 1]]}, r"weights has shape \(1, 2\): give \(2, 2\)"),
        ({"weights": [[1, 1], [1, 0]]}, "weight of symbol 0 in state 1 is 1, but there is no"),
        ({"weights": [[1, 1], [0, 0]]}, "weights of state 1 add up to 0"),
        ({"weights": [[2**32, 1], [0, 1]]}, "weights of state 0 add up to 4294967297"),
        ({"weights": [[-1, 1], [0, 1]]}, "weights holds -1"),
        ({"weights": [[2**33, 1], [0, 1]]}, "weights holds 8589934592"),
        ({"weights": [[0.5, 1], [0, 1]]}, "weights holds float64"),
        ({"stop_weights": [1]}, "stop_weights has shape"),
        ({"initial": 2}, "initial is 2"),
        ({"alphabet": "abc"}, "alphabet has 3 symbols"),
        ({"transitions": [[0, 2], [-1, 0]]}, "leads to 2"),
    ],
)
def test_bad_automata(arguments, message):
    valid = {"transitions": [[0, 1], [-1, 0]], "weights": [[1, 1], [0, 1]]}
    with pytest.raises(InputError, match=message):
        WeightedDFA(**{**valid, **arguments})


def test_bad_input():
    with pytest.raises(InputError, match="unknown split"):
        ENDING.sample(3, 1, split="tests")
    with pytest.raises(InputError, match="too many at once"):
        ENDING.sample(2**10, 2**30)
    with pytest.raises(InputError, match="first_item is -1"):
        ENDING.sample(3, 1, first_item=-1)
    with pytest.raises(InputError, match="max_weight is 0"):
        random_weighted_dfa(3, 2, seed=0, max_weight=0)
    with pytest.raises(InputError, match="max_stop_weight is 0"):
        random_weighted_dfa(3, 2, seed=0, max_stop_weight=0)
    with pytest.raises(InputError, match="weights has shape"):
        markov_chain([[1, 2]])
    with pytest.raises(InputError, match="symbol 2 is not in the alphabet"):
        ENDING.log_probability([0, 2])
