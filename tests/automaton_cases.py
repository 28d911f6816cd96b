"""Tables of automata, words and backends that tests of automata on a device share."""

import numpy as np
import pytest
import torch

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
BACKENDS = ["reference", "parallel", "triton"]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.uint8]

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def table_of(dfa, dtype=torch.int64):
    return torch.from_numpy(np.array(dfa.transitions)).to(DEVICE, dtype)


def random_words(num_symbols, *shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, num_symbols, shape)).to(DEVICE)
