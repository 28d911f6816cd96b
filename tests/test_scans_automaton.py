"""Automata on a device against `automata.dfa`, permutations multiplied out, and one another."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.dfa import DFA
from automata.errors import InputError
from automata.groups import alternating, symmetric
from automata.sampling import random_dfa
from statetrack.scans.automaton import automaton_scan, launch
from tests.automaton_cases import DEVICE, INTEGERS, ON_GPU, every_backend, random_words, table_of

I64, I32, I16, U8 = INTEGERS
# Of tables, words and states: few, since a GPU compiles a kernel for each.
TYPES = [(I64, I64, I64), (I16, U8, I32), (U8, I32, U8)]
LENGTHS = [0, 1, 2, 31, 32, 33, 64, 97]


def trace(dfa, words):
    return torch.from_numpy(dfa.trace(words.cpu().numpy())[..., 1:]).to(DEVICE)


@st.composite
def automata_with_words(draw):
    num_states, num_symbols = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    dfa = DFA(
        generator.integers(0, num_states, (num_states, num_symbols)),
        int(generator.integers(num_states)),
    )
    leading = draw(st.sampled_from([(), (1,), (33,), (2, 3), (0,), (2, 1, 2, 1)]))
    length = draw(st.sampled_from(LENGTHS))
    return dfa, random_words(num_symbols, *leading, length, seed=seed)


@every_backend
@settings(max_examples=25 if not ON_GPU else 150)
@given(
    case=automata_with_words(),
    dtypes=st.sampled_from(TYPES),
    layout=st.sampled_from(["plain", "transposed", "expanded", "offset"]),
)
def test_states_equal_the_trace(backend, case, dtypes, layout):
    dfa, words = case
    if layout == "transposed" and words.dim() > 1:
        words = words.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "expanded" and words.dim() > 1:
        words = words[:1].expand_as(words)
    if layout == "offset" and words.dim():
        words = torch.cat([words[..., :1], words], dim=-1)[..., 1:]
    expected = trace(dfa, words)
    states, final = automaton_scan(
        table_of(dfa, dtypes[0]), words.to(dtypes[1]), dfa.initial, dtype=dtypes[2], backend=backend
    )
    assert states.dtype == dtypes[2] and final.dtype == torch.int64
    assert torch.equal(states.long(), expected)
    last = expected[..., -1] if words.shape[-1] else torch.full_like(final, dfa.initial)
    assert torch.equal(final, last)


@every_backend
@pytest.mark.parametrize("group", [symmetric(3), alternating(5), symmetric(5)], ids=str)
def test_word_problems_are_decoded(backend, group):
    """Products of permutations, multiplied out one after the other."""
    num_words, length = (1000, 50) if ON_GPU or backend != "triton" else (40, 33)
    images = torch.tensor(np.array(group.elements), device=DEVICE)
    words = random_words(group.order, num_words, length, seed=3)
    states, _ = automaton_scan(torch.tensor(group.table, device=DEVICE), words, backend=backend)
    product = torch.arange(images.shape[1], device=DEVICE).expand(num_words, -1)
    for t in range(length):
        product = images[words[:, t]].gather(1, product)
        assert torch.equal(images[states[:, t]], product)


@every_backend
def test_labels_are_outputs_of_states(backend):
    dfa = random_dfa(11, 3, seed=1)
    words = random_words(3, 5, 40)
    expected = trace(dfa, words)
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(0, 100, (11,), generator=generator).to(DEVICE)
    for outputs in (numbers, numbers.to(torch.uint8), numbers.to(torch.int32), numbers > 50):
        labels, _ = automaton_scan(
            table_of(dfa), words, dfa.initial, outputs=outputs, backend=backend
        )
        assert labels.dtype == outputs.dtype
        assert torch.equal(labels, outputs[expected])


@every_backend
def test_initial_states_of_each_word_and_words_of_each_initial_state(backend):
    dfa = random_dfa(7, 2, seed=5)
    words = random_words(2, 4, 1, 20)
    initial = torch.arange(7, device=DEVICE)
    states, final = automaton_scan(table_of(dfa), words, initial, backend=backend)
    assert states.shape == (4, 7, 20)
    for i, q in itertools.product(range(4), range(7)):
        expected = DFA(dfa.transitions, q).trace(words[i, 0].cpu().numpy())
        assert states[i, q].tolist() == expected[1:].tolist()
    assert torch.equal(final, states[..., -1])


@every_backend
@pytest.mark.parametrize("place", [0, 1, 32, 40, 69, 70])
def test_a_word_cut_in_two_with_the_state_carried(backend, place):
    dfa = random_dfa(20, 3, seed=4)
    table, words = table_of(dfa), random_words(3, 35, 70)
    whole, end = automaton_scan(table, words, dfa.initial, backend=backend)
    first, between = automaton_scan(table, words[:, :place], dfa.initial, backend=backend)
    second, last = automaton_scan(table, words[:, place:], between, backend=backend)
    assert torch.equal(torch.cat([first, second], dim=1), whole)
    assert torch.equal(last, end)


@every_backend
def test_what_is_out_of_range_gives_minus_one_to_the_end_of_its_word(backend):
    dfa = random_dfa(6, 2, seed=2)
    words = random_words(2, 8, 40)
    clean, _ = automaton_scan(table_of(dfa), words, dfa.initial, backend=backend)
    for value in (-1, 2, 2**40, -(2**31)):
        spoilt = words.clone()
        spoilt[3, 17] = value
        states, final = automaton_scan(
            table_of(dfa), spoilt, dfa.initial, backend=backend, check=False
        )
        expected = clean.clone()
        expected[3, 17:] = -1
        assert torch.equal(states, expected)
        assert torch.equal(final, expected[:, -1])
    initial = torch.full((8,), dfa.initial, device=DEVICE)
    initial[5] = 6
    states, _ = automaton_scan(table_of(dfa), words, initial, backend=backend, check=False)
    assert (states[5] == -1).all() and torch.equal(states[:5], clean[:5])
    labels, _ = automaton_scan(
        table_of(dfa),
        words,
        initial,
        torch.ones(6, dtype=torch.bool, device=DEVICE),
        backend=backend,
        check=False,
    )
    assert not labels[5].any() and labels[:5].all()


@every_backend
def test_words_cut_in_pieces_are_the_same(backend, monkeypatch):
    """Pieces run from all states, in two levels, whatever the lengths."""
    monkeypatch.setattr(launch, "is_cut", lambda *sizes: True)
    monkeypatch.setattr(launch, "SHORTEST_PIECE", 2)
    monkeypatch.setattr(launch, "CUT_PIECES", 2**20)
    monkeypatch.setattr(launch, "GROUP", 2)
    dfa = random_dfa(5, 3, seed=8)
    for length in (1, 31, 32, 33, 160, 333):
        words = random_words(3, 2, length, seed=length)
        initial = torch.tensor([1, 4], device=DEVICE)
        states, final = automaton_scan(table_of(dfa), words, initial, backend=backend)
        for row in range(2):
            expected = DFA(dfa.transitions, int(initial[row])).trace(words[row].cpu().numpy())[1:]
            assert states[row].tolist() == expected.tolist()
            assert final[row] == expected[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transitions": torch.zeros(3)}, r"\[num_states, num_symbols\]"),
        ({"transitions": torch.zeros(2, 2)}, "float32"),
        ({"transitions": torch.zeros(0, 2, dtype=torch.long)}, "at least 1"),
        ({"words": torch.zeros(3)}, "words has type torch.float32"),
        ({"words": torch.tensor(1)}, "no axis"),
        ({"words": torch.tensor([0, 2])}, "words holds 2, and there are 2 symbols, 0 to 1"),
        ({"words": torch.tensor([0, -3])}, "words holds -3"),
        ({"initial": 2}, "initial state 2, and there are 2 states"),
        ({"initial": torch.tensor([0, 5])}, "initial holds 5"),
        ({"initial": torch.zeros(3, dtype=torch.long), "words": torch.zeros(2, 4).long()}, "broad"),
        ({"transitions": torch.tensor([[0, 1], [1, 2]])}, "transitions holds 2"),
        ({"outputs": torch.zeros(3, dtype=torch.long)}, r"\[num_states\] = \[2\]"),
        ({"initial": 0.5}, r"initial is 0.5, a float; .* use int\(initial\)"),
        ({"dtype": torch.float32}, "dtype torch.float32"),
        ({"backend": "paralel"}, "did you mean 'parallel'"),
    ],
)
def test_bad_input_is_named(arguments, message):
    good = {"transitions": torch.tensor([[0, 1], [1, 0]]), "words": torch.tensor([0, 1, 1])}
    with pytest.raises(InputError, match=message):
        automaton_scan(**(good | arguments))


def test_a_type_too_narrow_is_named():
    cycle = torch.arange(300).roll(-1).unsqueeze(-1)
    with pytest.raises(InputError, match="uint8 holds values up to 255, and there are 300"):
        automaton_scan(cycle, torch.zeros(4, dtype=torch.long), dtype=torch.uint8)


def test_same_call_same_bits_and_nothing_outside_is_written():
    dfa = random_dfa(9, 3, seed=1)
    words = random_words(3, 37, 45)
    first, _ = automaton_scan(table_of(dfa), words, backend="triton")
    for _ in range(20 if ON_GPU else 2):
        assert torch.equal(automaton_scan(table_of(dfa), words, backend="triton")[0], first)
    room = torch.full((64 + words.numel() + 64,), 77, device=DEVICE)
    written = room[64:-64].view(words.shape)
    launch.run_words(table_of(dfa), words, None, 0, None, written)
    assert torch.equal(written, first)
    assert (room[:64] == 77).all() and (room[-64:] == 77).all()
