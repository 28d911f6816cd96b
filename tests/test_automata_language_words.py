"""Words of a language: exactly uniform, reproducible, and refused where there are none."""

import collections
import contextlib
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from automata import uniform_draw, word_counts
from automata.dfa import DFA
from automata.digits import digits_at
from automata.errors import InputError
from automata.philox import SPLITS, Stream
from automata.sampling import random_dfa
from automata.uniform_draw import draw_words
from automata.word_counts import WordLaw, exact_counts, lengths_with_words
from automata.words import sample_word_set, sample_words

few = settings(derandomize=True, max_examples=40, deadline=None)
NO_DOUBLE_B = DFA.from_partial([[0, 1], [0, -1]], accepting=[0, 1])
MULTIPLES_OF_3 = DFA([[1], [2], [0]], accepting=[0])


def all_words(num_symbols, length):
    words = list(itertools.product(range(num_symbols), repeat=length))
    return np.array(words, dtype=np.int64).reshape(num_symbols**length, length)


def p_value(words, support):
    """Chi-square of drawn words against the uniform law on the rows of `support`."""
    counts = collections.Counter(map(bytes, words))
    cells = [counts.pop(bytes(row), 0) for row in support]
    assert not counts, "a word outside the language"
    expected = len(words) / len(support)
    statistic = sum((c - expected) ** 2 / expected for c in cells)
    return chi2.sf(statistic, len(support) - 1)


def test_counts_and_lengths():
    assert exact_counts(NO_DOUBLE_B, 10)[0] == 144 == NO_DOUBLE_B.count_words(10)
    assert lengths_with_words(MULTIPLES_OF_3, 7).nonzero()[0].tolist() == [0, 3, 6]
    dfa = random_dfa(7, 3, seed=4)
    assert exact_counts(dfa, 40)[0] == dfa.count_words(40)


@pytest.mark.parametrize(
    ("dfa", "of"),
    [
        (NO_DOUBLE_B, "language"),
        (NO_DOUBLE_B, "complement"),
        (random_dfa(5, 2, seed=1), "language"),
        (random_dfa(12, 2, seed=5), "complement"),
    ],
)
def test_uniform_over_all_words_of_length_ten(dfa, of):
    everything = all_words(2, 10)
    support = everything[dfa.accepts(everything) == (of == "language")]
    drawn = sample_words(dfa, 10, 30 * len(support), seed=3, of=of)
    assert p_value(drawn, support) > 1e-4


def test_uniform_with_more_letters():
    dfa = random_dfa(6, 5, seed=8)
    everything = all_words(5, 4)
    support = everything[dfa.accepts(everything)]
    assert p_value(sample_words(dfa, 4, 40 * len(support), seed=0), support) > 1e-4


def exact_letters(dfa, item, length, seed):
    """Draw one word with fractions only, from as many digits as it takes."""
    state, letters = dfa.initial, []
    counts = [exact_counts(dfa, n) for n in range(length)]
    for time in range(length):
        after = [counts[length - time - 1][t] for t in dfa.transitions[state].tolist()]
        edges = [Fraction(sum(after[: a + 1]), sum(after)) for a in range(len(after))]
        digits = [
            int(
                digits_at(
                    np.array([item]),
                    (length << 32) + time // 4,
                    time % 4,
                    seed=seed,
                    split="train",
                    stream=Stream.LANGUAGE_WORDS,
                    digit=digit,
                )[0]
            )
            for digit in range(3)
        ]
        real = Fraction(digits[0] << 64 | digits[1] << 32 | digits[2], 2**96)
        letters.append(sum(edge <= real for edge in edges))
        state = int(dfa.transitions[state, letters[-1]])
    return letters


@pytest.mark.parametrize(("num_symbols", "length"), [(2, 40), (3, 25), (7, 12)])
def test_letter_by_letter_against_fractions(num_symbols, length):
    dfa = random_dfa(9, num_symbols, seed=num_symbols)
    words = sample_words(dfa, length, 6, seed=5, first_item=2**33)
    for row, word in enumerate(words.tolist()):
        assert word == exact_letters(dfa, 2**33 + row, length, 5)


