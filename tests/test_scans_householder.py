"""The Householder scan against its loop, dense matrices, finite differences, exact reflections."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from automata.errors import InputError
from statetrack.scans import householder_scan, matrix_scan
from statetrack.scans.householder import tiles

LENGTHS = (0, 1, 2, 15, 31, 32, 33, 64, 65, 101)


def inputs(length, factors=2, leading=(2,), keys=5, values=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*leading, *shape, dtype=torch.float64, generator=generator).to(dtype)

    return {
        "q": draw(length, keys),
        "k": normalize(draw(length, factors, keys), dim=-1),
        "v": draw(length, factors, values),
        "beta": torch.sigmoid(2 * draw(length, factors)) * 2,
        "initial": draw(keys, values),
    }


def decays(kind, length, leading=(2,), keys=5, seed=1):
    if kind == "none":
        return None
    generator = torch.Generator().manual_seed(seed)
    shape = (*leading, length, keys) if kind == "channel" else (*leading, length)
    decay = 2 * torch.rand(*shape, dtype=torch.float64, generator=generator) - 1
    zero = torch.rand(*shape, generator=generator) < 0.05
    return torch.where(zero, 0.0, decay)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("factors", [1, 2, 3])
@pytest.mark.parametrize("kind", ["none", "token", "channel"])
def test_parallel_is_the_loop(length, factors, kind):
    tensors = inputs(length, factors)
    tensors["write"] = tensors["beta"].flip(-1)
    decay = decays(kind, length)
    expected = householder_scan(**tensors, decay=decay, backend="reference")
    found = householder_scan(**tensors, decay=decay, backend="parallel")
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("leading", [(), (2, 3), (0, 2)])
def test_leading_axes(leading):
    tensors = inputs(40, leading=leading)
    expected = householder_scan(**tensors, backend="reference")
    found = householder_scan(**tensors)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["none", "token", "channel"])
@pytest.mark.parametrize("backend", ["reference", "parallel"])
def test_gradients_are_finite_differences(kind, backend):
    tensors = inputs(3, leading=(), keys=3, values=2)
    decay = decays("token" if kind == "none" else kind, 3, leading=(), keys=3)
    names = [*tensors, "write", "decay"] if kind != "none" else [*tensors, "write"]
    tensors |= {"write": tensors["beta"].flip(-1), "decay": decay}
    leaves = [tensors[name].requires_grad_() for name in names]

    def run(*given):
        return householder_scan(**dict(zip(names, given, strict=True)), backend=backend)

    assert torch.autograd.gradcheck(run, leaves)


def test_parallel_gradients_are_those_of_the_loop_over_several_chunks():
    results = []
    for backend in ("reference", "parallel"):
        tensors = {n: t.requires_grad_() for n, t in inputs(100, factors=3).items()}
        outputs, final = householder_scan(**tensors, backend=backend)
        (outputs.sin().sum() + final.square().sum()).backward()
        results.append([t.grad for t in tensors.values()])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_it_is_the_matrix_scan_of_the_transposed_products():
    tensors = inputs(20, factors=3, leading=())
    identity = torch.eye(5, dtype=torch.float64)
    a, b = [], []
    for t in range(20):
        matrix, added = identity, torch.zeros(5, 4, dtype=torch.float64)
        for r in range(3):
            key, beta = tensors["k"][t, r], tensors["beta"][t, r]
            factor = identity - beta * torch.outer(key, key)
            matrix = factor @ matrix
            added = factor @ added + beta * torch.outer(key, tensors["v"][t, r])
        a.append(matrix.T)
        b.append(added.T)
    states, _ = matrix_scan(torch.stack(a), torch.stack(b), tensors["initial"].T)
    outputs, _ = householder_scan(**tensors)
    torch.testing.assert_close(outputs, torch.einsum("tvk,tk->tv", states, tensors["q"]))


@given(st.integers(0, 70), st.integers(0, 70), st.integers(1, 3), st.integers(0, 2**31))
def test_two_halves_are_the_whole(left, right, factors, seed):
    tensors = inputs(left + right, factors, seed=seed)
    initial = tensors.pop("initial")
    whole, whole_final = householder_scan(**tensors, initial=initial)
    first, carried = householder_scan(
        **{n: t[:, :left] for n, t in tensors.items()}, initial=initial
    )
    second, final = householder_scan(
        **{n: t[:, left:] for n, t in tensors.items()}, initial=carried
    )
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(final, whole_final)


@pytest.mark.parametrize("length", [64, 1024, 8192])
def test_single_precision_error_of_reflections(length):
    tensors = inputs(length, factors=2, leading=(2,), keys=8, values=8)
    tensors["beta"] = torch.full_like(tensors["beta"], 2.0)
    tensors["v"] = torch.zeros_like(tensors["v"])
    single = {n: t.float() for n, t in tensors.items()}
    exact, _ = householder_scan(**{n: t.double() for n, t in single.items()}, backend="reference")
    found, _ = householder_scan(**single)
    error = (found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert error <= max(1e-6, 1e-7 * length**0.5)


def test_beta_0_1_2_and_zero_keys():
    tensors = inputs(6, factors=1, leading=())
    tensors["v"] = torch.zeros_like(tensors["v"])
    start = tensors["initial"]
    still, final = householder_scan(**(tensors | {"beta": torch.zeros(6, 1)}))
    assert torch.equal(final, start)
    _, final = householder_scan(**(tensors | {"k": torch.zeros_like(tensors["k"])}))
    assert torch.equal(final, start)
    projected = tensors | {"beta": torch.ones(6, 1)}
    _, final = householder_scan(**projected)
    torch.testing.assert_close(tensors["k"][-1, 0] @ final, torch.zeros(4, dtype=torch.float64))
    _, final = householder_scan(**(tensors | {"beta": torch.full((6, 1), 2.0)}))
    torch.testing.assert_close(final.norm(), start.norm())
    assert still.shape == (6, 4)


def test_batch_rows_do_not_touch_each_other():
    tensors = inputs(70, leading=(3,))
    expected, _ = householder_scan(**tensors)
    tensors["v"][1, 10] = torch.nan
    found, _ = householder_scan(**tensors)
    assert torch.equal(found[[0, 2]], expected[[0, 2]])
    assert found[1, 10:].isnan().any(dim=-1).all()


def test_vmap_over_runs_is_run_by_run():
    tensors = inputs(9, leading=(5, 2))
    names = list(tensors)

    def run(*given):
        return householder_scan(**dict(zip(names, given, strict=True)))[0]

    together = torch.func.vmap(run)(*tensors.values())
    alone = torch.stack([run(*given) for given in zip(*tensors.values(), strict=True)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ("length", "factors", "kind", "keys", "values"),
    [(19, 1, "channel", 3, 2), (2, 5, "token", 3, 2), (3, 1, "none", 20, 18)],
)
def test_kernel_is_the_loop_over_many_tokens_factors_and_blocks(
    kernel_device, length, factors, kind, keys, values
):
    tensors = inputs(length, factors, leading=(1,), keys=keys, values=values)
    tensors["write"] = tensors["beta"].flip(-1)
    if kind != "none":
        tensors["decay"] = decays(kind, length, leading=(1,), keys=keys)
    results = []
    for backend in ("reference", "triton"):
        leaves = {n: t.to(kernel_device).requires_grad_() for n, t in tensors.items()}
        outputs, final = householder_scan(**leaves, backend=backend)
        (outputs.sin().sum() + final.square().sum()).backward()
        results.append([outputs, final, *(t.grad for t in leaves.values())])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("factors", "kind"), [(1, "none"), (3, "token"), (5, "channel")])
def test_few_and_many_small_states_are_the_float64_loop(kernel_device, monkeypatch, factors, kind):
    tensors = inputs(11, factors, leading=(2,), keys=9, values=16)
    if kind != "none":
        tensors["decay"] = decays(kind, 11, leading=(2,), keys=9)
    results = []
    few = tiles.MANY
    for backend, many in (("reference", few), ("triton", few), ("triton", 0)):
        monkeypatch.setattr(tiles, "MANY", many)
        dtype = torch.float64 if backend == "reference" else torch.float32
        leaves = {
            n: t.to(kernel_device, dtype).detach().requires_grad_() for n, t in tensors.items()
        }
        outputs, final = householder_scan(**leaves, backend=backend)
        (outputs.sin().sum() + final.square().sum()).backward()
        results.append([outputs, final, *(t.grad for t in leaves.values())])
    for truth, *found in zip(*results, strict=True):
        scale = float(truth.detach().abs().max())
        for one in found:
            torch.testing.assert_close(one.double(), truth, rtol=0, atol=4e-6 * scale)


def test_kernel_refuses_what_it_cannot_do(kernel_device):
    tensors = {n: t.to(kernel_device) for n, t in inputs(2, keys=129).items()}
    with pytest.raises(InputError, match="K = 129 and V = 4, the kernel takes 1 to 128"):
        householder_scan(**tensors, backend="triton")
    tensors = {n: t.to(kernel_device, torch.complex128) * (1 + 0.5j) for n, t in inputs(9).items()}
    with pytest.raises(InputError, match="real inputs only; use backend='parallel'"):
        householder_scan(**tensors, backend="triton")
    expected = householder_scan(**tensors, backend="reference")
    for one, other in zip(householder_scan(**tensors), expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("q", (2, 4, 3)), ("v", (2, 4, 1, 4)), ("beta", (2, 4, 3)), ("initial", (2, 4, 4))],
)
def test_bad_shapes_are_named(name, shape):
    tensors = inputs(4) | {name: torch.zeros(*shape)}
    with pytest.raises(InputError, match=f"householder_scan: {name} has shape"):
        householder_scan(**tensors)
    with pytest.raises(InputError, match="decay has shape"):
        householder_scan(**inputs(4), decay=torch.zeros(2, 7))


@pytest.mark.parametrize("name", ["q", "k", "v", "beta"])
def test_whole_numbers_are_refused(name):
    tensors = inputs(4)
    tensors[name] = tensors[name].long()
    with pytest.raises(InputError, match=f"householder_scan: {name} is torch.int64"):
        householder_scan(**tensors)
