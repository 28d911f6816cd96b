"""Words are pure functions of (seed, split, item), and splits never share one."""

import functools
import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.errors import InputError
from automata.letters import is_split_by_word, uniform_letters, word_portion
from automata.philox import SPLITS, philox_4x32_10

few = settings(derandomize=True, max_examples=25, deadline=None)


def test_long_words_letter_by_letter():
    """The documented formula, one letter at a time, on top of the known-answer function."""
    seed, split_index, num_symbols = 77, 1, 6
    words = uniform_letters(num_symbols, 23, [3, 2**32 + 5], seed=seed, split="selection")
    for item, word in zip((3, 2**32 + 5), words, strict=True):
        for position, letter in enumerate(word):
            counter = [item % 2**32, item >> 32, position // 4, 0]
            block = philox_4x32_10(counter, [seed, split_index << 24])
            assert letter == int(block[position % 4]) * num_symbols >> 32


def test_short_words_follow_the_documented_order():
    num_symbols, length, seed = 3, 4, 5
    count = num_symbols**length
    blocks = [philox_4x32_10([code, 0, length, num_symbols], [0, 3]) for code in range(count)]
    order = sorted(range(count), key=lambda code: (int(blocks[code][0]), int(blocks[code][1])))
    small = count // 8
    portions = {
        "train": order[: count - 2 * small],
        "selection": order[count - 2 * small : count - small],
        "report": order[count - small :],
    }
    for index, split in enumerate(SPLITS):
        assert word_portion(num_symbols, length, split).tolist() == portions[split]
        words = uniform_letters(num_symbols, length, (7, 5), seed=seed, split=split)
        for item, word in enumerate(words, start=7):
            draw = int(philox_4x32_10([item, 0, length, 0], [seed, index << 24 | 2])[0])
            code = portions[split][draw * len(portions[split]) >> 32]
            assert int("".join(map(str, word)), num_symbols) == code


@given(
    num_symbols=st.integers(2, 200),
    length=st.integers(1, 40),
    start=st.integers(0, 2**40),
    count=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
    split=st.sampled_from(SPLITS),
)
@few
def test_one_item_equals_the_item_of_a_set(num_symbols, length, start, count, seed, split):
    if num_symbols**length < 3:
        return
    words = uniform_letters(num_symbols, length, (start, count), seed=seed, split=split)
    assert words.shape == (count, length) and words.dtype == np.int64
    assert words.min() >= 0 and words.max() < num_symbols
    last = uniform_letters(num_symbols, length, [start + count - 1], seed=seed, split=split)
    assert (last[0] == words[-1]).all()


@given(
    num_symbols=st.sampled_from([2, 3, 6, 65537]),
    length=st.integers(2, 45),
    cuts=st.lists(st.integers(0, 45), max_size=4),
    split=st.sampled_from(SPLITS),
)
@few
def test_pieces_make_up_the_word(num_symbols, length, cuts, split):
    """At any letter, on both sides of the border of short words."""
    draw = functools.partial(uniform_letters, num_symbols, length, (7, 5), seed=3, split=split)
    ends = sorted({0, length, *(cut for cut in cuts if cut < length)})
    pieces = [
        draw(first_letter=start, num_letters=end - start) for start, end in itertools.pairwise(ends)
    ]
    assert np.array_equal(np.concatenate(pieces, axis=1), draw())
    assert np.array_equal(draw(first_letter=ends[-2]), pieces[-1])


def test_long_words_are_prefixes_of_longer_ones():
    longest = uniform_letters(2, 1000, (0, 10), seed=9)
    for length in (17, 18, 64, 999):
        assert (uniform_letters(2, length, (0, 10), seed=9) == longest[:, :length]).all()


@pytest.mark.parametrize(("num_symbols", "length"), [(2, 2), (3, 1), (6, 2), (2, 16), (120, 2)])
def test_short_splits_partition_all_words(num_symbols, length):
    portions = [word_portion(num_symbols, length, split) for split in SPLITS]
    together = np.concatenate(portions)
    assert sorted(together.tolist()) == list(range(num_symbols**length))
    assert all(len(portion) >= 1 for portion in portions)
    drawn = [
        {w.tobytes() for w in uniform_letters(num_symbols, length, (0, 300), seed=1, split=split)}
        for split in SPLITS
    ]
    assert not drawn[0] & drawn[1] and not drawn[0] & drawn[2] and not drawn[1] & drawn[2]


def test_the_limit_of_splitting_by_word():
    assert is_split_by_word(2, 16) and not is_split_by_word(2, 17)
    assert is_split_by_word(256, 2) and not is_split_by_word(257, 2)
    assert is_split_by_word(2**16, 1) and not is_split_by_word(2**16 + 1, 1)


def test_letters_are_uniform_and_independent():
    letters = uniform_letters(5, 400, (0, 500), seed=2)
    pairs = np.bincount((letters[:, :-1] * 5 + letters[:, 1:]).reshape(-1), minlength=25)
    expected = pairs.sum() / 25
    assert ((pairs - expected) ** 2 / expected).sum() < 65  # 24 degrees of freedom, p ~ 1e-5
    by_position = (letters == 0).mean(axis=0)
    assert abs(by_position - 0.2).max() < 5 * np.sqrt(0.16 / 500)


def test_seeds_and_splits_give_other_words():
    draws = [
        uniform_letters(4, 30, (0, 5), seed=seed, split=split).tobytes()
        for seed in (0, 1)
        for split in SPLITS
    ]
    assert len(set(draws)) == 6


def test_bits_stay_the_same():
    """Changing these hashes changes every published result: raise the tasks' semantics too."""

    def digest(*arguments, **keywords):
        letters = uniform_letters(*arguments, **keywords).astype("<i8")
        return hashlib.sha256(letters.tobytes()).hexdigest()[:16]

    assert digest(2, 64, (0, 100)) == "c7c22883b94227cf"
    assert digest(120, 33, (2**33, 50), seed=7, split="report") == "8b31231155e8800a"
    assert digest(2, 10, (0, 100), seed=1, split="selection") == "ce92d866f22292f4"


def test_empty_words_and_empty_sets():
    assert uniform_letters(2, 0, (0, 3)).shape == (3, 0)
    assert uniform_letters(2, 50, (0, 0)).shape == (0, 50)
    assert uniform_letters(2, 5, []).shape == (0, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1, (0, 1)), r"only 2 word\(s\) of length 1 .* give a greater length"),
        ((1, 50, (0, 1)), "use an alphabet of two or more"),
        ((0, 5, (0, 1)), "num_symbols is 0"),
        ((2, -1, (0, 1)), "length is -1"),
        ((2, 5, (0, 1, 2)), "items is a tuple of 3"),
        ((2, 5, (0, -1)), "number of items is -1"),
        ((2, 5, (-1, 1)), "first item is -1"),
        ((2, 5, [[0]]), "one axis"),
        ((2, 20, [-4]), "smallest item is -4"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        uniform_letters(*arguments)


def test_a_piece_lies_inside_its_word():
    for first_letter, num_letters, message in [
        (21, None, "first_letter is 21"),
        (-1, 3, "first_letter is -1"),
        (18, 3, "num_letters is 3"),
    ]:
        with pytest.raises(InputError, match=message):
            uniform_letters(2, 20, [0], first_letter=first_letter, num_letters=num_letters)


def test_the_last_items_there_are():
    last = 2**63 - 1
    assert uniform_letters(2, 50, (last - 1, 1)).shape == (1, 50)
    assert uniform_letters(2, 50, (last, 0)).shape == (0, 50)
    with pytest.raises(InputError, match="the number of items is 1"):
        uniform_letters(2, 50, (last, 1))
    with pytest.raises(InputError, match=f"the first item is {last + 1}"):
        uniform_letters(2, 50, (last + 1, 0))


def test_bad_split():
    with pytest.raises(InputError, match="unknown split 'trian': did you mean 'train'"):
        uniform_letters(2, 50, (0, 1), split="trian")
    with pytest.raises(InputError, match="unknown split 'trian': did you mean 'train'"):
        word_portion(2, 5, "trian")
    with pytest.raises(InputError, match="too many to list"):
        word_portion(2, 17, "train")
