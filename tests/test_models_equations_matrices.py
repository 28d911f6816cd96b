"""Matrices of blocks, dense ones and permutations against plain loops of their equations."""

import pytest
import torch

from statetrack.models.permutation_diagonal import one_hot_columns
from tests.model_cases import mixer_of, numbers


@pytest.mark.parametrize("block_norm", ["columns", "none"])
def test_block_diagonal_is_its_equation(block_norm):
    blocks, size, p = 3, 4, 1.2
    mixer = mixer_of("block_diagonal", num_blocks=blocks, block_size=size, block_norm=block_norm)
    x, h = numbers(7, 16, seed=3), mixer.start.clone()
    rows = []
    for token in x:
        a = mixer.to_blocks(token).view(blocks, size, size)
        v = mixer.to_value(token).view(blocks, size)
        after = torch.empty_like(h)
        for g in range(blocks):
            block = a[g]
            if block_norm == "columns":
                columns = [column - column.mean() for column in block.T]
                largest = max((c.abs() ** p).sum() ** (1 / p) for c in columns)
                block = torch.stack(columns, dim=1) / largest
            after[g] = block @ h[g] + v[g]
        h, flat = after, after.flatten()
        rows.append(mixer.output(flat / torch.sqrt(flat.square().mean() + 1e-6)))
    found, (end,) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)


@pytest.mark.parametrize("p", [1.1, 1.2, 2.0])
def test_columns_of_blocks_have_mean_0_and_norm_at_most_1(p):
    mixer = mixer_of("block_diagonal", num_blocks=2, block_size=4, norm_order=p)
    columns = mixer.transitions(30 * numbers(1, 50, 16))  # row form: its rows are the columns
    norms = torch.linalg.vector_norm(columns, ord=p, dim=-1)
    torch.testing.assert_close(norms.amax(-1), torch.ones_like(norms.amax(-1)))
    assert columns.mean(-1).abs().max() < 1e-12


@pytest.mark.parametrize("heads", [1, 2])
def test_dense_is_its_equation(heads):
    size, p = 5, 1.2
    mixer = mixer_of("dense", num_heads=heads, head_size=size, dictionary_size=3)
    x, h = numbers(7, 16, seed=3), mixer.start.clone()
    rows = []
    for token in x:
        selected = mixer.dictionary.select(token).view(heads, 3)
        b = mixer.to_input(token).view(heads, size)
        after, read = torch.empty_like(h), []
        for g in range(heads):
            weights = torch.exp(selected[g]) / torch.exp(selected[g]).sum()
            a = sum(weights[k] * mixer.dictionary.matrices[g, k] for k in range(3))
            a = torch.stack([c / (c.abs() ** p).sum() ** (1 / p) for c in a.T], dim=1)
            after[g] = a @ h[g] + b[g]
            read.append(after[g] / torch.sqrt(after[g].square().mean() + 1e-6))
        h = after
        rows.append(mixer.output(torch.cat(read)))
    found, (end,) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)


@pytest.mark.parametrize("p", [1.1, 1.2, 2.0])
def test_columns_of_dense_matrices_have_norm_1(p):
    mixer = mixer_of("dense", head_size=5, norm_order=p)
    columns = mixer.transitions(30 * numbers(1, 50, 16))
    norms = torch.linalg.vector_norm(columns, ord=p, dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("is_complex", [True, False])
def test_permutation_diagonal_is_its_equation(heads, is_complex):
    size = 5
    mixer = mixer_of(
        "permutation_diagonal",
        num_heads=heads,
        head_size=size,
        dictionary_size=3,
        complex_diagonal=is_complex,
        eigenvalue_range="[0,1]" if is_complex else "[-1,1]",
    )

    def join(flat):
        flat = flat.view(heads, -1)
        return torch.complex(flat[:, :size], flat[:, size:]) if is_complex else flat

    x, h = numbers(7, 16, seed=3), join(mixer.start)
    rows = []
    for token in x:
        selected = mixer.dictionary.select(token).view(heads, 3).softmax(dim=-1)
        size_of = torch.sigmoid(4 * mixer.to_magnitude(token)).view(heads, size)
        b = join(mixer.to_input(token))
        after, read = torch.empty_like(h), []
        for g in range(heads):
            m = sum(selected[g, k] * mixer.dictionary.matrices[g, k] for k in range(3))
            p = torch.zeros(size, size, dtype=h.dtype)
            for j in range(size):
                p[max(range(size), key=lambda i, j=j, m=m: m[i, j].item()), j] = 1
            if is_complex:
                phase = 2 * torch.pi * torch.sigmoid(mixer.to_phase(token)).view(heads, size)[g]
                d = size_of[g] * torch.exp(1j * phase)
            else:
                d = 2 * size_of[g] - 1
            after[g] = p @ torch.diag(d) @ h[g] + b[g]
            seen = torch.cat([after[g].real, after[g].imag]) if is_complex else after[g]
            read.append(seen / torch.sqrt(seen.square().mean() + 1e-6))
        h = after
        rows.append(mixer.output(torch.cat(read)))
    found, (end,) = mixer(x.unsqueeze(0), mixer.initial_state(1))
    torch.testing.assert_close(found[0], torch.stack(rows))
    torch.testing.assert_close(end[0], h)


def test_one_hot_columns_pass_the_gradient_of_the_softmax():
    m, weight = numbers(3, 5, 5).requires_grad_(), numbers(3, 5, 5, seed=1)
    hard = one_hot_columns(m)
    assert hard.unique().tolist() == [0, 1]
    assert torch.equal(hard.argmax(-2), m.argmax(-2)) and (hard.sum(-2) == 1).all()
    (found,) = torch.autograd.grad((hard * weight).sum(), m)
    (expected,) = torch.autograd.grad((m.softmax(dim=-2) * weight).sum(), m)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("is_complex", [True, False])
def test_permutation_diagonal_moves_every_state_once_and_never_expands(is_complex):
    text = "[0,1]" if is_complex else "[-1,1]"
    mixer = mixer_of(
        "permutation_diagonal",
        head_size=5,
        complex_diagonal=is_complex,
        eigenvalue_range=text,
    )
    columns = mixer.transitions(30 * numbers(1, 50, 16))  # row form: its rows are the columns
    assert ((columns != 0).sum(-1) <= 1).all()
    assert columns.abs().max() <= 1 + 1e-12
    assert torch.linalg.eigvals(columns).abs().max() <= 1 + 1e-6
    assert columns.is_complex() == is_complex
