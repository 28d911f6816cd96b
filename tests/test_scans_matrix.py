"""The matrix scan against its loop, finite differences, sympy permutations and big numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sympy.combinatorics import Permutation

from automata.errors import InputError
from automata.groups import symmetric
from statetrack.scans import ScaledStates, matrix_scan
from statetrack.scans.kernels import why_unavailable
from statetrack.scans.matrix import BlockDiagonal, PermutationDiagonal, launch

HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LENGTHS = (0, 1, 2, 3, 15, 16, 17, 31, 64, 65)
interpreted = pytest.mark.skipif(
    why_unavailable(torch.device("cpu")) is not None, reason="needs Triton's interpreter"
)


def inputs(length, leading=(2,), rows=2, size=3, seed=0, scale=0.7):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    return (
        scale * draw(*leading, length, size, size),
        draw(*leading, length, rows, size),
        draw(*leading, rows, size),
    )


def zeros(*shape):
    return torch.zeros(shape, device=HERE)


def by_kernel(*arguments, **options):
    return matrix_scan(*arguments, **options, backend="triton")


def value(scaled):
    return torch.ldexp(scaled.values, scaled.log2_scale[..., None, None])


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_complex_gradients_are_those_of_the_loop(length):
    generator = torch.Generator().manual_seed(length)
    tensors = [
        torch.randn(*shape, dtype=torch.complex128, generator=generator).requires_grad_()
        for shape in ((length, 3, 3), (length, 2, 3), (2, 3))
    ]
    expected, found = (
        torch.autograd.grad(matrix_scan(*tensors, backend=name)[0].abs().square().sum(), tensors)
        for name in ("reference", "parallel")
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("leading", [(), (2, 3), (0, 2)])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("with_input", [True, False])
def test_every_strategy_is_the_loop(length, leading, rows, with_input):
    a, b, initial = inputs(length, leading, rows)
    b = b if with_input else None
    expected, expected_final = matrix_scan(a, b, initial, backend="reference")
    states, final = matrix_scan(a, b, initial, backend="parallel")
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(final, expected_final)
    for backend in ("reference", "parallel"):
        scaled, scaled_final = matrix_scan(a, b, initial, rescale=True, backend=backend)
        torch.testing.assert_close(value(scaled), expected)
        torch.testing.assert_close(value(scaled_final), expected_final)


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_gradients_are_finite_differences(length, with_input, rescale):
    a, b, initial = (t.requires_grad_() for t in inputs(length, leading=(2,)))

    def run(a, initial, b=None):
        states, final = matrix_scan(a, b, initial, rescale=rescale)
        return (states.values, final.values) if rescale else (states, final)

    tensors = (a, initial, b) if with_input else (a, initial)
    assert torch.autograd.gradcheck(run, tensors)


@given(st.integers(0, 40), st.integers(0, 40), st.booleans(), st.integers(0, 2**31))
def test_two_halves_are_the_whole(left, right, rescale, seed):
    a, b, initial = inputs(left + right, seed=seed)
    whole, whole_final = matrix_scan(a, b, initial, rescale=rescale)
    first, carried = matrix_scan(a[:, :left], b[:, :left], initial, rescale=rescale)
    second, final = matrix_scan(a[:, left:], b[:, left:], carried, rescale=rescale)
    if rescale:
        whole, whole_final, first, second, final = map(
            value, (whole, whole_final, first, second, final)
        )
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(final, whole_final)


def test_permutations_multiply_as_in_sympy():
    group = symmetric(4)
    rng = np.random.default_rng(0)
    word = rng.integers(0, group.order, 300)
    matrices = torch.eye(4)[torch.tensor([group.elements[g] for g in word])]
    states, _ = matrix_scan(matrices)
    product = Permutation(3)
    for t, g in enumerate(word):
        product = product * Permutation(list(group.elements[g]))
        assert states[t].argmax(-1).tolist() == product.array_form


def test_permutation_chains_are_exact():
    order = torch.stack(
        [torch.randperm(5, generator=torch.Generator().manual_seed(i)) for i in range(120)]
    )
    word = torch.randint(0, 120, (2**14,), generator=torch.Generator().manual_seed(0))
    states, final = matrix_scan(torch.eye(5)[order[word]])
    position = torch.arange(5)
    for t in word:
        position = order[t][position]
    assert torch.equal(final, torch.eye(5)[position])
    assert torch.equal(states.sum(-1), torch.ones(2**14, 5))


def test_singular_transitions_and_resets():
    a, _, initial = inputs(12)
    a[:, 5] = 0.0
    a.requires_grad_()
    states, _ = matrix_scan(a, None, initial)
    assert torch.equal(states[:, 5:], torch.zeros_like(states[:, 5:]))
    states.sum().backward()
    assert a.grad.isfinite().all()


def test_rescaling_keeps_long_products_finite_and_exact():
    a, _, _ = inputs(4000, leading=(), size=4, scale=3.0)
    plain, _ = matrix_scan(a.float())
    assert not plain.isfinite().all()
    scaled, final = matrix_scan(a.float(), rescale=True)
    assert scaled.values.isfinite().all()
    largest = scaled.values.abs().amax(dim=(-1, -2))
    assert ((largest >= 0.5) & (largest < 1.0)).all()
    sign, log_determinant = torch.linalg.slogdet(a)
    state_sign, state_log = torch.linalg.slogdet(final.values.double())
    expected = log_determinant.sum()
    assert expected > 4000
    exact = matrix_scan(a, rescale=True)[1]
    torch.testing.assert_close(exact.values.float(), final.values, rtol=1e-3, atol=1e-4)
    assert exact.log2_scale == final.log2_scale
    assert state_sign != 0 and state_log.isfinite() and sign.prod() != 0


def test_readout_is_a_product_with_the_states():
    a, b, initial = inputs(7, leading=(4, 3))
    weight = torch.randn(3, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    states, _ = matrix_scan(a, b, initial)
    outputs, _ = matrix_scan(a, b, initial, readout=weight)
    torch.testing.assert_close(outputs, torch.einsum("bhtmn,hnc->bhtmc", states, weight))
    scaled, _ = matrix_scan(a, b, initial, readout=weight, rescale=True)
    torch.testing.assert_close(value(scaled), outputs)


def test_not_a_number_reaches_exactly_what_depends_on_it():
    a, _, initial = inputs(21, leading=(3,))
    a[1, 9, 0, 0] = torch.nan
    states, _ = matrix_scan(a, None, initial)
    assert not states[[0, 2]].isnan().any()
    assert not states[1, :9].isnan().any()
    assert states[1, 9:].isnan().any(dim=-1).any(dim=-1).all()


def test_vmap_over_runs_is_run_by_run():
    a, b, initial = inputs(9, leading=(5, 2))
    together = torch.func.vmap(lambda *t: matrix_scan(*t)[0])(a, b, initial)
    alone = torch.stack([matrix_scan(*t)[0] for t in zip(a, b, initial, strict=True)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("length", [64, 1024, 8192])
def test_single_precision_error_of_rotations(length):
    a, _, _ = inputs(length, leading=(2,), size=4)
    skew = (a - a.transpose(-1, -2)) / 2
    rotations = torch.linalg.matrix_exp(skew).float()
    exact, _ = matrix_scan(rotations.double(), backend="reference")
    found, _ = matrix_scan(rotations)
    error = (found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert error <= max(1e-6, 1e-7 * length**0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"a": torch.zeros(4, 3, 2)}, r"\[..., T, N, N\]"),
        ({"b": torch.zeros(4, 2, 2)}, r"\[..., T, M, N\]"),
        ({"initial": torch.zeros(2, 4)}, "initial"),
        ({"readout": torch.zeros(2, 2)}, "readout"),
        ({"initial": ScaledStates(torch.zeros(2, 3), torch.zeros(()))}, "rescale=True"),
        ({"a": torch.zeros(4, 3, 3).long()}, r"a is torch.int64, expected .*use a.float\(\)"),
        ({"b": torch.zeros(4, 2, 3).bool()}, "b is torch.bool"),
        ({"initial": torch.zeros(2, 3).int()}, "initial is torch.int32"),
        ({"readout": torch.zeros(3, 2).long()}, "readout is torch.int64"),
    ],
)
def test_bad_shapes_are_named(arguments, words):
    good = {"a": torch.zeros(4, 3, 3), "initial": torch.zeros(2, 3)}
    with pytest.raises(InputError, match=words):
        matrix_scan(**(good | arguments))


def structured(kind, length, leading=(2,), size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*leading, length, *shape, dtype=torch.float64, generator=generator)

    if kind == "blocks":
        return BlockDiagonal(0.7 * draw(3, size // 3, size // 3))
    return PermutationDiagonal(draw(size).argsort(-1), draw(size))


@pytest.mark.parametrize("kind", ["blocks", "permutation"])
@pytest.mark.parametrize("backend", ["reference", "parallel"])
@pytest.mark.parametrize("length", [0, 1, 2, 7, 16])
@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("with_input", [True, False])
def test_structured_transitions_are_their_dense_matrices(kind, backend, length, rows, with_input):
    a = structured(kind, length)
    _, b, initial = inputs(length, rows=rows, size=6)
    b = b if with_input else None
    initial = initial if rows == 1 else None
    states, final = matrix_scan(a, b, initial, backend=backend)
    expected, expected_final = matrix_scan(a.dense(), b, initial, backend="reference")
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(final, expected_final)
    weight = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outputs, _ = matrix_scan(a, b, initial, weight, backend=backend)
    torch.testing.assert_close(outputs, expected @ weight)


@pytest.mark.parametrize("with_input", [True, False])
def test_gradients_of_structured_transitions(with_input):
    _, b, initial = inputs(5, rows=2, size=6)
    a = structured("permutation", 5)
    blocks = structured("blocks", 5).blocks
    leaves = [a.scale, initial, b, blocks] if with_input else [a.scale, initial, None, blocks]
    for leaf in leaves:
        _ = leaf is None or leaf.requires_grad_()

    def permuted(scale, initial, b):
        return matrix_scan(PermutationDiagonal(a.permutation, scale), b, initial)

    def in_blocks(blocks, initial, b):
        return matrix_scan(BlockDiagonal(blocks), b, initial)

    assert torch.autograd.gradcheck(permuted, (leaves[0], leaves[1], leaves[2]))
    assert torch.autograd.gradcheck(in_blocks, (leaves[3], leaves[1], leaves[2]))


def test_long_permutation_words_are_exact():
    generator = torch.Generator().manual_seed(0)
    permutation = torch.randn(2**12, 5, generator=generator).argsort(-1)
    signs = torch.sign(torch.randn(2**12, 5, generator=generator))
    states, _ = matrix_scan(PermutationDiagonal(permutation, signs), initial=torch.eye(5)[:1])
    expected, _ = matrix_scan(
        PermutationDiagonal(permutation, signs), initial=torch.eye(5)[:1], backend="reference"
    )
    assert torch.equal(states, expected)


def test_structured_transitions_inside_vmap():
    a = structured("permutation", 6, leading=(4,))

    def run(permutation, scale):
        return matrix_scan(PermutationDiagonal(permutation, scale, checked=True))[0]

    mapped = torch.func.vmap(run)(a.permutation, a.scale)
    torch.testing.assert_close(mapped, matrix_scan(a)[0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: PermutationDiagonal(torch.tensor([[0, 1], [1, 1]]), torch.ones(2, 2)),
            r"permutation\[1\] = \[1, 1\] is no permutation of 0..1",
        ),
        (lambda: PermutationDiagonal(torch.ones(2, 2), torch.ones(2, 2)), "expected integers"),
        (
            lambda: PermutationDiagonal(torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 2)),
            "must end in the same",
        ),
        (lambda: BlockDiagonal(torch.zeros(4, 3, 2, 2).long()), "blocks is torch.int64"),
        (
            lambda: PermutationDiagonal(torch.tensor([[0, 1]]), torch.tensor([[1, -1]])),
            "scale is torch.int64",
        ),
        (lambda: BlockDiagonal(torch.zeros(3, 2, 2)), r"\[..., T, G, n, n\]"),
        (
            lambda: matrix_scan(BlockDiagonal(torch.zeros(4, 3, 2, 2)), rescale=True),
            r"pass a.dense\(\)",
        ),
        (
            lambda: matrix_scan(structured("permutation", 3), initial=torch.zeros(2, 4)),
            r"\[..., M, 6\]",
        ),
        (
            lambda: matrix_scan(structured("permutation", 3), backend="triton"),
            "triton",
        ),
        (lambda: by_kernel(zeros(2, 65, 65)), "1 to 64.*parallel"),
        (lambda: by_kernel(zeros(2, 3, 3), initial=zeros(65, 3)), "M = 65"),
        (lambda: by_kernel(zeros(2, 3, 3).to(torch.complex64)), "real types"),
    ],
)
def test_bad_structures_and_limits_are_named(make, words, kernel_device):
    with pytest.raises(InputError, match=words):
        make()


@interpreted
@pytest.mark.parametrize("size", [3, 9])
@pytest.mark.parametrize("length", [5, 8])
def test_time_in_chunks_is_the_loop(size, length, monkeypatch):
    monkeypatch.setattr(launch, "SHORTEST_CHUNK", 2)
    monkeypatch.setattr(launch, "FEWEST_TILE_CHUNKS", 2)
    for rows, with_input in ((size, False), (2, True)):
        tensors = inputs(length, (1,), rows, size, scale=0.4)
        leaves = [tensor.requires_grad_() for tensor in tensors]
        leaves = leaves if with_input else leaves[::2]
        results = []
        for backend in ("triton", "reference"):
            states, final = matrix_scan(
                tensors[0], tensors[1] if with_input else None, tensors[2], backend=backend
            )
            gradients = torch.autograd.grad(states.sin().sum() + final.cos().sum(), leaves)
            results.append((states, final, *gradients))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected)


@interpreted
@pytest.mark.parametrize("kind", ["blocks"])
def test_kernels_run_structured_transitions(kind):
    a = structured(kind, 4)
    states, final = matrix_scan(a, backend="triton")
    expected, expected_final = matrix_scan(a.dense(), backend="reference")
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(final, expected_final)


@interpreted
def test_the_rescaled_kernel_keeps_long_products_finite():
    a, _, _ = inputs(30, leading=(), size=4, scale=1e30)
    values, expected = (
        matrix_scan(a.float(), rescale=True, backend=name)[1] for name in ("triton", "reference")
    )
    assert values.log2_scale == expected.log2_scale > 2000
    torch.testing.assert_close(values.values, expected.values)


@pytest.mark.parametrize("size", [3, 9])
@pytest.mark.parametrize("with_b", [False, True])
def test_kernels_in_chunks_are_the_loop(kernel_device, size, with_b, monkeypatch):
    monkeypatch.setattr("statetrack.scans.matrix.launch.SHORTEST_CHUNK", 5)
    generator = torch.Generator().manual_seed(size)
    raw = torch.randn(1, 43, size, size, dtype=torch.float64, generator=generator)
    tensors = {"a": torch.linalg.qr(raw)[0].contiguous()}
    tensors["initial"] = torch.randn(1, 2, size, dtype=torch.float64, generator=generator)
    if with_b:
        tensors["b"] = torch.randn(1, 43, 2, size, dtype=torch.float64, generator=generator)
    results = []
    for backend in ("reference", "triton"):
        leaves = {name: one.to(kernel_device).requires_grad_() for name, one in tensors.items()}
        states, final = matrix_scan(**leaves, backend=backend)
        cotangents = (states.detach().sin(), final.detach().cos())
        gradients = torch.autograd.grad((states, final), list(leaves.values()), cotangents)
        results.append((states, final, *gradients))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
