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
from automata.philox import SPLITS
from automata.sampling import random_dfa
from automata.words import uniform_letters as uniform_letters_numpy
from statetrack.scans.automaton import automaton_scan, launch, uniform_letters, uniform_words
from statetrack.scans.automaton.draw_operator import words_operator
from statetrack.scans.automaton.operator import scan_operator

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
BACKENDS = ["reference", "parallel", "triton"]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.uint8]
I64, I32, I16, U8 = INTEGERS
# Of tables, words and states: few, since a GPU compiles a kernel for each.
TYPES = [(I64, I64, I64), (I16, U8, I32), (U8, I32, U8)]
LENGTHS = [0, 1, 2, 31, 32, 33, 64, 97]

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def table_of(dfa, dtype=torch.int64):
    return torch.from_numpy(np.array(dfa.transitions)).to(DEVICE, dtype)


def random_words(num_symbols, *shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, num_symbols, shape)).to(DEVICE)


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
    twin = uniform_letters(3, length, firsts, 4, seed=seeds, device=DEVICE)
    assert torch.equal(drawn.tokens, twin)


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


@every_backend
def test_the_operators_are_registered_right(backend):
    dfa = random_dfa(4, 2, seed=1)
    table, flags = table_of(dfa), torch.arange(4, device=DEVICE) > 1
    for words, initial, outputs in [
        (random_words(2, 3, 33), None, flags),
        (random_words(2, 2, 2, 5), torch.ones(2, 2, dtype=torch.long, device=DEVICE), None),
        (random_words(2, 3, 0), None, None),
    ]:
        arguments = (table, words, initial, 1, outputs, torch.int32, backend, True)
        results = torch.library.opcheck(scan_operator, arguments)
        assert set(results.values()) == {"SUCCESS"}
    seeds = torch.arange(3, device=DEVICE)
    for given_seeds, leading, length, keep in [
        (seeds, [3], 33, True),
        (None, [], 4, False),
        (None, [], 0, True),
    ]:
        numbers = (given_seeds, 0, None, 5, None, 1)
        arguments = (
            table, flags, leading, 2, length, *numbers, "train", torch.int64, keep, backend,
            0, length,
        )  # fmt: skip
        results = torch.library.opcheck(words_operator, arguments)
        assert set(results.values()) == {"SUCCESS"}


@every_backend
def test_compiled_equals_eager(backend):
    dfa = random_dfa(4, 2, seed=1)
    table, words = table_of(dfa), random_words(2, 3, 33)

    def draw_and_run(table, words, first):
        states, final = automaton_scan(table, words, 1, backend=backend)
        return states, final, *uniform_words(table, 40, first, 3, outputs=table[:, 0])

    compiled = torch.compile(draw_and_run, fullgraph=True, backend="aot_eager")
    for first in (0, torch.tensor(7, device=DEVICE)):
        for one, other in zip(
            draw_and_run(table, words, first), compiled(table, words, first), strict=True
        ):
            assert torch.equal(one, other)


@every_backend
def test_mapped_scans_are_run_by_run(backend):
    """Also over automata: mapped tables become their disjoint union."""
    dfas = [random_dfa(5, 3, seed=seed) for seed in range(3)]
    tables = torch.stack([table_of(dfa) for dfa in dfas])
    outputs = random_words(9, 3, 5)
    words = random_words(3, 3, 4, 33)
    initial = random_words(5, 3, 4)

    def run(table, word, start, output):
        return automaton_scan(table, word, start, output, backend=backend)

    for with_outputs, in_dims in itertools.product(
        (True, False), [(0, 0, 0, 0), (None, 0, 0, None), (0, None, None, None), (2, 2, 1, None)]
    ):
        if not with_outputs and in_dims[3] == 0:
            in_dims = (*in_dims[:3], None)
        given_outputs = outputs if in_dims[3] == 0 else outputs[0]
        arguments = [tables, words, initial, given_outputs if with_outputs else None]
        chosen = []
        for tensor, axis in zip(arguments, in_dims, strict=True):
            if tensor is None or tensor is given_outputs:
                chosen.append(tensor)
            else:
                chosen.append(tensor[0] if axis is None else tensor.movedim(0, axis))
        mapped = torch.func.vmap(run, in_dims)(*chosen)
        for i in range(3):
            alone = run(
                *(
                    tensor if axis is None or tensor is None else tensor.select(axis, i)
                    for tensor, axis in zip(chosen, in_dims, strict=True)
                )
            )
            for one, other in zip(mapped, alone, strict=True):
                assert torch.equal(one[i], other)


@every_backend
def test_mapped_draws_are_run_by_run(backend):
    tables = torch.stack([table_of(random_dfa(5, 3, seed=seed)) for seed in range(3)])
    seeds = torch.tensor([4, 9, 1], device=DEVICE)

    def draw(table, seed, step):
        return uniform_words(table, 33, step, 4, seed=seed, initial=2, backend=backend)[:2]

    step = torch.tensor(12, device=DEVICE)
    for in_dims in ((0, 0, None), (None, 0, None), (0, None, None)):
        chosen = (tables, seeds, step)
        chosen = [t if a == 0 else t[0] for t, a in zip(chosen[:2], in_dims, strict=False)] + [step]
        mapped = torch.func.vmap(draw, in_dims)(*chosen)
        for i in range(3):
            table, seed = (t[i] if a == 0 else t for t, a in zip(chosen, in_dims[:2], strict=False))
            for one, other in zip(mapped, draw(table, seed, step), strict=True):
                assert torch.equal(one[i], other)


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


@pytest.mark.gpu
def test_a_captured_graph_draws_new_words_at_every_replay():
    dfa = random_dfa(8, 3, seed=3)
    table = table_of(dfa)
    step = torch.zeros((), dtype=torch.long, device="cuda")
    for length in (8, 64):
        step.zero_()

        def draw(length=length):
            drawn = uniform_words(table, length, step, 64, seed=2, outputs=table[:, 0])
            step.add_(64)
            return drawn

        draw()
        step.zero_()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            drawn = draw()
        step.zero_()
        for replay in range(3):
            graph.replay()
            expected = uniform_words(table, length, 64 * replay, 64, seed=2, outputs=table[:, 0])
            for one, other in zip(drawn, expected, strict=True):
                assert torch.equal(one, other)


@pytest.mark.gpu
def test_lengths_and_batches_share_compiled_kernels():
    from statetrack.scans.automaton import kernel

    kernels = (kernel.scan_kernel, kernel.draw_kernel)
    for one in kernels:
        one.device_caches.clear()
    table = table_of(random_dfa(8, 3, seed=3))
    for length, batch in itertools.product((1, 2, 16, 17, 1000), (1, 3, 64)):
        automaton_scan(table, random_words(3, batch, length))
        uniform_words(table, length, batch, batch)
    for one in kernels:
        assert 1 <= len(one.device_caches[torch.cuda.current_device()][0]) <= 2
