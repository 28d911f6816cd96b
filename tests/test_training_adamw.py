"""The optimisers of a pack against torch's own, run by run."""

import pytest
import torch
from torch import nn

from automata.errors import InputError
from statetrack.training.adamw import AdamW
from statetrack.training.optimizers import SGD, Rates, clip_factors

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
# Sizes of the parameters of one run, share of the learning rate, whether they decay.
GROUPS = ((1500, 1.0, True), (1001, 0.5, True), (70, 1.0, False))
SIZE = sum(size for size, _, _ in GROUPS)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy inside the interpreter
every_backend = pytest.mark.parametrize("backend", ["reference", "triton"])


def of_runs(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, device=DEVICE)


LEARNING_RATE = of_runs(1e-3, 1e-2, 0.1)
WEIGHT_DECAY = of_runs(0.0, 0.1, 0.01)
BETA1, BETA2 = of_runs(0.9, 0.8, 0.0), of_runs(0.999, 0.95, 0.99)
EPS = of_runs(1e-8, 1e-6, 1e-8)
CLIP_NORM = of_runs(1.0, 0.1, 1e6)


def gradients(step: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(step)
    return torch.randn(3, SIZE, generator=source).to(DEVICE)


def rates(clip_factor: torch.Tensor, *step: int) -> Rates:
    share = torch.cat([torch.full((size,), share) for size, share, _ in GROUPS])
    decays = torch.cat([torch.full((size,), decays) for size, _, decays in GROUPS])
    number = torch.tensor(step, device=DEVICE)
    return Rates(LEARNING_RATE, clip_factor, number, share.to(DEVICE), decays.to(DEVICE))


def buffers(optimizer, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(3, SIZE, dtype=dtype, device=DEVICE) for name in optimizer.slots()}


def by_torch(build, steps: int) -> torch.Tensor:
    """What an optimiser of torch makes of every run, after clipping."""
    rows = []
    for run in range(3):
        sizes = [size for size, _, _ in GROUPS]
        pieces = [nn.Parameter(one.clone()) for one in gradients(0)[run].split(sizes)]
        optimizer = build(run, pieces)
        for step in range(1, steps + 1):
            for piece, grad in zip(pieces, gradients(step)[run].split(sizes), strict=True):
                piece.grad = grad.clone()
            nn.utils.clip_grad_norm_(pieces, float(CLIP_NORM[run]))
            optimizer.step()
        rows.append(torch.cat([piece.detach() for piece in pieces]))
    return torch.stack(rows)


def groups_of(run: int, pieces: list[nn.Parameter]) -> list[dict]:
    return [
        {
            "params": [piece],
            "lr": float(LEARNING_RATE[run]) * share,
            "weight_decay": float(WEIGHT_DECAY[run]) * decays,
        }
        for piece, (_, share, decays) in zip(pieces, GROUPS, strict=True)
    ]


@every_backend
def test_adamw_and_clipping_are_torchs_run_by_run(backend):
    optimizer = AdamW(WEIGHT_DECAY, BETA1, BETA2, EPS, backend)
    parameters, state = gradients(0), buffers(optimizer)
    for step in range(1, 6):
        factors = clip_factors(gradients(step), CLIP_NORM, backend=backend)
        optimizer.update(parameters, gradients(step), state, rates(factors, step, step, step))
    expected = by_torch(
        lambda run, pieces: torch.optim.AdamW(
            groups_of(run, pieces),
            betas=(float(BETA1[run]), float(BETA2[run])),
            eps=float(EPS[run]),
        ),
        5,
    )
    torch.testing.assert_close(parameters, expected, rtol=1e-5, atol=1e-6)


def test_sgd_is_torchs_run_by_run():
    momentum = of_runs(0.9, 0.0, 0.5)
    optimizer = SGD(momentum, WEIGHT_DECAY)
    parameters, state = gradients(0), buffers(optimizer)
    for step in range(1, 4):
        factors = clip_factors(gradients(step), CLIP_NORM)
        optimizer.update(parameters, gradients(step), state, rates(factors, step, step, step))
    expected = by_torch(
        lambda run, pieces: torch.optim.SGD(
            groups_of(run, pieces), lr=1.0, momentum=float(momentum[run])
        ),
        3,
    )
    torch.testing.assert_close(parameters, expected, rtol=1e-5, atol=1e-6)


@every_backend
@pytest.mark.parametrize("step", [1, 1000, 10**6, 10**9])
def test_bias_corrections_at_any_step(backend, step):
    optimizer = AdamW(of_runs(0, 0, 0), BETA1, of_runs(0.999, 0.9999, 0.999999), EPS, backend)
    parameters, gradient, state = gradients(0), gradients(1), buffers(optimizer)
    optimizer.update(parameters, gradient, state, rates(of_runs(1, 1, 1), step, step, step))
    exact = gradients(0).double()
    first = (1 - BETA1)[:, None] * gradient.double()
    second = (1 - optimizer.beta2)[:, None] * gradient.double().square()
    corrected = (second / (1 - optimizer.beta2**step)[:, None]).sqrt() + EPS[:, None]
    move = (LEARNING_RATE / (1 - BETA1**step))[:, None] * first / corrected
    exact -= move * rates(of_runs(1, 1, 1), 1, 1, 1).share
    torch.testing.assert_close(parameters, exact.float(), rtol=1e-6, atol=1e-6)


@every_backend
def test_a_run_of_step_zero_is_left_alone(backend):
    for optimizer in (AdamW(WEIGHT_DECAY, BETA1, BETA2, EPS, backend), SGD(BETA1, WEIGHT_DECAY)):
        parameters, gradient, state = gradients(0), gradients(1), buffers(optimizer)
        gradient[1] = torch.nan
        factors = clip_factors(gradient, CLIP_NORM, backend=backend)
        assert factors.isnan().tolist() == [False, True, False]
        optimizer.update(parameters, gradient, state, rates(factors, 1, 0, 1))
        moved = (parameters != gradients(0)).any(-1)
        assert moved.tolist() == [True, False, True]
        assert all(not one[1].any() and one[0].any() for one in state.values())
        assert parameters.isfinite().all()


def test_kernels_in_float64_and_the_same_bits_every_time():
    outcomes = []
    for backend in ("reference", "triton", "triton"):
        optimizer = AdamW(WEIGHT_DECAY, BETA1, BETA2, EPS, backend)
        parameters, state = gradients(0).double(), buffers(optimizer, torch.float64)
        gradient = gradients(1).double()
        factors = clip_factors(gradient, CLIP_NORM, backend=backend)
        optimizer.update(parameters, gradient, state, rates(factors, 3, 4, 5))
        outcomes.append(parameters)
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-12, atol=1e-12)
    assert torch.equal(outcomes[1], outcomes[2])


