"""The fused layers: the plain twins against torch, the kernels against the twins."""

import math
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from automata.errors import InputError
from statetrack.layers import (
    add_rms_norm,
    bias_add,
    bias_gelu,
    cross_entropy,
    embedding,
    rms_norm,
    scaled_sigmoid,
    unit_norm,
)
from statetrack.layers.rows import RowGroups
from statetrack.models import build_model

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
# The module, whose name in the package is the function's.
EMBEDDING = sys.modules["statetrack.layers.embedding"]

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter


class Draw:
    """Random inputs of one layer, sizes from a seed."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float32, device=DEVICE) -> None:
        self.source = torch.Generator().manual_seed(seed)
        self.dtype, self.device = dtype, device

    def whole(self, high: int) -> int:
        return int(torch.randint(high, (), generator=self.source))

    def size(self) -> int:
        return [1, 2, 3, 7, 16, 33, 64, 130][self.whole(8 if ON_GPU else 6)]

    def normal(self, *shape: int, wide: bool = False) -> Tensor:
        values = torch.randn(shape, generator=self.source)
        return values.to(self.device, torch.float32 if wide else self.dtype)

    def letters(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self.source).to(self.device)

    def weight_shape(self, *shape: int) -> tuple[int, ...]:
        """A shape that broadcasts: each leading axis stays or becomes one, some first ones go."""
        leading = [size if self.whole(2) else 1 for size in shape[:-1]]
        return (*leading[self.whole(len(leading) + 1) :], shape[-1])

    def rows(self) -> tuple[int, ...]:
        return [(5,), (2, 3), (17, 2), (2, 3, 2), (2, 2, 3, 2), (0, 2)][self.whole(6)]


def draw_norm(draw: Draw) -> tuple:
    shape = (*draw.rows(), draw.size())
    return draw.normal(*shape), 1 + draw.normal(*draw.weight_shape(*shape), wide=True)


def draw_sum(draw: Draw) -> tuple:
    x, scale = draw_norm(draw)
    y = draw.normal(*x.shape)
    return x.float() if x.dtype == torch.bfloat16 else x, y, scale


def draw_cross_entropy(draw: Draw) -> tuple:
    runs = [(), (3,), (2, 2)][draw.whole(3)]
    shape, classes = (*runs, 1 + draw.whole(3), draw.whole(9)), draw.size()
    logits = 3 * draw.normal(*shape, classes)
    return logits, draw.letters(classes, *shape), draw.letters(2, *shape) > 0


def draw_embedding(draw: Draw) -> tuple:
    runs = [(), (3,), (2, 2)][draw.whole(3)]
    letters = draw.size()
    tokens = draw.letters(letters, *runs, 1 + draw.whole(3), draw.whole(30))
    return tokens, draw.normal(*runs, letters, draw.size())


def draw_rows(draw: Draw) -> tuple:
    return (draw.normal(*draw.rows(), draw.size()),)


def draw_sigmoid(draw: Draw) -> tuple:
    return *draw_rows(draw), draw.normal(3, wide=True)


LAYERS = {
    "rms_norm": (rms_norm, draw_norm),
    "add_rms_norm": (add_rms_norm, draw_sum),
    "bias_gelu": (bias_gelu, draw_norm),
    "bias_add": (bias_add, draw_norm),
    "unit_norm": (unit_norm, draw_rows),
    "scaled_sigmoid": (scaled_sigmoid, draw_sigmoid),
    "cross_entropy": (cross_entropy, draw_cross_entropy),
    "embedding": (embedding, draw_embedding),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def is_differentiable(one: Tensor) -> bool:
    return one.is_floating_point()


def with_gradients(run, inputs, seed: int = 0) -> list[Tensor]:
    """Outputs, and the gradient of every input that has one, for fixed random cotangents."""
    leaves = [one.detach().requires_grad_() if is_differentiable(one) else one for one in inputs]
    outputs = run(*leaves)
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    source = torch.Generator().manual_seed(seed)
    weights = [
        torch.randn(one.shape, generator=source).to(one.device, one.dtype) for one in outputs
    ]
    wanted = [leaf for leaf in leaves if is_differentiable(leaf)]
    gradients = torch.autograd.grad(outputs, wanted, weights, allow_unused=True)
    return [one.detach() for one in (*outputs, *gradients) if one is not None]


def kernels(name: str):
    layer = LAYERS[name][0]
    return lambda *inputs: layer(*inputs, backend="triton")


def assert_agree(found: list[Tensor], truth: list[Tensor], message: str, **limits: float) -> None:
    for number, (one, other) in enumerate(zip(found, truth, strict=True)):
        assert one.shape == other.shape, message
        torch.testing.assert_close(
            one, other.to(one.dtype), msg=lambda text, n=number: f"{message}, {n}: {text}", **limits
        )


@pytest.fixture(params=["products", "sorted"])
def sums(request, monkeypatch) -> str:
    """Both ways in which the gradient of an embedding is summed."""
    limit = math.inf if request.param == "products" else -1.0
    monkeypatch.setattr(EMBEDDING, "MOST_OPERATIONS", limit)
    return request.param


def test_twins_are_what_torch_computes():
    draw = Draw(0, torch.float64, torch.device("cpu"))
    x, scale, y = draw.normal(3, 5, 7), draw.normal(7), draw.normal(3, 5, 7)
    normalised = with_gradients(rms_norm, (x, scale))
    assert_agree(
        normalised,
        with_gradients(lambda a, s: functional.rms_norm(a, (7,), s, 1e-6), (x, scale)),
        "",
    )
    assert_agree(
        with_gradients(add_rms_norm, (x, y, scale)),
        with_gradients(
            lambda a, b, s: (a + b, functional.rms_norm(a + b, (7,), s, 1e-6)), (x, y, scale)
        ),
        "",
    )
    assert_agree(
        with_gradients(bias_gelu, (x, scale)),
        with_gradients(lambda u, b: functional.gelu(u + b), (x, scale)),
        "",
    )
    assert_agree(
        with_gradients(bias_add, (x, scale)), with_gradients(lambda u, b: u + b, (x, scale)), ""
    )
    assert_agree(
        with_gradients(unit_norm, (x,)),
        with_gradients(lambda a: a / a.norm(dim=-1, keepdim=True), (x,)),
        "",
    )
    numbers = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    assert_agree(
        with_gradients(scaled_sigmoid, (x, numbers)),
        with_gradients(lambda a: torch.tanh(1.5 * a), (x,)),
        "",
    )
    tokens = draw.letters(7, 4, 6)
    assert_agree(
        with_gradients(embedding, (tokens, x[0].T.contiguous())),
        with_gradients(functional.embedding, (tokens, x[0].T.contiguous())),
        "",
    )
    mask = draw.letters(2, 3, 5) > 0

    def as_trained(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        losses = functional.cross_entropy(
            logits.flatten(0, -2), targets.flatten(), reduction="none"
        )
        return (losses * mask.flatten()).sum() / mask.sum()

    inputs = (x, draw.letters(7, 3, 5), mask)
    assert_agree(with_gradients(cross_entropy, inputs), with_gradients(as_trained, inputs), "")


@every_layer
def test_kernels_agree_with_the_twins_on_random_shapes(name, sums):
    layer, draw_inputs = LAYERS[name]
    if sums == "sorted" and name != "embedding":
        pytest.skip("summed in one way only")
    for seed in range(200 if ON_GPU else 6):
        draw = Draw(seed, torch.float64 if seed % 5 == 4 else torch.float32)
        inputs = draw_inputs(draw)
        wide = [one.double() if is_differentiable(one) else one for one in inputs]
        shapes = [tuple(one.shape) for one in inputs]
        assert_agree(
            with_gradients(kernels(name), inputs),
            with_gradients(lambda *given: layer(*given, backend="reference"), wide),
            f"seed {seed}, {shapes}",
            rtol=2e-5,
            atol=2e-5,
        )


@every_layer
def test_gradcheck_on_the_kernels_in_float64(name, sums):
    if sums == "sorted" and name != "embedding":
        pytest.skip("summed in one way only")
    draw = Draw(3, torch.float64)
    shape = (2, 3, 5)
    inputs = {
        "rms_norm": lambda: (draw.normal(*shape), draw.normal(2, 1, 5)),
        "add_rms_norm": lambda: (draw.normal(*shape), draw.normal(*shape), draw.normal(5)),
        "bias_gelu": lambda: (draw.normal(*shape), draw.normal(5)),
        "bias_add": lambda: (draw.normal(*shape), draw.normal(5)),
        "unit_norm": lambda: (draw.normal(*shape),),
        "scaled_sigmoid": lambda: (draw.normal(*shape), draw.normal(3)),
        "cross_entropy": lambda: (
            draw.normal(2, *shape), draw.letters(5, 2, 2, 3), draw.letters(2, 2, 2, 3) > 0
        ),
        "embedding": lambda: (draw.letters(3, 4), draw.normal(3, 5)),
    }[name]()  # fmt: skip
    leaves = [
        one.requires_grad_() if is_differentiable(one) and one.shape != (3,) else one
        for one in inputs
    ]
    assert torch.autograd.gradcheck(kernels(name), leaves, fast_mode=True, nondet_tol=0.0)


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
    dtype = (torch.float32,) if "norm" in name or name == "bias_add" else ()
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
        "cross_entropy": lambda: (first, *rest, *grads[1:], grads[0]),
        "embedding": lambda: (first, *grads, rest[0].shape[-2]),
    }[name]()
    for operator, arguments in (
        (forward, (*leaves, *dtype)),
        (getattr(operators, f"{name}_backward").default, backward),
    ):
        results = torch.library.opcheck(operator, arguments)
        assert set(results.values()) == {"SUCCESS"}


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


def test_types_of_outputs(kernel_device):
    x = torch.randn(2, 4, device=kernel_device)
    scale = torch.ones(4, device=kernel_device)
    for backend in ("reference", "triton"):
        with torch.autocast(kernel_device.type, torch.bfloat16):
            total, normalised = add_rms_norm(x, x.bfloat16(), scale, backend=backend)
            assert (total.dtype, normalised.dtype) == (torch.float32, torch.bfloat16)
            assert rms_norm(x, scale, backend=backend).dtype == torch.bfloat16
            assert rms_norm(x.double(), scale, backend=backend).dtype == torch.float64
            assert rms_norm(x, scale, dtype=torch.float32, backend=backend).dtype == torch.float32
            assert bias_gelu(x.bfloat16(), scale, backend=backend).dtype == torch.bfloat16
        assert rms_norm(x.bfloat16(), scale, backend=backend).dtype == torch.bfloat16
        x_leaf, y_leaf = x.requires_grad_(), x.detach().bfloat16().requires_grad_()
        outputs = add_rms_norm(x_leaf, y_leaf, scale, backend=backend)
        grads = torch.autograd.grad(sum(one.sum() for one in outputs), (x_leaf, y_leaf))
        assert [one.dtype for one in grads] == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("backend", ["reference", "triton"])
def test_a_run_without_supervision_has_no_loss_and_no_gradient(backend):
    logits = Draw(0).normal(2, 3, 4, 5).requires_grad_()
    with torch.no_grad():
        logits[1] = math.nan
    mask = torch.zeros(2, 3, 4, dtype=torch.bool, device=DEVICE)
    mask[0, 1, 2] = True
    targets = torch.full((2, 3, 4), -7, device=DEVICE)
    targets[0, 1, 2] = 4
    loss = cross_entropy(logits, targets, mask, backend=backend)
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    assert loss[0] > 0
    assert loss[1] == 0
    assert torch.equal(grad.ne(0).any(-1), mask)
    targets[0, 1, 2] = 5
    assert cross_entropy(logits, targets, mask, backend=backend)[0].isnan()


def test_large_and_infinite_logits():
    logits = torch.tensor([[[1e4, 0.0, -1e4], [-math.inf, 0.0, 0.0]]], device=DEVICE)
    targets = torch.tensor([[0, 1]], device=DEVICE)
    mask = torch.ones(1, 2, dtype=torch.bool, device=DEVICE)
    found = with_gradients(kernels("cross_entropy"), (logits, targets, mask))
    assert_agree(found, with_gradients(cross_entropy, (logits, targets, mask)), "")


def test_many_classes_and_wide_rows():
    draw = Draw(0)
    inputs = (draw.normal(1, 1, 3, 10_007), draw.letters(10_007, 1, 1, 3))
    inputs = (*inputs, torch.ones_like(inputs[1], dtype=torch.bool))
    assert_agree(
        with_gradients(kernels("cross_entropy"), inputs), with_gradients(cross_entropy, inputs), ""
    )
    wide = (draw.normal(2, 5003), draw.normal(5003))
    for name in ("rms_norm", "bias_gelu"):
        truth = with_gradients(LAYERS[name][0], wide)
        assert_agree(with_gradients(kernels(name), wide), truth, name, rtol=1e-5, atol=1e-5)


def test_tokens_that_are_no_letters_touch_nothing(sums):
    tokens = torch.tensor([0, -1, 1, 2, 10**12], device=DEVICE)
    weight = torch.ones(2, 3, device=DEVICE, requires_grad=True)
    rows = embedding(tokens, weight, backend="triton")
    assert rows.isnan().any(-1).tolist() == [False, True, False, True, True]
    (grad,) = torch.autograd.grad(rows, weight, torch.ones_like(rows))
    assert torch.equal(grad, torch.ones_like(weight))


def test_axes_are_merged_into_groups():
    def sizes(shape, weight):
        groups = RowGroups(shape, torch.zeros(weight))
        return groups.count, groups.outer, groups.inner_groups, groups.inner

    assert sizes((4, 5, 7), (7,)) == (1, 20, 1, 1)
    assert sizes((3, 4, 5, 7), (3, 1, 1, 7)) == (3, 20, 1, 1)
    assert sizes((3, 4, 2, 5, 7), (3, 1, 2, 1, 7)) == (6, 4, 2, 5)
    assert sizes((4, 5, 2, 7), (2, 7)) == (2, 20, 2, 1)
    assert sizes((4, 2, 5, 7), (2, 1, 7)) == (2, 4, 2, 5)
    assert sizes((2, 3, 2, 2, 2, 7), (3, 1, 2, 1, 7)) == (12, 2, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: rms_norm(x, torch.ones(3)), r"scale \(3,\) does not broadcast"),
        (lambda x: rms_norm(x, torch.ones(5, 1, 4)), "does not broadcast"),
        (lambda x: rms_norm(x.long(), torch.ones(4)), "x is torch.int64"),
        (lambda x: rms_norm(x, torch.ones(4), backend="trition"), "did you mean|triton"),
        (lambda x: add_rms_norm(x, x[:1], torch.ones(4)), "differ in shape"),
        (lambda x: bias_gelu(x, torch.ones(4, device="meta")), "different devices"),
        (lambda x: bias_add(x, torch.ones(3)), r"bias \(3,\) does not broadcast"),
        (lambda x: unit_norm(x.long()), "x is torch.int64"),
        (lambda x: scaled_sigmoid(x, torch.ones(2)), r"expected \[3\]"),
        (lambda x: cross_entropy(x, x.argmax(-1), x[..., 0] > 0), "expected .* and twice"),
        (lambda x: cross_entropy(x[None], x, x > 0), "expected int64"),
        (lambda x: embedding(x, x), "expected int64"),
        (lambda x: embedding(x.long(), torch.ones(3, 4, 1)), "must begin with its leading axes"),
    ],
)
def test_inputs_that_do_not_fit_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call(torch.ones(2, 4))


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
@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_precision_and_repeats_at_the_sizes_of_a_pack(name, dtype, sums):
    if sums == "sorted" and name != "embedding":
        pytest.skip("summed in one way only")
    draw = Draw(1, dtype)
    x, tokens = draw.normal(4, 64, 128, 128), draw.letters(120, 4, 64, 128)
    weight = draw.normal(4, 1, 1, 128, wide=True)
    inputs = {
        "rms_norm": lambda: (x, weight),
        "add_rms_norm": lambda: (x.float(), x.flip(0), weight),
        "bias_gelu": lambda: (x, weight),
        "bias_add": lambda: (x, weight),
        "unit_norm": lambda: (x,),
        "scaled_sigmoid": lambda: (x, torch.tensor([4.0, -1.0, 2.0], device=DEVICE)),
        "cross_entropy": lambda: (x, tokens, draw.letters(2, *tokens.shape) > 0),
        "embedding": lambda: (tokens, draw.normal(4, 120, 128)),
    }[name]()
    wide = [one.double() if is_differentiable(one) else one for one in inputs]
    found = with_gradients(kernels(name), inputs)
    exact = with_gradients(lambda *given: LAYERS[name][0](*given, backend="reference"), wide)
    for number, (one, other) in enumerate(zip(found, exact, strict=True)):
        error = float((one.double() - other).norm() / other.norm())
        # What the cotangents are rounded to is no error: they are drawn in the type of the output.
        assert error <= (2e-6 if dtype == torch.float32 else 6e-3), (number, error)
    for _ in range(10):
        again = with_gradients(kernels(name), inputs)
        assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


@pytest.mark.gpu
def test_float64_products_of_an_embedding_are_exact():
    draw = Draw(2, torch.float64)
    tokens, weight = draw.letters(50, 3, 1000), draw.normal(3, 50, 70)
    assert_agree(
        with_gradients(kernels("embedding"), (tokens, weight)),
        with_gradients(lambda *given: embedding(*given, backend="reference"), (tokens, weight)),
        "",
        rtol=1e-12,
        atol=1e-12,
    )


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
