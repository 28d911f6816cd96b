"""What theory says a model can track, computed from the algebra of the task."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from automata.dfa import DFA
from automata.errors import InputError, unknown_name
from automata.tasks import Task
from statetrack.analysis.expressivity_algebra import (
    TaskAlgebra,
    faithful_reflections,
    read_task,
)
from statetrack.analysis.expressivity_classes import (
    TransitionClass,
    name_of_config,
    transition_class,
)
from statetrack.analysis.expressivity_findings import Setting
from statetrack.analysis.expressivity_groups import num_minimal_normal
from statetrack.analysis.expressivity_matrices import (
    least_any_cover,
    oriented_size,
    reflections_upper,
)
from statetrack.analysis.expressivity_verdicts import find
from statetrack.models.config import list_models, model_config, model_label

READOUTS: Final = ("mlp", "linear")
ARITHMETICS: Final = ("exact",)
MARKS: Final = {"can": "yes", "cannot": "no", "open": "?"}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much of something a task needs.

    Attributes
    ----------
    upper_construct : int or None
        Enough for a construction; None if none is known.
    lower_faithful : int or None
        Needed if states are linearly encoded, as a linear read-out requires.
    lower_any_cover : int or None
        Needed with any read-out, also if the states are those of a larger group.
    """

    upper_construct: int | None = None
    lower_faithful: int | None = None
    lower_any_cover: int | None = None


@dataclass(frozen=True, kw_only=True)
class Expressivity:
    """What is known about one model and one task.

    Attributes
    ----------
    model, task : str
    verdict : {"can", "cannot", "open"}
    reason : str
        One sentence.
    construction : str or None
        How it can.
    source : str
        Theorem or paper.
    assumptions : mapping of str to str
        Arithmetic, read-out, generators and access to the state before.
    reflections, dimension : Bounds or None
        Householder factors per token, and dimension of a head, of one layer; for group tasks.
    layers_needed : int or None
        Layers of the construction, or of the bound that the model falls short of.
    learnability_note : str or None
        Set if more than one layer is needed.
    """

    model: str
    task: str
    verdict: str
    reason: str
    construction: str | None
    source: str
    assumptions: Mapping[str, str]
    reflections: Bounds | None
    dimension: Bounds | None
    layers_needed: int | None
    learnability_note: str | None

    def to_frame(self) -> pd.DataFrame:
        """Return one row.

        Returns
        -------
        DataFrame
            The attributes; assumptions and bounds have a column for each part.
        """
        row: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "assumptions":
                row |= {f"assumes_{key}": text for key, text in value.items()}
            elif field.name in ("reflections", "dimension"):
                parts = dataclasses.asdict(value or Bounds())
                row |= {f"{field.name}_{key}": number for key, number in parts.items()}
            else:
                row[field.name] = value
        return pd.DataFrame([row])


def predict_expressivity(
    model: Any,
    task: str | Task | DFA,
    *,
    num_layers: int | None = None,
    readout: str = "mlp",
    arithmetic: str = "exact",
    **parameters: Any,
) -> Expressivity:
    """Say whether a model can track a task at all lengths, as far as theory knows.

    Parameters
    ----------
    model : str or configuration
        A name of `list_models()`, or the configuration of such a model.
    task : str, Task or DFA
        A task with an automaton; of a DFA without outputs the states are the classes.
    num_layers : int, optional
        Instead of that of the configuration.
    readout : {"mlp", "linear"}
        What reads the state of the last layer; a linear map cannot identify states of a cover.
    arithmetic : {"exact"}
        Ends of eigenvalue ranges count as reached.
    **parameters
        Fields of the configuration, if `model` is a name.

    Returns
    -------
    Expressivity

    Raises
    ------
    InputError
        An unknown name, a value out of range, or a task without automaton.

    Notes
    -----
    "Cannot" means: no layers of the class with finitely many reachable states, on which letters act
    exactly, whatever reads them. "Can" means: there are weights, with MLPs as wide as they need be;
    it does not say that training finds them.

    Sources: Grazzi et al. 2024 (arXiv 2411.12537), Sarrof et al. 2024 (arXiv 2405.17394), Siems et
    al. 2025 (arXiv 2502.10297), Shakerinava et al. 2026 (arXiv 2603.01959), Terzic et al. 2025
    (arXiv 2509.22284).

    Examples
    --------
    >>> predict_expressivity("diagonal", "parity", eigenvalue_range="[0,1]").verdict
    'cannot'
    >>> predict_expressivity("householder", "s4", num_factors=2).verdict
    'can'
    >>> predict_expressivity("householder", "s5", num_factors=3).reflections.lower_faithful
    4
    """
    if readout not in READOUTS:
        raise unknown_name("readout", readout, READOUTS)
    if arithmetic not in ARITHMETICS:
        raise unknown_name("arithmetic", arithmetic, ARITHMETICS)
    if isinstance(model, str):
        name, config = model, model_config(model, parameters)
    else:
        name, config = name_of_config(model), model
        if parameters:
            raise InputError(
                f"parameters {', '.join(parameters)} with a configuration: give them to a name, or "
                "change the configuration"
            )
    layers = config.num_layers if num_layers is None else num_layers
    if not isinstance(layers, int) or isinstance(layers, bool) or layers < 1:
        raise InputError(f"num_layers = {layers!r}: expected a whole number >= 1")
    kind, facts = transition_class(name, config), read_task(task)
    window = config.short_convolution > 1 or getattr(config, "token_shift", False)
    setting = Setting(num_layers=layers, linear=readout == "linear", window=window)
    found = find(facts, kind, setting)
    deep = found.layers is not None and found.layers > 1
    return Expressivity(
        model=model_label(name, config),
        task=facts.name,
        verdict=found.verdict,
        reason=found.reason,
        construction=found.construction,
        source=found.source,
        assumptions={
            "arithmetic": "exact, ends of ranges reached",
            "readout": readout,
            "generators": f"{len(facts.maps)} different letters",
            "previous_state": "window of tokens" if window else "of the layer below, by its state",
        },
        reflections=_reflections(facts, kind),
        dimension=_dimension(facts, kind),
        layers_needed=found.layers,
        learnability_note=(
            "needs depth: such solutions are often not found by training (arXiv 2603.01959)"
            if deep
            else None
        ),
    )


