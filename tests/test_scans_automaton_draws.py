"""Words drawn on a device against NumPy, in pieces, cut, and for many runs at once."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import symmetric
from automata.philox import SPLITS
from automata.sampling import random_dfa
from automata.words import uniform_letters as uniform_letters_numpy
from statetrack.scans.automaton import automaton_scan, launch, uniform_letters, uniform_words
from tests.automaton_cases import DEVICE, INTEGERS, ON_GPU, every_backend, table_of


@every_backend
@settings(max_examples=15 if not ON_GPU else 200)
@given(
    num_symbols=st.integers(2, 7),
    length=st.integers(0, 70),
    first=st.one_of(st.integers(0, 100), st.integers(2**31 - 3, 2**33), st.just(2**63 - 40)),
    seed=st.integers(0, 2**32 - 1),
    split=st.sampled_from(SPLITS),
)
def test_drawn_words_have_the_bits_of_numpy(backend, num_symbols, length, first, seed, split):
    length = max(length, 2) if num_symbols == 2 and length else length
    expected = uniform_letters_numpy(num_symbols, length, (first, 33), seed=seed, split=split)
    dfa = random_dfa(5, num_symbols, seed=seed)
    outputs = torch.arange(10, 15, device=DEVICE)
    drawn = uniform_words(
        table_of(dfa),
        length,
        first,
        33,
        seed=seed,
        split=split,
        initial=dfa.initial,
        outputs=outputs,
        backend=backend,
    )
    tokens, states = torch.from_numpy(expected).to(DEVICE), torch.from_numpy(dfa.trace(expected))
    assert torch.equal(drawn.tokens, tokens)
    assert torch.equal(drawn.states, states[:, 1:].to(DEVICE))
    assert torch.equal(drawn.labels, outputs[drawn.states])


@every_backend
@pytest.mark.parametrize("length", [12, 16, 101])
@pytest.mark.parametrize("seed", [3, [3, 2**32 - 1]])
def test_words_in_pieces_are_the_words(backend, length, seed):
    dfa = random_dfa(5, 2, seed=1)
    leading = () if isinstance(seed, int) else (len(seed),)
    seed = seed if isinstance(seed, int) else torch.tensor(seed, device=DEVICE)
    outputs = torch.arange(10, 15, device=DEVICE)
    start = {"initial": dfa.initial, "outputs": outputs}
    whole = uniform_words(table_of(dfa), length, 2**33, 1, seed=seed, **start)
    state, pieces = torch.full(leading, dfa.initial, device=DEVICE), []
    for start, count in ((0, 8), (8, length - 8)):
        pieces.append(
            uniform_words(
                table_of(dfa),
                length,
                2**33,
                1,
                seed=seed,
                initial=state,
                outputs=outputs,
                first_letter=start,
                num_letters=count,
                backend=backend,
            )
        )
        state = pieces[-1].states[..., 0, -1]
    for name in ("tokens", "states", "labels"):
        joined = torch.cat([getattr(piece, name) for piece in pieces], dim=-1)
        assert torch.equal(joined, getattr(whole, name)), name


def test_pieces_of_drawn_words_begin_at_a_block():
    with pytest.raises(InputError, match=r"first_letter = 6: .* multiple of 4"):
        uniform_words(torch.zeros(1, 2, dtype=torch.long), 40, 0, 1, first_letter=6)


@every_backend
@pytest.mark.parametrize("num_symbols", [1000, 65537, 2**20])
def test_large_alphabets(backend, num_symbols):
    one_state = torch.zeros(1, num_symbols, dtype=torch.long, device=DEVICE)
    expected = uniform_letters_numpy(num_symbols, 9, (0, 5), seed=2)
    found = uniform_words(one_state, 9, 0, 5, seed=2, backend=backend)
    assert np.array_equal(found.tokens.cpu().numpy(), expected)


@every_backend
@pytest.mark.parametrize("length", [6, 40])
def test_many_runs_at_once_with_numbers_on_the_device(backend, length):
    dfa = random_dfa(6, 3, seed=1)
    seeds = torch.tensor([[3], [2**32 - 1]], device=DEVICE)
    firsts = torch.tensor([0, 2**32 + 7, 10], device=DEVICE)
    starts = torch.tensor([[5], [2]], device=DEVICE)
    drawn = uniform_words(
        table_of(dfa), length, firsts, 4, seed=seeds, initial=starts, backend=backend
    )
    assert drawn.tokens.shape == (2, 3, 4, length)
    for i, j in itertools.product(range(2), range(3)):
        alone = uniform_words(
            table_of(dfa), length, int(firsts[j]), 4, seed=int(seeds[i, 0]), initial=int(starts[i])
        )
        assert torch.equal(drawn.tokens[i, j], alone.tokens)
        assert torch.equal(drawn.states[i, j], alone.states)
    twin = uniform_letters(3, length, firsts, 4, seed=seeds, device=DEVICE, backend="reference")
    assert torch.equal(drawn.tokens, twin)


@pytest.mark.parametrize("length", [0, 1, 4, 33, 200])
def test_letters_without_an_automaton_are_drawn_by_a_kernel_as_well(length):
    firsts, seeds = (torch.tensor(one, device=DEVICE) for one in ([7, 2**33, 0], [3, 2**32 - 1, 3]))
    for first, seed in ((firsts, seeds), (5, 9), (firsts, 9), (5, seeds)):
        found, twin = (
            uniform_letters(6, length, first, 4, seed=seed, device=DEVICE, backend=backend)
            for backend in ("triton", "reference")
        )
        assert torch.equal(found, twin)
    with pytest.raises(InputError, match="triton"):
        uniform_letters(6, 200, 0, 4, first_letter=4, device=DEVICE, backend="triton")


@every_backend
@pytest.mark.parametrize("dtype", INTEGERS)
def test_compact_types_and_parts(backend, dtype):
    dfa = random_dfa(9, 4, seed=1)
    flags = torch.from_numpy(np.array(dfa.accepting)).to(DEVICE)
    whole = uniform_words(table_of(dfa), 64, 5, 33, initial=dfa.initial, backend="reference")
    drawn = uniform_words(
        table_of(dfa, dtype),
        64,
        5,
        33,
        initial=dfa.initial,
        outputs=flags,
        keep_states=False,
        dtype=dtype,
        backend=backend,
    )
    assert drawn.states is None and drawn.tokens.dtype == dtype
    assert torch.equal(drawn.tokens.long(), whole.tokens)
    assert torch.equal(drawn.labels, flags[whole.states])


def test_drawn_words_that_are_cut_are_the_same(monkeypatch):
    dfa = random_dfa(5, 3, seed=8)
    flags = torch.arange(5, device=DEVICE) > 2
    options = {"outputs": flags, "initial": dfa.initial, "backend": "triton"}
    whole = uniform_words(table_of(dfa), 150, 3, 2, **options)
    monkeypatch.setattr("statetrack.scans.automaton.draw_operator.is_cut", lambda *sizes: True)
    monkeypatch.setattr(launch, "is_cut", lambda *sizes: True)
    monkeypatch.setattr(launch, "SHORTEST_PIECE", 2)
    cut = uniform_words(table_of(dfa), 150, 3, 2, **options)
    assert all(torch.equal(one, other) for one, other in zip(whole, cut, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_item": -1}, "first_item = -1"),
        ({"length": -1}, "length = -1"),
        ({"length": 5.5}, "length = 5.5: expected a whole number"),
        ({"seed": 2**32}, "seed"),
        ({"seed": 2**70}, r"seed = \d+: expected 0 to 2\*\*32 - 1"),
        ({"first_item": 0.5}, "first_item is 0.5"),
        ({"split": "tran"}, "did you mean 'train'"),
        ({"length": 1}, "too few"),
        ({"initial": 2}, "initial state 2"),
        ({"keep_states": False}, "keep_states"),
        ({"seed": torch.tensor(0.5)}, "seed has type torch.float32"),
        ({"seed": torch.zeros(2).long(), "first_item": torch.zeros(3).long()}, "do not broadcast"),
    ],
)
def test_bad_draws_are_named(arguments, message):
    good = {"transitions": torch.tensor([[0, 1], [1, 0]]), "length": 20, "first_item": 0}
    with pytest.raises(InputError, match=message):
        uniform_words(**(good | {"num_items": 4} | arguments))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["s3", "s5"])
def test_a_million_letters(name):
    group = symmetric(int(name[1]))
    table = torch.tensor(group.table, device="cuda")
    drawn = uniform_words(table, 2**20, 0, 2, seed=1)
    expected = DFA(group.table).trace(drawn.tokens.cpu().numpy())[:, 1:]
    assert np.array_equal(drawn.states.cpu().numpy(), expected)
    letters = uniform_letters_numpy(group.order, 2**20, (0, 2), seed=1)
    assert np.array_equal(drawn.tokens.cpu().numpy(), letters)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(2**21 + 1, 1040), (5, 2**29 + 3)])
def test_more_than_two_to_the_31_letters(shape):
    if torch.cuda.mem_get_info()[0] < 16 * 2**30:
        pytest.skip("needs 16 GB of device memory")
    table = torch.tensor(symmetric(3).table, device="cuda", dtype=torch.uint8)
    drawn = uniform_words(table, shape[1], 0, shape[0], seed=1, dtype=torch.uint8)
    states, final = automaton_scan(table, drawn.tokens, dtype=torch.uint8)
    assert torch.equal(states, drawn.states) and torch.equal(final, states[:, -1].long())
    last = shape[0] - 1
    letters = uniform_letters(6, shape[1], last, 1, seed=1, device="cuda")
    assert torch.equal(drawn.tokens[last:].long(), letters)
    expected, _ = automaton_scan(table, letters[:, -1000:], states[last:, -1001].long())
    assert torch.equal(expected, states[last:, -1000:].long())
