"""The outer-product scan against its closed form, on any device."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automata.errors import InputError
from statetrack.scans import diagonal_scan, outer_product_scan
from statetrack.scans.kernels import why_unavailable
from statetrack.scans.outer_product import tiles
from tests.scan_source import Source

CPU = torch.device("cpu")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def drawn(seed: int, length: int, keys: int, values: int, decay: str, leading=(2,)) -> dict:
    source = Source(seed, CPU, torch.float64, leading=leading, length=length)
    inputs = {
        "q": source.normal(length, keys),
        "k": source.normal(length, keys),
        "v": source.normal(length, values),
        "initial": source.normal(keys, values),
    }
    if decay != "none":
        factors = source.uniform(*((length,) if decay == "head" else (length, keys)))
        inputs["decay"] = torch.where(factors.abs() < 0.1, 0.0, factors)
    return inputs


def closed_form(q: Tensor, k: Tensor, v: Tensor, initial: Tensor, decay: Tensor | None = None):
    """Every pair of tokens on its own: ``o_i = sum_j (sum_c q_ic k_jc a_j+1,c .. a_ic) v_j``."""
    length = q.shape[-2]
    factors = torch.ones_like(q)
    if decay is not None:
        factors = (decay if decay.dim() == q.dim() else decay.unsqueeze(-1)) * factors
    outputs = []
    for i in range(length):
        before = factors[..., : i + 1, :].prod(-2)
        total = ((q[..., i, :] * before).unsqueeze(-2) @ initial).squeeze(-2)
        for j in range(i + 1):
            between = factors[..., j + 1 : i + 1, :].prod(-2)
            weight = (q[..., i, :] * k[..., j, :] * between).sum(-1, keepdim=True)
            total = total + weight * v[..., j, :]
        outputs.append(total)
    return torch.stack(outputs, dim=-2)


shapes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "length": st.integers(1, 9),
        "keys": st.integers(1, 5),
        "values": st.integers(1, 5),
        "decay": st.sampled_from(["none", "head", "channel"]),
    }
)


@given(shapes)
@pytest.mark.parametrize("backend", ["reference", "parallel"])
def test_outputs_are_the_closed_form(backend: str, shape: dict):
    inputs = drawn(**shape)
    o, _ = outer_product_scan(**inputs, backend=backend)
    torch.testing.assert_close(o, closed_form(**inputs))


@pytest.mark.parametrize("decay", ["none", "head", "channel"])
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 127, 130])
def test_parallel_equals_the_loop_with_all_gradients(decay: str, length: int):
    inputs = drawn(length, length, 5, 3, decay, leading=(2, 3))
    leaves = {name: one.requires_grad_() for name, one in inputs.items()}
    found = []
    for backend in ("reference", "parallel"):
        o, final = outer_product_scan(**leaves, backend=backend)
        loss = o.sin().sum() + final.cos().sum()
        found.append([o, final, *torch.autograd.grad(loss, list(leaves.values()))])
    for truth, value in zip(*found, strict=True):
        torch.testing.assert_close(value, truth)


@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_gradcheck_in_float64(decay: str):
    inputs = drawn(1, 5, 2, 3, decay)
    leaves = [one.requires_grad_() for one in inputs.values()]

    def run(*tensors: Tensor):
        return outer_product_scan(**dict(zip(inputs, tensors, strict=True)))

    assert torch.autograd.gradcheck(run, leaves)


@given(shapes, st.integers(0, 9))
def test_two_halves_are_the_whole(shape: dict, place: int):
    inputs = drawn(**shape)
    whole, final = outer_product_scan(**inputs)
    times = {name: inputs[name] for name in inputs if name != "initial"}
    axis = {name: -1 if one.dim() < inputs["q"].dim() else -2 for name, one in times.items()}
    parts, state = [], inputs["initial"]
    for start, stop in [(0, min(place, shape["length"])), (min(place, shape["length"]), None)]:
        piece = {}
        for name, one in times.items():
            end = shape["length"] if stop is None else stop
            piece[name] = one.narrow(axis[name], start, end - start)
        o, state = outer_product_scan(**piece, initial=state)
        parts.append(o)
    torch.testing.assert_close(torch.cat(parts, dim=-2), whole)
    torch.testing.assert_close(state, final)


def test_per_head_is_per_channel_with_equal_channels():
    inputs = drawn(3, 70, 4, 4, "head")
    per_head = outer_product_scan(**inputs)
    inputs["decay"] = inputs["decay"].unsqueeze(-1).expand_as(inputs["q"])
    for one, other in zip(per_head, outer_product_scan(**inputs), strict=True):
        torch.testing.assert_close(one, other)


def test_one_key_is_a_diagonal_scan():
    inputs = drawn(4, 40, 1, 1, "channel")
    o, final = outer_product_scan(**inputs)
    states, last = diagonal_scan(
        inputs["decay"], inputs["k"] * inputs["v"], inputs["initial"].squeeze(-1)
    )
    torch.testing.assert_close(o, inputs["q"] * states)
    torch.testing.assert_close(final.squeeze(-1), last)


def test_zero_decay_forgets_exactly():
    inputs = drawn(5, 12, 3, 2, "head")
    inputs["decay"] = inputs["decay"].index_fill(-1, torch.tensor([6]), 0.0)
    after = {name: one[:, 6:] for name, one in inputs.items() if name != "initial"}
    o, _ = outer_product_scan(**inputs)
    fresh, _ = outer_product_scan(**after)
    torch.testing.assert_close(o[:, 6:], fresh, rtol=0, atol=1e-15)


def test_leading_axes_broadcast_and_types_are_kept():
    q = torch.randn(2, 1, 6, 3, dtype=torch.bfloat16)
    k = torch.randn(1, 4, 6, 3, dtype=torch.bfloat16)
    v = torch.randn(6, 5, dtype=torch.bfloat16)
    o, final = outer_product_scan(q, k, v, decay=torch.rand(1, 4, 6))
    assert o.shape == (2, 4, 6, 5) and o.dtype == torch.bfloat16
    assert final.shape == (2, 4, 3, 5) and final.dtype == torch.float32


def test_no_tokens_return_the_initial_state():
    initial = torch.randn(2, 3, 4)
    empty = torch.zeros(2, 0, 3)
    for backend in ("reference", "parallel"):
        o, final = outer_product_scan(
            empty, empty, torch.zeros(2, 0, 4), initial=initial, backend=backend
        )
        assert o.shape == (2, 0, 4)
        assert torch.equal(final, initial)


@pytest.mark.parametrize("name", ["q", "k", "v", "decay"])
def test_a_value_that_is_not_finite_reaches_no_earlier_output(name: str):
    inputs = drawn(6, 70, 3, 4, "channel")
    inputs[name][0, 40, 1] = torch.inf
    truth, _ = outer_product_scan(**inputs, backend="reference")
    found, _ = outer_product_scan(**inputs, backend="parallel")
    assert torch.equal(found.isfinite(), truth.isfinite())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": torch.zeros(2, 5, 4)}, "must end in"),
        ({"v": torch.zeros(2, 6, 3)}, "must end in"),
        ({"decay": torch.zeros(5)}, "expected .*per channel.* or .*per head"),
        ({"decay": torch.zeros(2, 6)}, "expected .*per channel.* or .*per head"),
        ({"decay": torch.zeros(2, 5, 1)}, "expected .*per channel.* or .*per head"),
        ({"decay": torch.zeros(1, 2, 5, 3)}, "expected .*per channel.* or .*per head"),
        ({"initial": torch.zeros(4, 3)}, r"expected \[..., K, V\]"),
        ({"q": torch.zeros(2, 5, 3, dtype=torch.long)}, r"q is torch.int64.*use q.float"),
        (
            {"q": torch.zeros(2, 5, 3, dtype=torch.complex64)},
            "q is torch.complex64, expected one of",
        ),
        ({"k": torch.zeros(3, 5, 3)}, "do not broadcast"),
        ({"backend": "trtion"}, "trtion"),
        ({"precision": "tf32"}, "precision"),
    ],
)
def test_bad_input_is_named(change: dict, message: str):
    inputs = {"q": torch.zeros(2, 5, 3), "k": torch.zeros(2, 5, 3), "v": torch.zeros(2, 5, 4)}
    with pytest.raises(InputError, match=message):
        outer_product_scan(
            **(inputs | change), **({} if "backend" in change else {"backend": "parallel"})
        )


def test_many_keys_name_the_cure():
    q = torch.zeros(1, 129, device=DEVICE)
    with pytest.raises(InputError, match=r"K = 129.*128.*backend='parallel'"):
        outer_product_scan(q, q, q[:, :2], backend="triton")


@pytest.mark.filterwarnings("ignore:(invalid|overflow).* encountered:RuntimeWarning")
@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_gradients_of_the_kernel_contain_a_value_that_is_not_finite(decay: str):
    if why_unavailable(DEVICE):
        pytest.skip(f"kernels: {why_unavailable(DEVICE)}")
    for seed in range(6 if DEVICE.type == "cuda" else 3):
        source = Source(seed, DEVICE, leading=(2,), length=18)
        inputs = {name: one.to(DEVICE) for name, one in drawn(seed, 18, 2, 3, decay).items()}
        weights = [torch.randn(2, 18, 3, device=DEVICE), torch.randn(2, 2, 3, device=DEVICE)]
        name = source.pick([*inputs, "cotangent"])
        spoiled = weights[0] if name == "cotangent" else inputs[name]
        spoiled.view(-1)[int(source.choice.integers(spoiled.numel()))] = torch.nan
        found = []
        for backend, dtype in [("reference", torch.float64), ("triton", torch.float32)]:
            leaves = [one.to(dtype).requires_grad_() for one in inputs.values()]
            outputs = outer_product_scan(**dict(zip(inputs, leaves, strict=True)), backend=backend)
            cotangents = [one.to(dtype) for one in weights]
            found.append(torch.autograd.grad(outputs, leaves, cotangents))
        for key, truth, value in zip(inputs, *found, strict=True):
            message = f"seed {seed}: {name} spoiled, gradient of {key}"
            assert torch.equal(value.isfinite(), truth.isfinite()), message


@pytest.mark.parametrize("decay", ["head", "channel"])
def test_products_of_decays_that_underflow_keep_their_accuracy(decay: str):
    if why_unavailable(DEVICE):
        pytest.skip(f"kernels: {why_unavailable(DEVICE)}")
    inputs = {name: one.to(DEVICE) for name, one in drawn(7, 21, 3, 2, decay).items()}
    inputs["decay"] = torch.where(inputs["decay"] > 0.5, inputs["decay"], inputs["decay"] * 1e-9)
    found = []
    for backend, dtype in [("reference", torch.float64), ("triton", torch.float32)]:
        leaves = {name: one.to(dtype).requires_grad_() for name, one in inputs.items()}
        o, final = outer_product_scan(**leaves, backend=backend)
        loss = o.double().sin().sum() + final.double().cos().sum()
        found.append([o, final, *torch.autograd.grad(loss, list(leaves.values()))])
    for truth, value in zip(*found, strict=True):
        assert (value - truth).double().norm() <= 1e-6 * truth.double().norm()


@pytest.mark.parametrize("decay", ["none", "head", "channel"])
@pytest.mark.parametrize("length", [1, 16, 37])
@pytest.mark.parametrize("separate_values", [False, True])
def test_gradients_of_the_kernel_where_it_divides_by_decays(
    decay: str, length: int, separate_values: bool, monkeypatch
):
    if why_unavailable(DEVICE):
        pytest.skip(f"kernels: {why_unavailable(DEVICE)}")
    monkeypatch.setattr(tiles.Tiles, "separate_values", separate_values)
    inputs = {n: one.to(DEVICE) for n, one in drawn(length, length, 3, 70, decay).items()}
    if decay != "none":
        inputs["decay"] = (0.5 + inputs["decay"].abs() / 2).copysign(inputs["decay"])
    found = []
    for backend, dtype in [("reference", torch.float64), ("triton", torch.float32)]:
        leaves = {name: one.to(dtype).requires_grad_() for name, one in inputs.items()}
        o, final = outer_product_scan(**leaves, backend=backend)
        loss = o.double().sin().sum() + final.double().cos().sum()
        found.append(torch.autograd.grad(loss, list(leaves.values())))
    for truth, value in zip(*found, strict=True):
        assert (value - truth).double().norm() <= 4e-6 * truth.double().norm()


def ones_with_decay(length: int, keys: int, values: int, decay: str) -> dict[str, Tensor]:
    """Inputs of one sequence, all of them one."""
    shapes = {"q": (length, keys), "k": (length, keys), "v": (length, values)}
    if decay != "none":
        shapes["decay"] = (length,) if decay == "head" else (length, keys)
    return {name: torch.ones(1, *shape, device=DEVICE) for name, shape in shapes.items()}


@pytest.mark.filterwarnings("ignore:(invalid|overflow).* encountered:RuntimeWarning")
@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_a_state_that_overflows_shows_in_outputs_as_in_the_loop(decay: str):
    if why_unavailable(DEVICE):
        pytest.skip(f"kernels: {why_unavailable(DEVICE)}")
    # Products of queries and keys leave out the channel that overflows; the loop reads it.
    inputs = ones_with_decay(133, 3, 2, decay)
    inputs["q"][..., 1] = 0.0
    inputs["k"][:, 70, 1] = 1e25
    inputs["v"][:, 70, 0] = 1e20
    truth, final = outer_product_scan(**inputs, backend="reference")
    found, last = outer_product_scan(**inputs, backend="triton")
    assert truth.isfinite().all(-1).sum() == 70
    assert torch.equal(found.isfinite(), truth.isfinite())
    assert torch.equal(last.isfinite(), final.isfinite())


@pytest.mark.parametrize("decay", ["none", "head", "channel"])
@pytest.mark.parametrize("zeros", [False, True])
def test_results_are_the_same_bits_whether_or_not_states_are_kept(decay: str, zeros: bool):
    if why_unavailable(DEVICE):
        pytest.skip(f"kernels: {why_unavailable(DEVICE)}")
    inputs = {
        name: one.to(DEVICE, torch.float32) for name, one in drawn(8, 70, 3, 4, decay).items()
    }
    if decay != "none" and not zeros:
        inputs["decay"] = inputs["decay"].abs() / 2 + 0.5
    alone = outer_product_scan(**inputs, backend="triton")
    leaves = {name: one.requires_grad_() for name, one in inputs.items()}
    for kept, other in zip(outer_product_scan(**leaves, backend="triton"), alone, strict=True):
        assert kept.requires_grad and not other.requires_grad
        assert torch.equal(kept, other)


@pytest.mark.parametrize("decay", ["none", "channel"])
def test_rows_that_start_at_wide_loads_with_values_that_do_not(decay: str):
    if why_unavailable(DEVICE):
        pytest.skip(f"kernels: {why_unavailable(DEVICE)}")
    inputs = {n: one.to(DEVICE, torch.float32) for n, one in drawn(9, 37, 8, 24, decay).items()}
    inputs["v"], inputs["initial"] = inputs["v"][..., :18], inputs["initial"][..., :18]
    truth = outer_product_scan(
        **{name: one.double() for name, one in inputs.items()}, backend="reference"
    )
    for value, true in zip(outer_product_scan(**inputs, backend="triton"), truth, strict=True):
        assert (value - true).norm() <= 1e-6 * true.norm()


def test_one_compiled_graph_serves_every_length():
    if why_unavailable(DEVICE):
        pytest.skip(f"kernels: {why_unavailable(DEVICE)}")
    graphs = []

    def count(graph, examples):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    run = torch.compile(outer_product_scan, fullgraph=True, dynamic=True, backend=count)
    for length in (4, 5, 7, 19):
        q, k, v, decay = (torch.rand(2, length, size, device=DEVICE) for size in (3, 3, 2, 3))
        run(q, k, v, decay, backend="triton")
    assert len(graphs) == 1
