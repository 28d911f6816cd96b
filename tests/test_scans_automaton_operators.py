"""Operators of automata: registered, compiled, mapped, captured, and how often compiled."""

import itertools

import pytest
import torch

from automata.sampling import random_dfa
from statetrack.scans.automaton import automaton_scan, uniform_words
from statetrack.scans.automaton.draw_operator import words_operator
from statetrack.scans.automaton.operator import scan_operator
from tests.automaton_cases import DEVICE, every_backend, random_words, table_of


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