def test_looking_closer_changes_nothing(monkeypatch):
    """Every letter decided by big integers, rough or exact, is the letter of the fast path."""
    dfa = random_dfa(9, 3, seed=6)
    words = sample_words(dfa, 40, 12, seed=1)
    monkeypatch.setattr(WordLaw, "tolerance", lambda self, remaining: 2**33)
    assert (sample_words(dfa, 40, 12, seed=1) == words).all()
    monkeypatch.setattr(uniform_draw, "_ROUGH_DIGITS", 0)
    assert (sample_words(dfa, 40, 12, seed=1) == words).all()


@pytest.mark.parametrize("place", [0, 5, 11])
def test_further_digits_are_those_of_the_letter(monkeypatch, place):
    """After `place` forced letters one word against 2**33: of digits 0 the second one decides."""
    chain = [[-1, state + 1] for state in range(place)]
    dfa = DFA.from_partial(
        [*chain, [place + 1, place + 2], [place + 1, -1], [place + 2, place + 2]],
        accepting=[place + 1, place + 2],
    )
    items = np.arange(64)
    keys = {"seed": 3, "split": "train", "stream": Stream.LANGUAGE_WORDS}
    monkeypatch.setattr(
        uniform_draw, "random_u32", lambda items, blocks, **_: np.zeros((64, 4 * blocks), int)
    )
    words = draw_words(WordLaw(dfa), np.full(64, place + 34), items, np.full(64, 7), **keys)
    second = digits_at(items, 7 + place // 4, place % 4, digit=1, **keys)
    assert (words[:, place] == (second >= 2**31)).all()


def test_thresholds_lie_within_their_tolerance():
    dfa = random_dfa(8, 3, seed=2)
    law = WordLaw(dfa)
    for remaining, table in zip(range(300, 0, -1), law.thresholds(300), strict=True):
        if remaining % 60:
            continue
        counts = exact_counts(dfa, remaining - 1)
        for state, row in enumerate(table.reshape(8, 4).tolist()):
            after = [counts[t] for t in dfa.transitions[state].tolist()]
            for letter in range(3):
                odds, found = sum(after[: letter + 1]) * 2**32, row[letter]
                if not sum(after) or sum(after[: letter + 1]) in (0, sum(after)):
                    assert not sum(after) or abs(found) >= 2**40
                else:
                    assert abs(found - odds // sum(after)) < law.tolerance(remaining)


def test_recomputed_tables_are_the_same(monkeypatch):
    dfa = random_dfa(6, 3, seed=3)
    kept = list(WordLaw(dfa).thresholds(50))
    for cells in (0, 24 * 7, 24 * 49):
        monkeypatch.setattr(word_counts, "_CACHED_CELLS", cells)
        law = WordLaw(dfa)
        for length in (50, 3, 50):
            tables = list(law.thresholds(length))
            assert len(tables) == length
            assert all((a == b).all() for a, b in zip(tables, kept[50 - length :], strict=True))
            assert len(law._cached) <= cells // (6 * 4)


@pytest.mark.parametrize(
    "dfa",
    [random_dfa(8, 3, seed=2), DFA.from_partial([[0, 1], [1, -1]], accepting=[0, 1])],
    ids=["exponential growth", "one b at most"],
)
def test_weights_are_exact_unless_rough_ones_are_asked_for(dfa):
    law, counts = WordLaw(dfa), exact_counts(dfa, 199)
    slack = law.slack(200)
    assert slack
    for state, targets in enumerate(dfa.transitions.tolist()):
        exact = law.weights_after(state, 200)
        assert exact == [counts[target] for target in targets]
        if not any(exact):
            continue
        rough = law.weights_after(state, 200, exact=False)
        for one, other in itertools.combinations(range(dfa.num_symbols), 2):
            error = abs(rough[one] * exact[other] - rough[other] * exact[one])
            assert error * 2**53 <= 2 * slack * rough[one] * exact[other]


def test_counts_of_very_different_size():
    """One word against 2**4999: nothing over- or underflows, and forced letters are forced."""
    dfa = DFA.from_partial([[1, 2], [1, -1], [2, 2]], accepting=[1, 2])
    assert dfa.count_words(5000) == 1 + 2**4999
    words = sample_words(dfa, 5000, 20, seed=1)
    assert (words[:, 0] == 1).all() and abs(words[:, 1:].mean() - 0.5) < 0.01
    only_one = DFA.from_partial([[-1, 1, -1], [0, -1, -1]], accepting=[0])
    assert sample_words(only_one, 1000, 2, seed=1).tolist() == [[1, 0] * 500] * 2


@given(
    num_states=st.integers(1, 7),
    num_symbols=st.integers(1, 4),
    automaton=st.integers(0, 50),
    length=st.integers(0, 30),
    start=st.integers(0, 2**45),
    of=st.sampled_from(["language", "complement"]),
    split=st.sampled_from([None, *SPLITS]),
)
@few
def test_members_and_items(num_states, num_symbols, automaton, length, start, of, split):
    dfa = random_dfa(num_states, num_symbols, seed=automaton)
    options = {"seed": 4, "of": of, "split": split}
    try:
        words = sample_words(dfa, length, 9, first_item=start, **options)
    except InputError as error:
        side = dfa if of == "language" else dfa.complement()
        assert side.count_words(length) == 0 or split is not None, error
        return
    assert words.shape == (9, length) and words.dtype == np.int64
    assert (dfa.accepts(words) == (of == "language")).all()
    assert (sample_words(dfa, length, 1, first_item=start + 8, **options)[0] == words[8]).all()


def test_any_cut_gives_the_same_words(monkeypatch):
    dfa = random_dfa(20, 2, seed=7)
    whole = sample_word_set(dfa, (3, 40), 150, seed=2)
    pieces = [sample_word_set(dfa, (3, 40), n, seed=2, first_item=f) for f, n in ((0, 1), (1, 149))]
    for part in range(3):
        assert (np.concatenate([piece[part] for piece in pieces]) == whole[part]).all()
    monkeypatch.setattr(uniform_draw, "_LETTERS_PER_CHUNK", 64)
    assert (sample_word_set(dfa, (3, 40), 150, seed=2).words == whole.words).all()


def test_seeds_lengths_and_splits_are_independent_draws():
    dfa = random_dfa(6, 2, seed=1)
    drawn = [sample_words(dfa, 40, 4, seed=s, split=p)[:, :20] for s in (0, 1) for p in SPLITS]
    drawn.append(sample_words(dfa, 41, 4)[:, :20])
    assert len({d.tobytes() for d in drawn}) == 7
    default, train = (sample_words(dfa, 40, 4, split=p) for p in (None, "train"))
    assert (default == train).all()


def test_short_words_of_splits_are_disjoint_and_uniform():
    everything = all_words(2, 10)
    support = {row.tobytes() for row in everything[NO_DOUBLE_B.accepts(everything)]}
    seen = []
    for split in SPLITS:
        words = sample_words(NO_DOUBLE_B, 10, 2500, seed=1, split=split)
        distinct = np.unique(words, axis=0)
        assert p_value(words, distinct) > 1e-4
        seen.append({row.tobytes() for row in distinct})
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert set.union(*seen) == support


def test_a_language_of_one_word_is_drawn_in_the_split_of_the_word():
    for word in all_words(2, 4):
        dfa = DFA.from_regex("".join(map(str, word)), alphabet="01")
        found = []
        for split in SPLITS:
            with contextlib.suppress(InputError):
                found.append(sample_words(dfa, 4, 3, split=split))
        assert len(found) == 1 and (found[0] == word).all()


def test_balanced_sets():
    words, lengths, labels = sample_word_set(NO_DOUBLE_B, (2, 12), 3000, seed=6)
    assert (labels.reshape(-1, 2).sum(axis=1) == 1).all() and 0.4 < labels[::2].mean() < 0.6
    for row in range(0, 3000, 50):
        word = words[row, : lengths[row]]
        assert NO_DOUBLE_B.accepts(word) == labels[row]
        assert (words[row, lengths[row] :] == 2).all()
    counts = np.bincount(lengths, minlength=13)[2:]
    assert chi2.sf(((counts - 3000 / 11) ** 2 / (3000 / 11)).sum(), 10) > 1e-4
    for label in (True, False):
        rows = np.flatnonzero((lengths == 4) & (labels == label))
        support = all_words(2, 4)[NO_DOUBLE_B.accepts(all_words(2, 4)) == label]
        assert p_value(np.ascontiguousarray(words[rows, :4]), support) > 1e-4


def test_lengths_are_uniform_among_those_with_words():
    words, lengths, labels = sample_word_set(MULTIPLES_OF_3, (1, 11), 600, seed=1, of="language")
    assert set(lengths.tolist()) == {3, 6, 9} and labels.all() and words.shape == (600, 11)
    assert np.bincount(lengths)[[3, 6, 9]].min() > 150
    with pytest.raises(InputError, match="no length from 1 to 11 has both"):
        sample_word_set(MULTIPLES_OF_3, (1, 11), 5)
    fixed = sample_word_set(NO_DOUBLE_B, 6, 10, of="complement")
    assert fixed.words.shape == (10, 6) and not fixed.labels.any()


def test_empty_sets_and_empty_words():
    none = np.empty(0, dtype=np.int64)
    drawn = draw_words(WordLaw(NO_DOUBLE_B), none, none, none, seed=0, split="train", stream=16)
    assert drawn.shape == (0, 0)
    assert sample_words(NO_DOUBLE_B, 0, 3).shape == (3, 0)
    assert sample_words(NO_DOUBLE_B, 5, 0).shape == (0, 5)
    assert sample_word_set(NO_DOUBLE_B, (2, 5), 0).words.shape == (0, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 4}, "no word of length 4: the nearest lengths that have are 3 and 6"),
        ({"length": 1, "of": "complement", "dfa": DFA([[0]], accepting=[0])}, "no word at all"),
        ({"dfa": DFA([[1], [1]], accepting=[0]), "length": 9}, "the nearest length that has is 0"),
        ({"length": -1}, "length is -1"),
        ({"length": 3.0}, "length is 3.0: give an integer"),
        ({"num_words": -1}, "num_words is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"of": "languages"}, "did you mean 'language'"),
        ({"split": "test"}, "unknown split 'test'"),
        ({"first_item": -1}, "first_item is -1"),
        ({"length": 2**23}, "length is 8388608: give at most 4194304"),
        ({"num_words": 2**40}, "too many at once: draw up to 89478485 of them at a time"),
        ({"dfa": DFA([[0, 0], [0, 0]], accepting=[0]), "length": 1, "split": "train"}, "no split"),
    ],
)
def test_bad_input(arguments, message):
    valid = {"dfa": MULTIPLES_OF_3, "length": 3, "num_words": 2, "seed": 0}
    with pytest.raises(InputError, match=message):
        sample_words(**{**valid, **arguments})


