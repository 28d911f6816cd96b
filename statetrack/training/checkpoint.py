"""Checkpoints: safetensors with a sha256 of our own beside it. Nothing here can run code.

A file is written to a temporary name, synced and renamed, so a crash leaves the old one or the new
one, never half of one. The digest covers the whole file and is checked before it is read. While a
checkpoint is replaced its digest file names the old and the new one, so that either is found whole.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from automata.errors import InputError
from automata.files import usable_path
from statetrack.atomic_files import write_atomically

LONGEST_REASON = 1000


def save_tensors(path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> str:
    """Write tensors and a JSON description.

    Parameters
    ----------
    path : Path
        Ends in ``.safetensors``; ``path.sha256`` is written beside it.
    tensors : mapping of str to Tensor
    description : mapping
        Values that JSON can hold.

    Returns
    -------
    str
        sha256 of the file.

    Raises
    ------
    InputError
        The name does not end in ``.safetensors``, or the file cannot be written.
    """
    prepare_checkpoint_path(path)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"description": json.dumps(dict(description))}
    return write_checkpoint(path, save(contiguous, metadata=metadata))


def write_checkpoint(path: Path, content: bytes) -> str:
    """Write the content of a checkpoint and its digest; a kill leaves the old one or the new one.

    Returns
    -------
    str
        sha256 of the content.

    Raises
    ------
    InputError
        As `save_tensors`.
    """
    prepare_checkpoint_path(path)
    digest = hashlib.sha256(content).hexdigest()
    line = f"{digest}  {path.name}\n"
    try:
        before = digest_path(path).read_text() if path.exists() else ""
        write_atomically(digest_path(path), (line + before).encode())
        write_atomically(path, content)
        write_atomically(digest_path(path), line.encode())
    except OSError as error:
        raise InputError(f"checkpoint {path}: {error.strerror or error}") from None
    return digest


def prepare_checkpoint_path(path: Path) -> None:
    """Make the folder of a checkpoint.

    Raises
    ------
    InputError
        The name does not end in ``.safetensors``, or the folder cannot be made.
    """
    _check_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"checkpoint {path}: {error.strerror or error}") from None


def _check_name(path: Path) -> None:
    if usable_path(path, "checkpoint").suffix != ".safetensors":
        raise InputError(f"checkpoint {path.name!r}: expected a .safetensors file")


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Returns
    -------
    tensors : dict of str to Tensor
    description : dict

    Raises
    ------
    InputError
        The file is missing, is no safetensors file, or differs from its sha256.
    """
    _check_name(path)
    try:
        content = path.read_bytes()
        digests = digest_path(path).read_bytes().decode("ascii", "replace").splitlines()
    except OSError as error:
        raise InputError(f"checkpoint {path}: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() not in {line.partition(" ")[0] for line in digests}:
        raise InputError(f"checkpoint {path}: content does not match its sha256; it was changed")
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise InputError(f"checkpoint {path}: not a safetensors file ({error})") from None
    header_size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_size])
    try:
        description = json.loads(header.get("__metadata__", {}).get("description", "{}"))
    except (ValueError, RecursionError):
        raise InputError(f"checkpoint {path}: its description is not JSON") from None
    if not isinstance(description, dict):
        raise InputError(f"checkpoint {path}: its description is no JSON object")
    return tensors, description


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint that is no longer needed; nothing where there is none."""
    for file in (path, digest_path(path)):
        file.unlink(missing_ok=True)


def digest_path(path: Path) -> Path:
    """Where the sha256 of a checkpoint stands."""
    return path.with_name(path.name + ".sha256")


def holds_pack(description: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is that of runs under way, stacked, and not of one finished model."""
    return "pack" in description


def only_model(
    path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Weights of the one model that a checkpoint holds, by ``model.`` and the parameter's name.

    Raises
    ------
    InputError
        It holds several.
    """
    if not holds_pack(description):
        return dict(tensors)
    pack = description["pack"]
    if not isinstance(pack, list) or any(tensor.ndim == 0 for tensor in tensors.values()):
        raise InputError(f"checkpoint {path}: the runs under way in it are none of this library")
    if len(pack) != 1:
        raise InputError(
            f"checkpoint {path} holds {len(pack)} runs under way; each gets a file of its own when "
            "it has ended"
        )
    weights = {name: one for name, one in tensors.items() if name.startswith("model.")}
    if any(len(tensor) == 0 for tensor in weights.values()):
        raise InputError(f"checkpoint {path}: the runs under way in it have no weights")
    return {name: tensor[0] for name, tensor in weights.items()}


def restore_weights(
    model: nn.Module, tensors: Mapping[str, Tensor], *, replace: bool = False
) -> None:
    """Put the weights of a checkpoint, ``model.NAME`` each, into a model.

    They are copied into its parameters, or with `replace` put in the place of them, as a model
    without storage needs.

    Raises
    ------
    InputError
        The tensors are those of another model.
    """
    weights = {
        name.removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name.startswith("model.")
    }
    try:
        model.load_state_dict(weights, assign=replace)
    except RuntimeError as error:
        raise InputError(f"checkpoint of another model: {_one_line(str(error))}") from None


def _one_line(text: str) -> str:
    """The beginning of a text of many lines; torch names every weight."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."
