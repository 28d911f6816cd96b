"""Running words: the same as one step at a time, and the input stays as it was."""

import numpy as np
import pytest

from automata import running
from automata.running import run_words, trace_words
from automata.sampling import random_dfa


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 70), (70, 1), (33, 65), (130, 64)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_against_single_steps(shape, order, monkeypatch):
    monkeypatch.setattr(running, "_WORDS_PER_CHUNK", 32)
    dfa = random_dfa(9, 3, seed=1)
    letters = np.asarray(np.random.default_rng(0).integers(0, 3, shape), order=order)
    before = letters.copy()
    traced = trace_words(dfa.transitions, 4, letters)
    assert traced.shape == (shape[0], shape[1] + 1) and (traced[:, 0] == 4).all()
    for time in range(shape[1]):
        expected = dfa.transitions[traced[:, time], letters[:, time]]
        assert (traced[:, time + 1] == expected).all()
    assert (run_words(dfa.transitions, 4, letters) == traced[:, -1]).all()
    assert (letters == before).all()