def test_the_last_items_there_are():
    last = 2**63 - 1 - 3
    words = sample_words(NO_DOUBLE_B, 9, 3, first_item=last)
    assert (words[1:] == sample_words(NO_DOUBLE_B, 9, 2, first_item=last + 1)).all()
    with pytest.raises(InputError, match="first_item is"):
        sample_words(NO_DOUBLE_B, 9, 3, first_item=last + 1)


def test_bad_sets():
    with pytest.raises(InputError, match="num_words is -1"):
        sample_word_set(NO_DOUBLE_B, 3, -1)
    with pytest.raises(InputError, match="give an integer or a pair"):
        sample_word_set(NO_DOUBLE_B, (1, 2, 3), 5)
    with pytest.raises(InputError, match="the longest length is 2"):
        sample_word_set(NO_DOUBLE_B, (3, 2), 5)
    with pytest.raises(InputError, match="did you mean 'balanced'"):
        sample_word_set(NO_DOUBLE_B, 3, 5, of="balance")
    with pytest.raises(InputError, match=r"no word of length 4 to 5: the nearest .* 3 and 6"):
        sample_word_set(MULTIPLES_OF_3, (4, 5), 5, of="language")
    with pytest.raises(InputError, match="too many for uniform words"):
        sample_words(DFA(np.zeros((2**20, 2), dtype=np.int64), accepting=[0]), 3, 1)
