"""Small models with affine recurrences, and groups with planted errors."""

import numpy as np
import torch
from scipy.linalg import expm

from automata.tasks import get_task
from statetrack.analysis.affine import read_affine
from statetrack.models import build_model
from statetrack.models.constructions import group_by_matrices

AFFINE = {
    "diagonal": {"num_channels": 5},
    "complex_diagonal": {"num_channels": 3},
    "householder": {"num_factors": 2, "num_heads": 2, "head_size": 3},
    "gated_householder": {"num_heads": 2, "head_size": 3},
    "mru": {"num_heads": 2, "head_size": 3},
    "dense": {"head_size": 4},
    "permutation_diagonal": {"head_size": 3},
    "block_diagonal": {"num_blocks": 2, "block_size": 3},
    "gla": {},
    "rwkv7": {},
}


def small(name, **more):
    torch.manual_seed(0)
    return build_model(name, 6, 6, width=12, **{**AFFINE.get(name, {}), **more})


def noisy_group(name, error, seed=0):
    """The exact matrices of a group, each followed by a small random rotation."""
    task = get_task("word_problem", group=name)
    model = group_by_matrices(task.group)
    exact = read_affine(model, task.num_tokens).matrices[:, 0]
    size = exact.shape[-1]
    skew = np.random.default_rng(seed).standard_normal(exact.shape)
    skew = skew - skew.swapaxes(1, 2)
    skew *= np.sqrt(size) / np.linalg.norm(skew, axis=(1, 2), keepdims=True)
    change = exact @ expm(error * skew) - np.eye(size)
    one_hot = 1 / np.sqrt(1 / model.embedding.weight.shape[1] + 1e-6)
    with torch.no_grad():
        weight = torch.from_numpy(change.reshape(len(exact), -1).T / one_hot).float()
        model.blocks[0].mixer.to_elements.weight[:, : len(exact)] = weight
    return model, task
