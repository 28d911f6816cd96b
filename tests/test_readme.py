"""The quick start of the README is short and runs as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 20
FIGURES = {".png", ".pdf", ".svg"}


def quick_start() -> str:
    """Return the Python block that follows the mark `<!-- quickstart -->`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- quickstart -->\s*```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(blocks) == 1, "README.md needs one python block right after <!-- quickstart -->"
    return blocks[0]


def test_quick_start_is_short():
    lines = [line.strip() for line in quick_start().splitlines()]
    code = [line for line in lines if line and not line.startswith("#")]
    assert len(code) <= MAX_LINES


@pytest.mark.timeout(300)
def test_quick_start_runs_and_writes_a_figure(tmp_path):
    # PYTHONPATH: the checkout wins over any other package that is called `automata`.
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", quick_start()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    figures = [path for path in tmp_path.rglob("*") if path.suffix in FIGURES]
    assert figures
    assert all(path.stat().st_size > 1000 for path in figures)
