"""Can, cannot or open: one function for every kind of transitions.

"Cannot" is always a theorem about layers whose reachable states are finite in number, on which
letters act exactly (or, where it says so, about all layers of the kind). "Can" is a construction
with ends of ranges attained and MLPs as wide as they need be. What neither covers is open.
"""

from collections.abc import Callable
from typing import Final

from statetrack.analysis.expressivity_algebra import TaskAlgebra
from statetrack.analysis.expressivity_classes import TransitionClass
from statetrack.analysis.expressivity_findings import (
    COMMUTING,
    INVERTIBLE,
    LEMMA_4,
    LENGTH,
    Finding,
    Setting,
    aperiodic_bound,
    by_memory,
    can,
    cannot,
    open_question,
    star_free_open,
)
from statetrack.analysis.expressivity_groups import fits, frattini_length, num_minimal_normal
from statetrack.analysis.expressivity_matrices import householder, matrix, matrix_unit


def find(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    """Apply the theorem for the kind of transitions."""
    if facts.is_combinational:
        return can("the last token alone tells the class", "residual stream", "no memory", 0)
    return _RULES[kind.kind](facts, kind, setting)


def _two_group_depth(facts: TaskAlgebra) -> int | None:
    """Layers of signs that the groups inside need; None if no number is enough."""
    depth = 0
    for group in facts.groups:
        length = frattini_length(group)
        if length is None:
            if group.order & (group.order - 1) == 0:
                # A 2-group that is not listed: it needs at least one layer.
                length = 1
            else:
                return None
        depth = max(depth, length)
    return depth


def _room(facts: TaskAlgebra, channels: int, size: int) -> bool:
    """Whether channels, of so many real numbers each, are enough for the construction."""
    assert facts.group is not None
    if facts.group.is_abelian and fits(
        facts.parts, num_minimal_normal(facts.group), channels, size
    ):
        return True
    return facts.group.order.bit_length() - 1 <= channels


def _real_diagonal(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    if kind.lowest > -1.0:
        bound = aperiodic_bound(facts)
        if bound is not None:
            return bound
    if facts.is_aperiodic:
        return by_memory(facts, kind, setting, kind.heads) or star_free_open(setting.num_layers)
    depth = _two_group_depth(facts)
    if depth is None:
        return cannot(
            "real signs give 2-groups only at any depth; a group in it is no 2-group", LEMMA_4
        )
    if depth > setting.num_layers:
        return cannot(
            f"L layers of signs give Frattini length L; a group in it has {depth}", LEMMA_4, depth
        )
    if facts.group is None:
        return open_question("the task has erasing letters beside groups that signs can follow")
    if kind.highest < 1.0 or not _room(facts, kind.heads, 1):
        return open_question("too small a range or too few channels for the construction")
    return can("layers of signs follow its Frattini series", LEMMA_4, "signs by layer", depth)


def _complex_diagonal(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    lengths = [group.derived_length for group in facts.groups]
    if any(length is None for length in lengths):
        return cannot("commuting transitions give solvable groups only at any depth", COMMUTING)
    depth = max([length for length in lengths if length is not None], default=0)
    if depth > setting.num_layers:
        return cannot(
            f"L commuting layers give derived length L; a group in it has {depth}",
            COMMUTING,
            depth,
        )
    if kind.invertible and setting.one_layer and not facts.is_group:
        return cannot("no letter can erase: transitions are invertible", INVERTIBLE)
    if facts.is_aperiodic:
        return by_memory(facts, kind, setting, kind.heads) or star_free_open(setting.num_layers)
    if facts.group is None:
        return open_question("the task has erasing letters beside groups that rotations can follow")
    if kind.highest < 1.0 or not _room(facts, kind.heads, 2):
        return open_question("too small a range or too few channels for the construction")
    return can(
        "rotations, layer by layer, follow its derived series", COMMUTING, "derived series", depth
    )


def _fixed(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    if not facts.is_quasi_aperiodic:
        return cannot(
            "one transition for all tokens counts the length at most, and the task counts more",
            f"Lemma 7; {LENGTH}",
        )
    if kind.method == "window" and facts.is_definite and not setting.linear:
        return can(
            "the last few letters tell the state, and a decay of 1/k writes them as digits",
            "digits of a decaying sum",
            "window of letters as digits",
        )
    return open_question("within AC0, so not excluded; no construction is known here", LENGTH)


def _sum(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    bound = aperiodic_bound(facts)
    if bound is not None:
        return bound
    if setting.one_layer and facts.order_matters:
        return cannot(
            "a sum does not see the order of earlier letters, which matters here",
            "addition commutes (also with infinitely many states)",
        )
    return open_question("star-free; what sums without forgetting follow is not known here")


def _one_hot(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    source = "Terzic et al. 2025, arXiv 2509.22284"
    enough = kind.dictionary is None or len(facts.maps) <= kind.dictionary
    keeps = kind.highest >= 1.0
    if enough and keeps and facts.degree <= kind.size:
        return can("one state of the layer per state or point", source, "column-one-hot maps")
    channels = TransitionClass(
        kind="complex_diagonal" if kind.method == "complex" else "real_diagonal",
        heads=kind.heads * kind.size,
        lowest=kind.lowest,
        highest=kind.highest,
    )
    found = find(facts, channels, setting)
    if found.verdict == "can":
        return found
    return open_question(
        f"{facts.degree} states or points and {len(facts.maps)} different letters against order "
        f"{kind.size} and {kind.dictionary} matrices to mix: too small for the known construction",
        source,
    )


def _nonlinear(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    states = facts.dfa.num_states
    needed = min(states * len(facts.maps), states * states)
    if needed <= kind.size:
        return can(
            "one unit per pair of a state and a letter", "Minsky 1967; Siegelmann 1996", "one-hot"
        )
    return open_question(
        f"any automaton, given enough units; {kind.size} are fewer than the {needed} of the known "
        "construction",
        "Minsky 1967; Siegelmann 1996",
    )


def _memoryless(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    if setting.window and facts.is_aperiodic:
        return open_question("star-free; whether the window holds all letters that matter")
    return cannot("nothing mixes over time but for a window", "no state")


def _attention(facts: TaskAlgebra, kind: TransitionClass, setting: Setting) -> Finding:
    return open_question(
        "fixed depth with bounded precision lies in TC0; no unconditional bound is applied here",
        "Merrill and Sabharwal 2023, arXiv 2207.00729",
    )


_RULES: Final[dict[str, Callable[[TaskAlgebra, TransitionClass, Setting], Finding]]] = {
    "attention": _attention,
    "complex_diagonal": _complex_diagonal,
    "fixed": _fixed,
    "householder": householder,
    "matrix": matrix,
    "matrix_unit": matrix_unit,
    "memoryless": _memoryless,
    "nonlinear": _nonlinear,
    "one_hot": _one_hot,
    "rank_one": householder,
    "real_diagonal": _real_diagonal,
    "sum": _sum,
}
