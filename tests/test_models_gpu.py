"""What every model promises, on a GPU: there the scans are kernels."""

import pytest
import torch

from statetrack.models import check_model
from statetrack.models.checks import CHECKS
from tests.model_cases import VARIANTS, name_of

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS, ids=name_of)
def test_every_model_keeps_every_promise(variant, dtype):
    name, parameters = variant
    passed = check_model(name, width=16, device="cuda", dtype=dtype, **parameters)
    assert len(passed) == len(CHECKS)