def _reflections(facts: TaskAlgebra, kind: TransitionClass) -> Bounds | None:
    if facts.group is None or facts.group.order == 1 or kind.kind != "householder":
        return None
    if kind.lowest > -1.0 or kind.signed_decay:
        return None
    return Bounds(
        upper_construct=reflections_upper(facts, kind, linear=False),
        lower_faithful=faithful_reflections(facts),
        lower_any_cover=2 if facts.largest_letter_order >= 3 else 1,
    )


def _dimension(facts: TaskAlgebra, kind: TransitionClass) -> Bounds | None:
    if facts.group is None or facts.group.order == 1:
        return None
    if kind.kind not in ("householder", "matrix", "matrix_unit"):
        return None
    if kind.kind == "householder" and (kind.lowest > -1.0 or kind.signed_decay):
        return None
    rotations = kind.kind == "matrix_unit" and kind.method not in ("determinant", "newton_schulz")
    # A head that is a part alone has its determinant; one that is more has a dimension more.
    upper = _largest_part(facts, oriented=rotations)
    lower = _largest_part(facts, oriented=rotations and not kind.signed_decay)
    known = ("", "exponential", "qr_exponential", "determinant")
    return Bounds(
        upper_construct=upper if kind.method in known else None,
        lower_faithful=lower,
        lower_any_cover=least_any_cover(facts.group, kind, rotations=rotations),
    )


def _largest_part(facts: TaskAlgebra, *, oriented: bool) -> int:
    """Smallest size of heads, as many as needed, in which a faithful sum fits."""
    assert facts.group is not None
    sizes = [oriented_size(part) if oriented else part.dimension for part in facts.parts]
    for bound in sorted(set(sizes)):
        pairs = zip(facts.parts, sizes, strict=True)
        covered = frozenset[int]().union(*(part.covers for part, size in pairs if size <= bound))
        if len(covered) == num_minimal_normal(facts.group):
            return bound
    raise AssertionError("all parts together are faithful")


def expressivity_table(
    models: Sequence[Any] | None = None, tasks: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Ask `predict_expressivity` about every model and every task.

    Parameters
    ----------
    models : sequence, optional
        Names, configurations, or pairs of a name and its parameters; by default `standard_models`.
    tasks : sequence, optional
        As for `predict_expressivity`; by default `standard_tasks`.

    Returns
    -------
    DataFrame
        Columns model, task, verdict, reason, source; one row per pair.

    Examples
    --------
    >>> table = expressivity_table(["ffn", ("diagonal", {"eigenvalue_range": "[0,1]"})], ["parity"])
    >>> table[["model", "verdict"]].values.tolist()
    [['FFN', 'cannot'], ['diagonal [0,1]', 'cannot']]
    """
    rows = []
    for model in standard_models() if models is None else models:
        name, parameters = model if isinstance(model, tuple) else (model, {})
        for task in standard_tasks() if tasks is None else tasks:
            found = predict_expressivity(name, task, **parameters)
            rows.append((found.model, found.task, found.verdict, found.reason, found.source))
    return pd.DataFrame(rows, columns=["model", "task", "verdict", "reason", "source"])


def standard_models() -> list[tuple[str, dict[str, Any]]]:
    """Every registered model with its defaults, and with either range where it has one."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, entry in list_models().items():
        found.append((name, {}))
        default = getattr(entry.config_class(), "eigenvalue_range", "disc")
        if default == "disc":
            continue
        for text in ("[0,1]", "[-1,1]"):
            if text != (default or "[0,1]"):
                found.append((name, {"eigenvalue_range": text}))
    found.append(("householder", {"num_factors": 2}))
    found.append(("householder", {"num_factors": 4}))
    for method in ("residual", "exponential", "cayley"):
        found.append(("mru", {"input_method": method}))
    return found


def standard_tasks() -> list[str]:
    """Groups of every sort, a star-free task and a random automaton."""
    return ["parity", "z3", "z60", "s3", "s4", "a5", "s5", "flip_flop", "random_dfa"]


def expressivity_markdown(table: pd.DataFrame) -> str:
    """Lay a table out as Markdown: models by tasks, reasons as numbered notes.

    Parameters
    ----------
    table : DataFrame
        Of `expressivity_table`.

    Returns
    -------
    str

    Examples
    --------
    >>> print(expressivity_markdown(expressivity_table(["ffn"], ["parity"])))
    | model | parity |
    |---|---|
    | FFN | no [1] |
    <BLANKLINE>
    1. nothing mixes over time but for a window (no state)
    """
    tasks, notes = list(dict.fromkeys(table["task"])), dict[str, int]()
    lines = [f"| model | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for model, rows in table.groupby("model", sort=False):
        cells = {}
        for row in rows.to_dict("records"):
            note = f"{row['reason']} ({row['source']})" if row["source"] else str(row["reason"])
            number = notes.setdefault(note, len(notes) + 1)
            cells[row["task"]] = f"{MARKS[row['verdict']]} [{number}]"
        lines.append(f"| {model} | {' | '.join(cells.get(task, '') for task in tasks)} |")
    lines.append("")
    lines += [f"{number}. {note}" for note, number in notes.items()]
    return "\n".join(lines)
