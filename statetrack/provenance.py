"""What a number was measured with: code, versions, hardware, time."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("statetrack", "torch", "triton", "numpy", "pandas", "pydantic", "safetensors")


def provenance(device: str) -> dict[str, Any]:
    """Describe the program and the machine.

    Parameters
    ----------
    device : str
        Torch device the numbers come from.

    Returns
    -------
    dict
        Plain values: commit, whether the tree had changes, versions, processor, device, threads,
        time of the call (UTC).
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {**_program_and_machine(device), "threads": torch.get_num_threads(), "time": now}


@lru_cache(maxsize=4)
def _program_and_machine(device: str) -> dict[str, Any]:
    commit, dirty = _git_state()
    return {
        "commit": commit,
        "uncommitted_changes": dirty,
        "versions": {"python": platform.python_version(), **_versions()},
        "system": f"{platform.system()} {platform.machine()}",
        "num_processors": os.cpu_count(),
        "device": _device_name(device),
        "cuda": torch.version.cuda if device.startswith("cuda") else None,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def _git_state() -> tuple[str | None, bool | None]:
    """Commit of the source tree this code runs from; None outside a checkout.

    ``STATETRACK_COMMIT`` stands in where the tree travels without its history.
    """
    given = os.environ.get("STATETRACK_COMMIT")
    if given:
        return given, False
    root = Path(__file__).resolve().parents[1]
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
        status = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(status.strip())
