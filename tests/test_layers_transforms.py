"""The fused layers mapped, compiled, captured, and in packs of models."""

import pytest
import torch
from torch import Tensor

from automata.errors import InputError
from statetrack.layers import cross_entropy
from statetrack.models import build_model
from tests.layer_cases import (
    DEVICE,
    LAYERS,
    Draw,
    assert_agree,
    every_layer,
    is_differentiable,
    kernels,
    linear_inputs,
    mlp_inputs,
    with_gradients,
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter


@every_layer
def test_the_operators_are_registered_right(name):
    inputs = LAYERS[name][1](Draw(1))
    if name == "embedding":
        inputs = inputs[0].flatten(-2), inputs[1]
    if name == "scaled_sigmoid":
        inputs = inputs[0], inputs[1].expand(len(inputs[0]), 3).contiguous()
    leaves = [
        one.requires_grad_() if is_differentiable(one) and name != "scaled_sigmoid" else one
        for one in inputs
    ]
    operators = torch.ops.statetrack
    has_dtype = "norm" in name or name in ("bias_add", "embedding", "linear")
    dtype = (torch.float32,) if has_dtype else ()
    forward = getattr(operators, name).default
    outputs = forward(*leaves, *dtype)
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    first, *rest = [one.detach() for one in inputs]
    grads = [one.detach() for one in outputs]
    backward = {
        "rms_norm": lambda: (first, *grads, *rest),
        "add_rms_norm": lambda: (grads[0], *grads, rest[-1], torch.float32),
        "bias_gelu": lambda: (first, *grads, *rest),
        "bias_add": lambda: (*grads, *rest, torch.float32),
        "unit_norm": lambda: (first, *grads),
        "scaled_sigmoid": lambda: (first, *grads, *rest),
        "linear": lambda: (first, *grads, torch.float32),
        "mlp": lambda: (first, *grads, rest[1]),
        "cross_entropy": lambda: (first, *rest, *grads[1:], grads[0]),
        "embedding": lambda: (first, *grads, rest[0].shape[-2], torch.float32),
    }[name]()
    for operator, arguments in (
        (forward, (*leaves, *dtype)),
        (getattr(operators, f"{name}_backward").default, backward),
    ):
        results = torch.library.opcheck(operator, arguments)
        assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ["rms_norm", "add_rms_norm", "bias_gelu", "bias_add", "unit_norm"])
def test_the_operators_keep_the_order_in_memory_that_they_promise(name):
    draw = Draw(2)
    x, y = (draw.normal(2, 3, 4, 6).transpose(0, 1).requires_grad_() for _ in range(2))
    weight = draw.normal(2, 3, 1, 6).transpose(0, 1).requires_grad_()
    dtype = () if name == "bias_gelu" else (torch.float32,)
    inputs = {"add_rms_norm": (x, y, weight), "unit_norm": (x,)}.get(name, (x, weight))
    forward = getattr(torch.ops.statetrack, name).default
    assert set(torch.library.opcheck(forward, (*inputs, *dtype)).values()) == {"SUCCESS"}
    grads = [one.detach() for one in inputs]
    first, last = grads[0], grads[-1]
    arguments = {
        "add_rms_norm": (first, *grads[:2], last, torch.float32),
        "unit_norm": (first, first),
        "bias_add": (first, last, torch.float32),
    }.get(name, (first, first, last))
    backward = getattr(torch.ops.statetrack, f"{name}_backward").default
    assert set(torch.library.opcheck(backward, arguments).values()) == {"SUCCESS"}


def pack(name: str, seed: int = 5, dtype: torch.dtype = torch.float32) -> tuple:
    """Inputs of three runs, each with weights of its own."""
    draw = Draw(seed, dtype)
    x, tokens = draw.normal(3, 2, 2, 3, 6), draw.letters(6, 3, 2, 2)
    if name == "cross_entropy":
        return x[:, :, :, 0], tokens, draw.letters(2, 3, 2, 2) > 0
    if name == "embedding":
        return tokens, draw.normal(3, 6, 7)
    if name == "unit_norm":
        return (x,)
    if name == "scaled_sigmoid":
        return x, draw.normal(3, 3, wide=True)
    if name == "linear":
        return linear_inputs(draw, x, 5, (3,))
    if name == "mlp":
        return mlp_inputs(draw, x, 5, (3,))
    scale = draw.normal(3, 1, 2, 1, 6, wide=True)
    return (x.float(), x.flip(0), scale) if name == "add_rms_norm" else (x, scale)


def whole(name: str) -> tuple:
    """The inputs of `pack` as one call takes them."""
    x, *rest = pack(name)
    return (x, rest[0][0]) if name == "scaled_sigmoid" else (x, *rest)


@every_layer
def test_mapped_equals_a_loop_with_gradients_outside(name):
    inputs = pack(name)
    mapped = with_gradients(torch.func.vmap(kernels(name)), inputs)
    alone = [with_gradients(kernels(name), run, seed=0) for run in zip(*inputs, strict=True)]
    outputs = len(alone[0]) - sum(map(is_differentiable, inputs)) + (name == "scaled_sigmoid")
    for number in range(outputs):
        stacked = torch.stack([one[number] for one in alone])
        torch.testing.assert_close(mapped[number], stacked, rtol=1e-6, atol=1e-6)
    twin = with_gradients(
        torch.func.vmap(lambda *given: LAYERS[name][0](*given, backend="reference")), inputs
    )
    assert_agree(mapped, twin, name, rtol=1e-5, atol=1e-5)