def test_the_operators_are_registered_right():
    rest = rates(torch.ones(3, device=DEVICE), 1, 2, 3)
    arguments = (
        gradients(0), gradients(1), gradients(2), gradients(3).square(), LEARNING_RATE,
        WEIGHT_DECAY, BETA1, BETA2, EPS, rest.clip_factor, rest.step, rest.share, rest.decays,
    )  # fmt: skip
    for operator, given in (
        (torch.ops.statetrack.adamw_.default, arguments),
        (torch.ops.statetrack.clip_factors.default, (gradients(0), CLIP_NORM)),
    ):
        assert set(torch.library.opcheck(operator, given).values()) == {"SUCCESS"}


def test_what_does_not_fit_is_named_and_nothing_changes():
    optimizer = AdamW(WEIGHT_DECAY, BETA1, BETA2, EPS)
    parameters, state = gradients(0), buffers(optimizer)
    good = rates(torch.ones(3, device=DEVICE), 1, 1, 1)
    with pytest.raises(InputError, match="gradient has shape"):
        optimizer.update(parameters, gradients(1)[:2], state, good)
    with pytest.raises(InputError, match=r"gradient is torch\.float64"):
        optimizer.update(parameters, gradients(1).double(), state, good)
    with pytest.raises(InputError, match="clip_factor has shape"):
        optimizer.update(
            parameters, gradients(1), state, rates(torch.ones(2, device=DEVICE), 1, 1, 1)
        )
    with pytest.raises(InputError, match="outside of vmap"):
        torch.func.vmap(lambda one: torch.ops.statetrack.clip_factors(one, CLIP_NORM))(
            gradients(0)[None]
        )
    assert torch.equal(parameters, gradients(0))


@pytest.mark.gpu
def test_a_captured_update_reads_the_step_anew():
    optimizer = AdamW(WEIGHT_DECAY, BETA1, BETA2, EPS)
    expected, captured = gradients(0), gradients(0)
    of_expected, of_captured = buffers(optimizer), buffers(optimizer)
    gradient, number = gradients(1), torch.zeros(3, dtype=torch.int64, device=DEVICE)
    fixed = rates(torch.ones(3, device=DEVICE), 0, 0, 0)

    def update():
        number.add_(1)
        factors = clip_factors(gradient, CLIP_NORM)
        changing = Rates(LEARNING_RATE, factors, number, fixed.share, fixed.decays)
        optimizer.update(captured, gradient, of_captured, changing)

    update()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update()
    for step in range(1, 6):
        gradient.copy_(gradients(step))
        if step == 1:
            captured.copy_(gradients(0))
            for one in (*of_captured.values(), number):
                one.zero_()
        graph.replay()
        factors = clip_factors(gradients(step), CLIP_NORM)
        optimizer.update(expected, gradients(step), of_expected, rates(factors, step, step, step))
    assert torch.equal(captured, expected)
