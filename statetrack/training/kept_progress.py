"""What a checkpoint says of runs, checked before anything relies on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from automata.errors import InputError
from statetrack.training.config import RunConfig


class HistoryRow(BaseModel):
    """A row of a history: what every reader of one relies on."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    step: int = Field(ge=0)
    loss: float
    learning_rate: float
    length: int = Field(ge=1)
    shortest: int = Field(ge=1)
    supervised: int = Field(ge=1)
    selection_token: float
    selection_whole_prefix: float


class KeptRun(BaseModel):
    """What a checkpoint says of one run.

    Attributes
    ----------
    run_id : str
    history : list of HistoryRow
    seconds : float
    solved_seconds : float or None
    step : int
    status : {"training", "finished", "failed", "elsewhere"}
    reason : str
        Why it failed.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    run_id: str
    history: list[HistoryRow]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    solved_seconds: float | None
    step: int = Field(default=0, ge=0, le=2**31)
    status: Literal["training", "finished", "failed", "elsewhere"] = "finished"
    reason: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """The history as plain values."""
        return [row.model_dump() for row in self.history]


_PACK = TypeAdapter(list[KeptRun])


def kept_pack(path: Path, description: Mapping[str, Any]) -> list[KeptRun]:
    """Runs under way of a checkpoint, in the order of its rows.

    Raises
    ------
    InputError
        They are not what this library writes.
    """
    try:
        return _PACK.validate_python(description.get("pack"))
    except ValidationError as error:
        raise _refusal(path, error) from None


def kept_run(path: Path, description: Mapping[str, Any]) -> KeptRun:
    """The finished run of a checkpoint.

    Raises
    ------
    InputError
        It is not what this library writes.
    """
    try:
        return KeptRun.model_validate(description)
    except ValidationError as error:
        raise _refusal(path, error) from None


def kept_config(path: Path, description: Mapping[str, Any]) -> RunConfig:
    """Configuration of the model that a checkpoint holds.

    Raises
    ------
    InputError
        It has none, or one that is refused.
    """
    tree = description.get("config")
    if not isinstance(tree, Mapping):
        raise InputError(f"checkpoint {path}: no configuration of this library in it")
    try:
        return RunConfig.from_tree(tree)
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from None


def _refusal(path: Path, error: ValidationError) -> InputError:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])[:80]
    return InputError(
        f"checkpoint {path}: its description is none of this library "
        f"({place or 'pack'}: {problem['msg'][0].lower()}{problem['msg'][1:]})"
    )