@every_layer
def test_what_is_not_mapped_is_shared(name):
    inputs = pack(name)
    if len(inputs) == 1:
        pytest.skip("nothing to share")
    for shared in range(len(inputs)):
        given = [one[0] if place == shared else one for place, one in enumerate(inputs)]
        axes = tuple(None if place == shared else 0 for place in range(len(inputs)))
        found = with_gradients(torch.func.vmap(kernels(name), axes), given)
        twin = with_gradients(
            torch.func.vmap(lambda *one: LAYERS[name][0](*one, backend="reference"), axes), given
        )
        assert_agree(found, twin, f"argument {shared}", rtol=1e-5, atol=1e-5)


@every_layer
def test_mapped_over_another_axis_and_twice(name):
    inputs = pack(name)
    once = torch.func.vmap(kernels(name))(*inputs)
    turned = [one.movedim(0, 1) for one in inputs]
    again = torch.func.vmap(kernels(name), in_dims=1)(*turned)
    twice = torch.func.vmap(torch.func.vmap(kernels(name)))(*(one[None] for one in inputs))
    for one, other, nested in zip(*map(torch.utils._pytree.tree_leaves, (once, again, twice)),
                                  strict=True):  # fmt: skip
        assert torch.equal(one, other)
        assert torch.equal(one, nested[0])


@every_layer
def test_compiled_equals_eager_under_autocast(name):
    inputs = whole(name)
    torch.compiler.reset()

    def run(*given):
        with torch.autocast(DEVICE.type, torch.bfloat16):
            return kernels(name)(*given)

    eager = run(*inputs)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")(*inputs)
    for one, other in zip(*map(torch.utils._pytree.tree_leaves, (eager, compiled)), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@every_layer
def test_strides_and_repeats_give_the_same_bits(name):
    inputs = whole(name)
    first = with_gradients(kernels(name), inputs)
    strided = [torch.stack([one, one], -1)[..., 0] for one in inputs]
    for again in (inputs, strided):
        found = with_gradients(kernels(name), again)
        assert all(torch.equal(one, other) for one, other in zip(first, found, strict=True))


@every_layer
def test_second_derivatives_are_refused(name):
    inputs = [one.requires_grad_() if is_differentiable(one) else one for one in whole(name)]
    leaves = [one for one in inputs if is_differentiable(one)]
    outputs = torch.utils._pytree.tree_leaves(kernels(name)(*inputs))
    loss = sum(one.square().sum() for one in outputs)
    first = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
    with pytest.raises(InputError, match="use backend='reference'"):
        torch.autograd.grad(sum(one.square().sum() for one in first if one is not None), leaves)


def test_a_pack_of_models_equals_the_models_alone():
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(build_model("diagonal", 3, 4, width=8).to(DEVICE))
    parameters, buffers = torch.func.stack_module_state(models)
    tokens = Draw(0).letters(3, 2, 5)
    targets, mask = Draw(1).letters(4, 2, 5), torch.ones_like(tokens, dtype=torch.bool)

    def loss(parameters, buffers):
        logits, _ = torch.func.functional_call(models[0], (parameters, buffers), (tokens,))
        return cross_entropy(logits, targets, mask)

    losses = torch.func.vmap(loss)(parameters, buffers)
    together = torch.autograd.grad(losses.sum(), list(parameters.values()))
    for place, model in enumerate(models):
        alone = cross_entropy(model(tokens)[0], targets, mask)
        torch.testing.assert_close(losses[place], alone)
        for stacked, one in zip(
            together, torch.autograd.grad(alone, list(model.parameters())), strict=True
        ):
            torch.testing.assert_close(stacked[place], one, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("model_name", ["diagonal", "householder"])
def test_a_captured_step_of_a_pack_under_autocast_is_the_eager_one(model_name):
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(build_model(model_name, 5, 5, width=64).to(DEVICE))
    parameters, buffers = torch.func.stack_module_state(models)
    tokens = Draw(0).letters(5, 3, 8, 32)
    targets, mask = Draw(1).letters(5, 3, 8, 32), Draw(2).letters(2, 3, 8, 32) > 0

    def loss(parameters, buffers, tokens, targets, mask):
        with torch.autocast("cuda", torch.bfloat16):
            logits, _ = torch.func.functional_call(models[0], (parameters, buffers), (tokens,))
        return cross_entropy(logits, targets, mask)

    def step():
        losses = torch.func.vmap(loss)(parameters, buffers, tokens, targets, mask)
        return losses, *torch.autograd.grad(losses.sum(), list(parameters.values()))

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            eager = [one.detach().clone() for one in step()]
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    replays = []
    for _ in range(3):
        graph.replay()
        torch.cuda.synchronize()
        replays.append([one.detach().clone() for one in captured])
    for again in replays:
        assert all(torch.equal(one, other) for one, other in zip(replays[0], again, strict=True))
    # Matrix products may be cut up differently inside of a graph.
    for one, other in zip(eager, replays[0], strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2, atol=1e-3)
    for place, model in enumerate(models):
        alone = loss(dict(model.named_parameters()), {}, tokens[place], targets[place], mask[place])
        torch.testing.assert_close(captured[0][place], alone, rtol=1e-2, atol=1e-2)
