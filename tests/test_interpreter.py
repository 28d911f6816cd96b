"""The interpreter of Triton that remembers gives what the one that does not gives, bit for bit."""

import os
import re
from pathlib import Path

import pytest
import torch

from tests.interpreter import KNOWN_VERSIONS, as_it_comes, hasten, is_known, originals
from tests.scan_cases import CASES
from tests.scan_source import ScanCase, Source

in_the_interpreter = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1" or not is_known(),
    reason="needs the interpreter of a version of Triton that is known",
)
# One of a kind: every kernel of a recurrence, forward and backward.
KINDS = {case.operators: case for case in reversed(CASES)}


def results(case: ScanCase) -> list[torch.Tensor]:
    source = Source(3, torch.device("cpu"), leading=(2,), length=3, tiny=True)
    inputs = {name: value.requires_grad_() for name, value in case.draw(source).items()}
    outputs, final = case.scan(**inputs, backend="triton")
    gradients = torch.autograd.grad(outputs.sum() + final.sum(), list(inputs.values()))
    return [outputs, final, *gradients]


@in_the_interpreter
@pytest.mark.parametrize("case", KINDS.values(), ids=lambda case: case.name)
def test_the_same_bits(case: ScanCase, monkeypatch):
    for name, value in case.settings.items():
        monkeypatch.setattr(name, value)
    quick = results(case)
    with as_it_comes():
        assert all(getattr(owner, name) is plain for owner, name, plain in originals())
        plain = results(case)
    assert all(getattr(owner, name) is not plain for owner, name, plain in originals())
    assert all(torch.equal(one, other) for one, other in zip(quick, plain, strict=True))


@in_the_interpreter
def test_a_wrong_kernel_is_refused_alike():
    """Shapes that do not fit, a block that is no power of two: in the words of Triton."""
    import triton
    from triton import language as tl

    @triton.jit
    def adds(target, left: tl.constexpr, right: tl.constexpr):
        total = tl.full([left], 1.0, tl.float32) + tl.full([right], 1.0, tl.float32)
        tl.store(target + tl.arange(0, left), total)

    def message(left: int, right: int) -> str:
        with pytest.raises(Exception) as caught:
            adds[(1,)](torch.zeros(8), left=left, right=right)
        return str(caught.value)

    hasten()
    for shapes, part in [((4, 8), "Cannot make_shape_compatible"), ((3, 3), "power of 2")]:
        quick = message(*shapes)
        with as_it_comes():
            assert message(*shapes) == quick
        assert part in quick


def test_the_pinned_version_is_known():
    """With another the tests are right and slow: look whether its insides are the same."""
    constraints = (Path(__file__).parents[1] / "constraints.txt").read_text()
    (pinned,) = re.findall(r"^triton==([\d.]+)", constraints, flags=re.MULTILINE)
    assert pinned in KNOWN_VERSIONS
