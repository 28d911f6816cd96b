"""Every registered model with the parameters that change what it computes."""

import torch

from statetrack.models import Backbone, build_model
from statetrack.models.mru_matrices import INPUT_METHODS

TOKENS, CLASSES = 6, 5
GATED = {"num_heads": 2, "head_size": 4}
VARIANTS: list[tuple[str, dict]] = [
    ("diagonal", {"eigenvalue_range": "[0,1]"}),
    ("diagonal", {"eigenvalue_range": "[-1,1]", "num_layers": 2}),
    ("diagonal", {"short_convolution": 3}),
    ("complex_diagonal", {"eigenvalue_range": "disc"}),
    ("complex_diagonal", {"eigenvalue_range": "circle", "num_layers": 2}),
    ("lru", {"num_layers": 2}),
    ("aussm", {}),
    ("mamba", {"eigenvalue_range": "[0,1]"}),
    ("mamba", {"eigenvalue_range": "[-1,1]", "num_layers": 2}),
    ("mamba3", {"eigenvalue_range": "[0,1]", "num_layers": 2}),
    ("rg_lru", {"eigenvalue_range": "[0,1]"}),
    ("rg_lru", {"eigenvalue_range": "[-1,1]", "num_layers": 2}),
    ("hgrn", {"eigenvalue_range": "[0,1]", "num_layers": 2}),
    ("hgrn", {"eigenvalue_range": "[-1,1]"}),
    ("s4d", {"initialization": "legs"}),
    ("s4d", {"initialization": "linear", "num_layers": 2}),
    ("linear_attention", {"num_layers": 2}),
    ("retnet", {"rotary": True, "num_layers": 2}),
    ("retnet", {"rotary": False}),
    ("gla", {"eigenvalue_range": "[0,1]"}),
    ("gla", {"eigenvalue_range": "[-1,1]", "gate_temperature": 1.0}),
    ("hgrn2", {"eigenvalue_range": "[0,1]", "lower_bound": 0.25}),
    ("hgrn2", {"eigenvalue_range": "[-1,1]"}),
    ("mlstm", {"forget_gate": "sigmoid", "num_layers": 2}),
    ("mlstm", {"forget_gate": "exponential"}),
    ("aaren", {"num_layers": 2}),
    *[
        ("transformer", {"position": name})
        for name in ("none", "sinusoidal", "learned", "rotary", "alibi")
    ],
    *[
        ("mru_attention", {"input_method": name})
        for name in ("exponential", "cayley", "householder")
    ],
    ("ffn", {}),
    ("householder", {"num_factors": 1, "eigenvalue_range": "[0,1]"}),
    ("householder", {"num_factors": 3, "eigenvalue_range": "[-1,1]", "num_layers": 2}),
    ("gated_householder", {"num_factors": 1}),
    ("gated_householder", {"num_factors": 2, "decay_range": "[-1,1]", "num_layers": 2}),
    ("kda", {}),
    ("kda", {"decay_range": "[-1,1]", "output_gate": True}),
    ("rwkv7", {}),
    ("rwkv7", {"eigenvalue_range": "[-1,1]", "num_layers": 2}),
    ("block_diagonal", {"block_size": 4, "num_layers": 2}),
    ("block_diagonal", {"block_norm": "none"}),
    ("dense", {"head_size": 8}),
    ("permutation_diagonal", {"head_size": 8}),
    ("permutation_diagonal", {"complex_diagonal": False, "eigenvalue_range": "[-1,1]"}),
    *[("mru", {"input_method": name}) for name in INPUT_METHODS],
    ("mru", {"additive": True, "num_layers": 2}),
    ("mru", {"readout": "linear", "initialisation": "identity"}),
    ("rnn", {"num_layers": 2}),
    ("gru", {"num_layers": 2}),
    ("lstm", {"num_layers": 2}),
    ("slstm", {"num_layers": 2}),
    ("slstm", {"forget_gate": "exponential"}),
    ("m2rnn", {"num_layers": 2}),
    ("m2rnn", {"output_gate": True}),
]


def name_of(variant: tuple[str, dict]) -> str:
    return "-".join([variant[0], *map(str, variant[1].values())])


def words(batch: int = 3, length: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, TOKENS, (batch, length), generator=torch.Generator().manual_seed(seed))


def make(variant: tuple[str, dict], seed: int = 0) -> Backbone:
    """A small model in float64."""
    name, parameters = variant
    torch.manual_seed(seed)
    return build_model(name, TOKENS, CLASSES, width=16, **parameters).double()


def mixer_of(name: str, **parameters: object) -> torch.nn.Module:
    return make((name, parameters)).blocks[0].mixer


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
