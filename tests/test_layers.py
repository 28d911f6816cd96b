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
from tests.layer_cases import (
    DEVICE,
    LAYERS,
    ON_GPU,
    Draw,
    assert_agree,
    every_layer,
    is_differentiable,
    kernels,
    linear_inputs,
    mlp_inputs,
    with_gradients,
)

# The module, whose name in the package is the function's.
EMBEDDING = sys.modules["statetrack.layers.embedding"]

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter


@pytest.fixture(params=["products", "sorted"])
def sums(request, monkeypatch) -> str:
    """Both ways in which the gradient of an embedding is summed."""
    limit = math.inf if request.param == "products" else -1.0
    for name in ("MOST_LETTERS", "MOST_OPERATIONS"):
        monkeypatch.setattr(EMBEDDING, name, limit)
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
        "linear": lambda: linear_inputs(draw, draw.normal(2, *shape), 7, (2,)),
        "mlp": lambda: mlp_inputs(draw, draw.normal(2, *shape), 7, (2,)),
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


def test_rows_may_be_narrower_than_the_table_whose_gradient_they_sum(sums):
    draw = Draw(9)
    tokens, table = draw.letters(5, 3, 40), draw.normal(5, 16)
    found = {
        backend: with_gradients(
            lambda *given, backend=backend: embedding(
                *given, dtype=torch.bfloat16, backend=backend
            ),
            (tokens, table),
        )
        for backend in ("triton", "reference")
    }
    assert [one.dtype for one in found["triton"]] == [torch.bfloat16, torch.float32]
    limit = 0.0 if ON_GPU else 2.0**-7  # the interpreter does not round to the nearest
    assert_agree(found["triton"][:1], found["reference"][:1], "rows", rtol=limit, atol=0.0)
    if ON_GPU or sums == "sorted":
        assert_agree(found["triton"][1:], found["reference"][1:], "sums", rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_wide_table_is_summed_in_its_type(sums):
    draw = Draw(10, torch.float64)
    tokens, table = draw.letters(5, 3, 400), draw.normal(5, 16)
    found, true = (
        with_gradients(
            lambda *given, b=backend: embedding(*given, dtype=torch.float32, backend=b),
            (tokens, table),
        )
        for backend in ("triton", "reference")
    )
    assert_agree(found, true, sums, rtol=1e-13, atol=1e-13)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [16, 20, 32, 48])
def test_narrow_rows_on_tensor_cores(dtype, size, sums):
    draw = Draw(size, dtype)
    tokens, table = draw.letters(120, 3, 5000), draw.normal(3, 120, size)
    tokens = tokens.flatten(1)
    found = with_gradients(kernels("embedding"), (tokens, table))
    true = with_gradients(
        lambda *given: embedding(*given, backend="reference"), (tokens, table.double())
    )
    limit = 2e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
    assert_agree(found, true, sums, rtol=limit, atol=20 * limit)


def test_axes_are_merged_into_groups():
    def sizes(shape, weight):
        groups = RowGroups(torch.zeros(shape), torch.zeros(weight))
        return groups.count, groups.outer, groups.inner_groups, groups.inner

    assert sizes((4, 5, 7), (7,)) == (1, 20, 1, 1)
    assert sizes((3, 4, 5, 7), (3, 1, 1, 7)) == (3, 20, 1, 1)
    assert sizes((3, 4, 2, 5, 7), (3, 1, 2, 1, 7)) == (6, 4, 2, 5)
    assert sizes((4, 5, 2, 7), (2, 7)) == (2, 20, 2, 1)
    assert sizes((4, 2, 5, 7), (2, 1, 7)) == (2, 4, 2, 5)
    assert sizes((2, 3, 2, 2, 2, 7), (3, 1, 2, 1, 7)) == (12, 2, 2, 2)


def test_heads_that_are_views_are_read_and_written_where_they_lie():
    x = torch.zeros(3, 4, 5, 2, 7).transpose(2, 3)
    groups = RowGroups(x, torch.zeros(3, 1, 2, 1, 7))
    assert (groups.count, *groups.sizes) == (6, 20, 20, 2, 1)
    assert groups.laid(x).data_ptr() == x.data_ptr()
    assert groups.order.back(groups.laid(x)).stride() == x.stride()


def test_the_rows_of_a_weight_in_a_longer_buffer_are_not_copied():
    buffer = torch.zeros(3, 100)
    bias, scale = buffer[:, 3:10].view(3, 1, 1, 7), buffer[:, 20:34].view(3, 1, 2, 1, 7)
    one = RowGroups(torch.zeros(3, 4, 5, 7), bias)
    heads = RowGroups(torch.zeros(3, 4, 2, 5, 7), scale)
    assert one.weight.data_ptr() == bias.data_ptr() and one.weight_steps[0] == 100
    assert heads.weight.data_ptr() == scale.data_ptr() and heads.weight_steps == (100, 7)


@pytest.mark.parametrize("name", ["rms_norm", "add_rms_norm", "bias_gelu", "bias_add", "unit_norm"])
def test_the_order_in_memory_changes_nothing(name):
    draw = Draw(6, torch.float64)
    buffer = draw.normal(3, 40)
    weight = buffer[:, 3:15].view(3, 1, 2, 1, 6)
    x, y = (draw.normal(3, 4, 5, 2, 6).transpose(2, 3) for _ in range(2))
    inputs = {"add_rms_norm": (x, y, weight), "unit_norm": (x,)}.get(name, (x, weight))
    found = with_gradients(kernels(name), inputs)
    truth = with_gradients(kernels(name), [one.contiguous() for one in inputs])
    assert_agree(found, truth, name, rtol=1e-12, atol=1e-12)
    assert found[0].stride() == x.stride()


def test_a_sum_that_nobody_uses_costs_no_gradient():
    draw = Draw(7, torch.float64)
    x, y = draw.normal(4, 6).requires_grad_(), draw.normal(4, 6).requires_grad_()
    scale = draw.normal(6).requires_grad_()
    leaves = (x, y, scale)
    for pick in ((1,), (0,), (0, 1)):
        outputs = {
            backend: add_rms_norm(*leaves, backend=backend) for backend in ("triton", "reference")
        }
        grads = [
            torch.autograd.grad(
                sum(outputs[backend][place].square().sum() for place in pick),
                leaves,
                allow_unused=True,
                materialize_grads=True,
            )
            for backend in outputs
        ]
        assert_agree(*grads, "add_rms_norm", rtol=1e-12, atol=1e-12)


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
        "linear": lambda: linear_inputs(draw, x, 512, (4,)),
        "mlp": lambda: mlp_inputs(draw, x, 512, (4,)),
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
