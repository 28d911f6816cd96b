"""A run is its configuration: a frozen, validated tree with an identity of its own."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic import Field as PydanticField
from torch import nn

from automata.errors import InputError, shown, unknown_name
from automata.tasks import Task, complete_parameters, get_task
from statetrack.models.config import check_parameter_names, model_config, model_entry
from statetrack.training.curricula import CURRICULA, LARGEST_BATCH
from statetrack.training.optimizer_kinds import OPTIMIZERS
from statetrack.training.schedules import SCHEDULES
from statetrack.training.stop_rules import STOP_RULES
from statetrack.training.word_families import word_family

TRAINER_SEMANTICS = 1
"""Raised when the same configuration begins to give other numbers."""


class Frozen(BaseModel):
    """Immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameters(dict[str, JsonValue]):
    """A dict that cannot be changed."""

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        raise TypeError("the parameters of a configuration cannot be changed; make another one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def _storable(parameters: dict[str, JsonValue]) -> Parameters:
    """Refuse what JSON or a file cannot hold, wherever it is nested."""
    for name, value in parameters.items():
        try:
            json.dumps([name, value], allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise InputError(
                f"parameter {shown(name)} = {shown(value)}: expected finite numbers and Unicode "
                "text, not nested deeply"
            ) from None
    return Parameters(parameters)


def _names_parameters(data: Any) -> bool:
    """Whether this has a name and parameters by name; if not, pydantic says what is wrong."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        return False
    parameters = data.get("parameters", {})
    return isinstance(parameters, Mapping) and all(isinstance(name, str) for name in parameters)


def _range_text(ends: list[Any]) -> str:
    """Text of a range that was read as a list."""
    return f"[{','.join(str(end) for end in ends)}]" if len(ends) == 2 else shown(ends)


def _with_lists(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as JSON has them, which knows no tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in parameters.items()
    }


FrozenParameters = Annotated[dict[str, JsonValue], AfterValidator(_storable)]
Whole = Annotated[int, PydanticField(strict=True)]


class TaskConfig(Frozen):
    """Which task, by name, and its parameters; those left out take the task's defaults."""

    name: str
    parameters: FrozenParameters = PydanticField(default_factory=Parameters, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not _names_parameters(data):
            return data
        given = dict(data.get("parameters", {}))
        for contents in get_task(data["name"], **given).places.values():
            given |= contents
        name, parameters = complete_parameters(data["name"], given)
        return {**data, "name": name, "parameters": _with_lists(parameters)}

    def build(self) -> Task:
        """Make the task."""
        return get_task(self.name, **self.parameters)

    @functools.cached_property
    def semantics_and_places(self) -> tuple[int, tuple[str, ...]]:
        """The task's semantics, and those parameters that only say where a file lies."""
        task = self.build()
        return task.semantics, tuple(task.places)

    @classmethod
    def from_pairs(cls, pairs: Iterable[str]) -> Self:
        """Read ``task=NAME`` and its parameters, such as ``task.generators=standard``.

        Raises
        ------
        InputError
            On a pair without ``=`` or of another key, on an unknown task or parameter, and if no
            task is named.
        """
        tree = _tree(pairs, ["task"])
        _require_name(tree, "task")
        try:
            return cls.model_validate(tree["task"])
        except ValidationError as error:
            raise InputError(_first_problem(error, cls)) from None


class ModelConfig(Frozen):
    """Which model, by name, and its parameters; those left out take the model's defaults."""

    name: str
    parameters: FrozenParameters = PydanticField(default_factory=Parameters, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        if not _names_parameters(data):
            return data
        given = dict(data.get("parameters", {}))
        entry = model_entry(data["name"])
        check_parameter_names(entry, given)
        for field in dataclasses.fields(entry.config_class):
            value = given.get(field.name)
            if isinstance(value, bool) and field.type is not bool:
                raise InputError(f"model.{field.name} = {value}: expected {field.type}")
            if isinstance(value, list) and field.type in (str, str | None):
                given[field.name] = _range_text(value)
        complete = TypeAdapter(entry.config_class).validate_python(given)
        return {**data, "parameters": dataclasses.asdict(complete)}

    def build(self, task: Task) -> nn.Module:
        """Build the model for a task, with fresh weights from torch's generator."""
        entry = model_entry(self.name)
        config = model_config(self.name, self.parameters)
        return entry.build(config, task.num_tokens, task.num_classes)


class TrainingConfig(Frozen):
    """How a model is trained: AdamW, warm-up, cosine decay, gradient clipping.

    Every step sees fresh words; `curriculum`, `schedule`, `stop` and `optimizer` name objects of
    `statetrack.training.curricula`, `schedules`, `stop_rules` and `optimizer_kinds` with their
    parameters, such as ``doubling(start=4)``. Betas are numbers of AdamW alone. With
    `published_rates` the parameters for which a layer's publication scales the learning rate, such
    as the input map of the MRU, are trained with theirs. `projections` is the precision of matrix
    products outside the recurrence, which stays in float32.
    """

    length: Whole = PydanticField(default=40, ge=1, le=2**20)
    batch_size: Whole = PydanticField(default=64, ge=1, le=LARGEST_BATCH)
    steps: Whole = PydanticField(default=600, ge=1, le=10**8)
    learning_rate: float = PydanticField(default=3e-3, gt=0, allow_inf_nan=False)
    published_rates: bool = False
    weight_decay: float = PydanticField(default=0.1, ge=0, allow_inf_nan=False)
    warmup_steps: Whole = PydanticField(default=50, ge=0)
    final_rate_share: float = PydanticField(default=0.02, ge=0, le=1)
    beta1: float = PydanticField(default=0.9, ge=0, lt=1)
    beta2: float = PydanticField(default=0.99, ge=0, lt=1)
    clip_norm: float = PydanticField(default=1.0, gt=0, allow_inf_nan=False)
    curriculum: Annotated[str, AfterValidator(CURRICULA.canonical)] = "fixed"
    schedule: Annotated[str, AfterValidator(SCHEDULES.canonical)] = "cosine"
    stop: Annotated[str, AfterValidator(STOP_RULES.canonical)] = "budget"
    optimizer: Annotated[str, AfterValidator(OPTIMIZERS.canonical)] = "adamw"
    projections: Literal["float32", "tensorfloat32", "bfloat16"] = "float32"
    select_every: Whole = PydanticField(default=100, ge=1)
    select_words: Whole = PydanticField(default=512, ge=1, le=2**20)


class EvaluationConfig(Frozen):
    """How far, and on how many words, a trained model is measured.

    Uniform words always are; `families` names others that are measured too. The learned transition
    matrices are read as well, on the CPU, unless `read_transitions` is false: with many tokens that
    takes seconds a run. What takes longer is read from the checkpoints afterwards
    (`statetrack read`).
    """

    max_length: Whole = PydanticField(default=256, ge=1, le=2**20)
    num_words: Whole = PydanticField(default=4096, ge=1, le=2**20)
    seed: Whole = PydanticField(default=0, ge=0, lt=2**32)
    families: tuple[str, ...] = ()
    read_transitions: bool = True

    @field_validator("families")
    @classmethod
    def _check_families(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        for name in families:
            word_family(name)
        if len({"uniform", *families}) != 1 + len(families):
            raise InputError(
                f"evaluation.families = {list(families)}: name each once, and not uniform, which "
                "is always measured"
            )
        return families

    def lengths(self) -> list[int]:
        """Positions that are recorded: every one to 64, then at most 64 more."""
        stride = max(1, -(-(self.max_length - 64) // 64))
        dense = range(1, min(self.max_length, 64) + 1)
        sparse = range(64 + stride, self.max_length + 1, stride)
        return sorted({*dense, *sparse, self.max_length})


class RunConfig(Frozen):
    """Everything that decides the numbers of one run.

    Examples
    --------
    >>> config = RunConfig.from_pairs(["task=parity", "model=diagonal", "training.steps=10"])
    >>> config.training.steps, config.run_id == RunConfig(**config.model_dump()).run_id
    (10, True)
    """

    task: TaskConfig
    model: ModelConfig
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: Whole = PydanticField(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _check_supervised_positions(self) -> Self:
        first = CURRICULA.build(self.training.curriculum).stage([], self.training.length)
        supervision = self.task.parameters.get("supervision")
        if first.supervised < first.length and supervision == "final":
            raise InputError(
                f"training.curriculum = {self.training.curriculum!r} supervises first positions, "
                "and task.supervision = 'final' asks for the last alone; use another curriculum or "
                "task.supervision=per_prefix"
            )
        return self

    @functools.cached_property
    def run_id(self) -> str:
        """Identity, 16 hexadecimal digits of the sha256 of the canonical JSON with semantics."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    def canonical_json(self) -> str:
        """JSON with sorted keys, no spaces, and the semantics of task, model and trainer.

        Values that are defaults are left out, so that a parameter added later, whose default keeps
        the old meaning, changes no identity. Where a file lies is left out; its digest is not.
        """
        semantics, places = self.task.semantics_and_places
        tree = self.model_dump(mode="json", exclude_defaults=True)
        task_defaults = _with_lists(complete_parameters(self.task.name, {})[1])
        model_defaults = dataclasses.asdict(model_entry(self.model.name).config_class())
        for part, defaults in (("task", task_defaults), ("model", model_defaults)):
            given = tree[part].pop("parameters", {})
            tree[part]["parameters"] = {
                key: value
                for key, value in given.items()
                if key not in defaults or value != defaults[key]
            }
        for name in places:
            del tree["task"]["parameters"][name]
        tree["semantics"] = {
            "task": semantics,
            "model": model_entry(self.model.name).semantics,
            "trainer": TRAINER_SEMANTICS,
        }
        return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def record_json(self) -> str:
        """JSON for a record: of a file its name, not where it lies."""
        _, places = self.task.semantics_and_places
        if not places:
            return self.model_dump_json()
        tree = self.model_dump(mode="json")
        parameters = tree["task"]["parameters"]
        parameters |= {name: PurePath(parameters[name]).name for name in places}
        return json.dumps(tree, separators=(",", ":"))

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Validate a nested mapping.

        Raises
        ------
        InputError
            One line: which key, what was expected; an unknown key names the nearest known one.
        """
        try:
            return cls.model_validate(dict(tree))
        except ValidationError as error:
            raise InputError(_first_problem(error, cls)) from None

    @classmethod
    def from_pairs(cls, pairs: Iterable[str]) -> Self:
        """Read ``key=value`` pairs such as ``task=s3 model.num_factors=2 training.steps=500``.

        Keys of `task.` and `model.` are the parameters of the task and the model named by ``task=``
        and ``model=``; values are JSON where they parse as JSON, else text. A key that is given
        again replaces its earlier value.

        Raises
        ------
        InputError
            As `from_tree`; also a pair without ``=``.
        """
        tree = _tree(pairs, cls.model_fields)
        for part in EXAMPLES:
            _require_name(tree, part)
        return cls.from_tree(tree)


EXAMPLES = {"task": "parity", "model": "diagonal"}


def _tree(pairs: Iterable[str], known: Collection[str]) -> dict[str, Any]:
    """Nested mapping of ``key=value`` pairs whose keys begin with a known name."""
    tree: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals:
            raise InputError(f"{shown(pair)}: expected key=value, such as task=s3")
        if key.partition(".")[0] not in known:
            raise unknown_name("key", key, known)
        _place(tree, key, _value(text))
    return tree


def _require_name(tree: Mapping[str, Any], part: str) -> None:
    if "name" not in tree.get(part, {}):
        raise InputError(f"no {part} given: add {part}=NAME, such as {part}={EXAMPLES[part]}")


def _place(tree: dict[str, Any], key: str, value: JsonValue) -> None:
    head, _, rest = key.partition(".")
    if head in EXAMPLES:
        branch = tree.setdefault(head, {})
        place, name = (branch.setdefault("parameters", {}), rest) if rest else (branch, "name")
    elif rest:
        place, name = tree.setdefault(head, {}), rest
    else:
        place, name = tree, head
    if not isinstance(place, dict):
        raise InputError(f"key {key!r} is given beside {head!r}, which contains it")
    place[name] = value


def _value(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text
    return value


def _first_problem(error: ValidationError, root: type[BaseModel]) -> str:
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])[:200]
    inner = problem.get("ctx", {}).get("error")
    if isinstance(inner, InputError):
        return str(inner)
    if problem["type"] == "extra_forbidden":
        branch: Any = root
        for part in problem["loc"][:-1]:
            branch = branch.model_fields[part].annotation
        prefix = ".".join(str(part) for part in problem["loc"][:-1])
        known = [f"{prefix}.{name}" if prefix else name for name in branch.model_fields]
        return str(unknown_name("key", place, known))
    value = shown(problem["input"])
    return f"{place} = {value}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
