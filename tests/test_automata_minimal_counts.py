"""Counts of minimal automata against published ones, and against minimisation."""

import numpy as np
import pytest

from automata.accessible import accessible_from_rank, count_accessible
from automata.dfa import DFA
from automata.errors import InputError
from automata.minimal_counts import accessible_tables
from automata.sampling import count_minimal


def test_published_counts():
    """OEIS A129622 (two letters), A059412 (one letter); three letters: 2, 112, 41928."""
    assert [count_minimal(n, 2) for n in range(1, 6)] == [2, 24, 1028, 56014, 3705306]
    assert [count_minimal(n, 1) for n in range(1, 5)] == [2, 4, 12, 30]
    assert [count_minimal(n, 3) for n in range(1, 4)] == [2, 112, 41928]


def test_one_letter_up_to_the_most_states():
    """A tail of t states into a cycle whose labels are a primitive word, its last state unlike."""
    primitive = []
    for length in range(1, 17):
        shorter = sum(primitive[d - 1] for d in range(1, length) if length % d == 0)
        primitive.append(2**length - shorter)
    for n in (9, 16):
        tails = sum(primitive[n - t - 1] * 2 ** (t - 1) for t in range(1, n))
        assert count_minimal(n, 1) == primitive[n - 1] + tails


@pytest.mark.slow
def test_six_states():
    assert count_minimal(6, 2) == 286717796


@pytest.mark.parametrize(("num_states", "num_symbols"), [(1, 2), (4, 2), (3, 3), (9, 1), (2, 5)])
def test_every_structure_is_listed_once(num_states, num_symbols):
    tables = np.concatenate(list(accessible_tables(num_states, num_symbols)))
    count = count_accessible(num_states, num_symbols)
    assert tables.shape == (count, num_states, num_symbols) and tables.dtype == np.int64
    found = {table.tobytes() for table in tables}
    ranks = range(0, count, max(1, count // 200))
    assert len(found) == count
    assert all(accessible_from_rank(r, num_states, num_symbols).tobytes() in found for r in ranks)


def test_against_minimisation():
    for num_states, num_symbols in ((3, 2), (6, 1), (7, 1), (2, 3)):
        num_minimal = 0
        for tables in accessible_tables(num_states, num_symbols):
            for table in tables:
                for subset in range(2**num_states):
                    accepting = [q for q in range(num_states) if subset >> q & 1]
                    minimal = DFA(table, 0, accepting).minimize()
                    num_minimal += minimal.num_states == num_states
        assert count_minimal(num_states, num_symbols) == num_minimal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, 2), "there are 256182290 structures, and up to 4194304 are listed"),
        ((5, 3), "914929500 structures"),
        ((17, 1), "up to 16 states"),
        ((2, 1000), "too many to list"),
        ((0, 2), "num_states is 0"),
        ((2, 0), "num_symbols is 0"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InputError, match=message):
        count_minimal(*arguments)
