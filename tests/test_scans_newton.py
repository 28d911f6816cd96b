"""Newton's method over time against the loop."""

import pytest
import torch

from automata.errors import InputError
from statetrack.scans import newton_scan, nonlinear_scan
from statetrack.scans.nonlinear import CELLS

LONG = 4096
KINDS = [
    *((cell, "diagonal") for cell in CELLS),
    *((cell, "dense") for cell in ("rnn", "gru", "lstm")),
]


def inputs(cell, structure, length, batch=2, size=3, networks=(), dtype=torch.float64, scale=0.5):
    kind = CELLS[cell]
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*networks, *shape, dtype=torch.float64, generator=generator).to(dtype)

    gates = len(kind.gates)
    dense = structure == "dense"
    initial = draw(batch, len(kind.state), size)
    if "normaliser" in kind.state:
        initial[..., 2, :] = 1 + initial[..., 1, :].abs()
    return {
        "x": draw(batch, length, gates, size),
        "recurrent": draw(gates, *(size,) * (1 + dense)) * scale / size ** (0.5 * dense),
        "bias": draw(gates, size),
        "initial": initial,
    }


def by_loop(tensors, cell, structure):
    recurrent = tensors["recurrent"]
    dense = recurrent if structure == "dense" else torch.diag_embed(recurrent)
    return nonlinear_scan(**{**tensors, "recurrent": dense}, cell=cell)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("structure", ["diagonal", "dense"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_states_are_those_of_the_loop(cell, structure, dtype):
    """4,096 tokens, few steps, a quadratic end."""
    tensors = inputs(cell, structure, LONG, batch=1, size=2, dtype=dtype)
    found = newton_scan(**tensors, cell=cell, structure=structure)
    hidden, final = by_loop(tensors, cell, structure)
    assert float((found.hidden - hidden).abs().max()) <= 1e-6
    assert float((found.final_state - final).abs().max()) <= 1e-6 * float(1 + final.abs().max())
    assert 1 <= found.iterations <= 10
    assert len(found.residuals) == found.iterations + 1
    if dtype == torch.float64:
        *_, before, after = found.residuals[:-1]
        assert after < 0.1 * before


@pytest.mark.parametrize(("cell", "structure"), KINDS)
def test_gradients_are_those_of_the_loop(cell, structure):
    tensors = inputs(cell, structure, 40, networks=(2,))

    def gradients(run):
        leaves = {name: one.detach().requires_grad_() for name, one in tensors.items()}
        hidden, final = run(leaves)
        loss = hidden.sin().sum() + final.square().sum()
        return torch.autograd.grad(loss, list(leaves.values()))

    def newton(leaves):
        found = newton_scan(**leaves, cell=cell, structure=structure)
        return found.hidden, found.final_state

    for one, other in zip(
        gradients(newton), gradients(lambda leaves: by_loop(leaves, cell, structure)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_gradients_need_no_exact_root():
    """The implicit function theorem at the states that were found, a step later."""
    tensors = inputs("gru", "diagonal", 5, batch=1, size=2)
    leaves = [one.requires_grad_() for one in tensors.values()]

    def run(*given):
        named = dict(zip(tensors, given, strict=True))
        found = newton_scan(**named, cell="gru", tolerance=1e-12)
        return found.hidden, found.final_state

    assert torch.autograd.gradcheck(run, leaves)


def test_a_recurrence_that_amplifies_is_refused():
    tensors = inputs("rnn", "diagonal", 500, scale=4.0)
    with pytest.raises(InputError, match=r"no convergence after \d+ steps: the last residuals"):
        newton_scan(**tensors, cell="rnn", max_iterations=8)
    with pytest.raises(InputError, match="no convergence after"):
        newton_scan(**{**tensors, "x": tensors["x"] * torch.nan}, cell="rnn")


def test_after_k_steps_k_states_are_exact():
    """As many steps as tokens suffice for any recurrence."""
    tensors = inputs("rnn", "diagonal", 6, scale=3.0)
    found = newton_scan(**tensors, cell="rnn", max_iterations=6)
    torch.testing.assert_close(found.hidden, by_loop(tensors, "rnn", "diagonal")[0])


def test_no_tokens_and_no_words():
    tensors = inputs("lstm", "diagonal", 0)
    found = newton_scan(**tensors, cell="lstm")
    assert found.hidden.shape == (2, 0, 3)
    assert torch.equal(found.final_state, tensors["initial"])
    assert found.iterations == 0
    assert newton_scan(**inputs("gru", "diagonal", 4, batch=0), cell="gru").hidden.shape == (
        0,
        4,
        3,
    )


def test_a_second_derivative_is_refused():
    tensors = inputs("gru", "diagonal", 3)
    weights = tensors["recurrent"].requires_grad_()
    loss = newton_scan(**tensors, cell="gru").hidden.square().sum()
    (first,) = torch.autograd.grad(loss, weights, create_graph=True)
    with pytest.raises(InputError, match="first derivatives only"):
        torch.autograd.grad(first.sum(), weights)


def test_bad_input_is_named():
    tensors = inputs("gru", "diagonal", 3)
    with pytest.raises(InputError, match="newton_scan cell 'grv'"):
        newton_scan(**tensors, cell="grv")
    with pytest.raises(InputError, match="structure 'full'"):
        newton_scan(**tensors, cell="gru", structure="full")
    with pytest.raises(InputError, match=r"recurrent has shape \(3, 3\), expected \(3, 3, 3\)"):
        newton_scan(**tensors, cell="gru", structure="dense")
    with pytest.raises(InputError, match="x has shape"):
        newton_scan(**tensors, cell="lstm")
    wide = inputs("lstm", "dense", 2, size=33)
    with pytest.raises(InputError, match="2 x 33 numbers of state"):
        newton_scan(**wide, cell="lstm", structure="dense")
