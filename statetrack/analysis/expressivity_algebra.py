"""What a task is as algebra: the facts that decide which recurrence can follow it."""

import functools
import itertools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from automata.dfa import DFA
from automata.errors import InputError
from automata.finite_group import FiniteGroup
from automata.generated_group import PermutationGroup
from automata.monoids import complexity, group_divisors
from automata.tasks import Task, get_task
from statetrack.analysis.expressivity_groups import (
    MAX_ORDER,
    Group,
    Part,
    num_minimal_normal,
    parts_of,
)

MAX_LISTED: Final = 300


@dataclass(frozen=True, eq=False)
class TaskAlgebra:
    """Facts about the minimal automaton of a task.

    Parameters
    ----------
    name : str
    dfa : DFA
        Minimal, with the classes of the task as outputs.
    groups : tuple
        Every group that divides its transition monoid divides one of these.
    group : FiniteGroup or None
        The transition monoid, if it is a group of at most 720 elements.
    letters : tuple of int
        Element of every token, if there is a group.
    degree : int
        Points that the letters move in some faithful action.
    """

    name: str
    dfa: DFA
    groups: tuple[Group, ...]
    group: FiniteGroup | None
    letters: tuple[int, ...]
    degree: int

    @functools.cached_property
    def is_group(self) -> bool:
        """Whether every letter permutes the states."""
        columns = np.sort(self.dfa.transitions, axis=0)
        return bool((columns == np.arange(self.dfa.num_states)[:, None]).all())

    @property
    def is_aperiodic(self) -> bool:
        """No groups inside: the task is star-free."""
        return not self.groups

    @functools.cached_property
    def is_quasi_aperiodic(self) -> bool:
        """In AC0: groups inside count the length at most."""
        return complexity(self.dfa).label == "AC0"

    @functools.cached_property
    def maps(self) -> tuple[tuple[int, ...], ...]:
        """Distinct maps of the states that letters induce."""
        return tuple(sorted({tuple(column) for column in self.dfa.transitions.T.tolist()}))

    @functools.cached_property
    def is_combinational(self) -> bool:
        """Whether the last letter alone tells the state after it."""
        return all(len(set(one)) == 1 for one in self.maps)

    @functools.cached_property
    def reset_slots(self) -> int | None:
        """Numbers, each kept or overwritten by every letter, that determine the state; or None.

        The monoids that this allows are those with ``x x = x`` and ``x y x = y x``: the pseudo-
        variety of the flip-flop (Pin: "Varieties of formal languages", 1986), in which the order of
        the last occurrences of the letters decides.
        """
        identity = tuple(range(self.dfa.num_states))
        if all(one == identity or len(set(one)) == 1 for one in self.maps):
            return 1
        known, waiting = {identity}, [identity]
        while waiting:
            one = waiting.pop()
            for letter in self.maps:
                product = tuple(letter[state] for state in one)
                if product not in known:
                    known.add(product)
                    waiting.append(product)
            if len(known) > MAX_LISTED:
                return None
        elements = np.array(sorted(known))
        for x in elements:
            yx = x[elements]
            if not (yx[:, x] == yx).all():
                return None
        letters = len([one for one in self.maps if one != identity])
        return max(1, letters * (letters - 1) // 2)

    @functools.cached_property
    def is_definite(self) -> bool:
        """Whether the last k letters tell the state, for some k."""
        pairs = set(itertools.combinations(range(self.dfa.num_states), 2))
        if self.is_group or len(pairs) > 2000:
            return not pairs
        for _ in range(len(pairs) + 1):
            moved = {
                (min(m[p], m[q]), max(m[p], m[q]))
                for p, q in pairs
                for m in self.maps
                if m[p] != m[q]
            }
            if moved == pairs:
                return not pairs
            pairs = moved
        return not pairs

    @functools.cached_property
    def order_matters(self) -> bool:
        """Whether exchanging two letters, before a last one, changes the state."""
        transitions = self.dfa.transitions
        for a, b in itertools.combinations(self.maps, 2):
            ab, ba = np.array(b)[list(a)], np.array(a)[list(b)]
            if (transitions[ab] != transitions[ba]).any():
                return True
        return False

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """Real irreducible representations of the group."""
        assert self.group is not None
        return parts_of(self.group, self.letters)

    @functools.cached_property
    def largest_letter_order(self) -> int:
        """Order of the letter that takes longest to come back."""
        assert self.group is not None
        return max(self.group.element_order(letter) for letter in self.letters)


def read_task(task: Any) -> TaskAlgebra:
    """Facts about a task, the name of one, or an automaton whose states are the classes.

    Raises
    ------
    InputError
        Something else, or a task that no automaton defines.
    """
    if isinstance(task, str):
        task = get_task(task)
    if isinstance(task, DFA):
        task = Task.from_dfa(task)
    if not isinstance(task, Task):
        raise InputError(f"task is {task!r}: give a Task, the name of one, or a DFA")
    if task.dfa is None:
        raise InputError(
            f"task {task.name!r} has no automaton, so it is not known to be regular: give a task "
            "with a dfa"
        )
    return _read(task)


@functools.lru_cache(maxsize=256)
def _read(task: Task) -> TaskAlgebra:
    dfa: Any = task.dfa
    classes = getattr(task, "state_classes", np.arange(dfa.num_states))
    smallest = DFA(dfa.transitions, dfa.initial, outputs=classes).minimize()
    groups = group_divisors(smallest)
    facts = TaskAlgebra(task.name, smallest, groups, None, (), smallest.num_states)
    if not facts.is_group:
        return facts
    group, letters = task.group, task.token_elements
    if group is None or letters is None or group.order != smallest.num_states:
        columns = smallest.transitions.T.tolist()
        generated = PermutationGroup(columns)
        if generated.order > MAX_ORDER:
            return facts
        group = generated.to_finite_group(groups[0].name if groups else "trivial group")
        where: dict[Any, int] = {one: i for i, one in enumerate(group.elements)}
        letters = np.array([where[tuple(column)] for column in columns])
    if group.order > MAX_ORDER:
        return facts
    degree = min(smallest.num_states, _points_permuted(group) or smallest.num_states)
    return TaskAlgebra(task.name, smallest, groups, group, tuple(letters.tolist()), degree)


def _points_permuted(group: FiniteGroup) -> int | None:
    """Number of points if the elements are permutations, as those of a direct product are not."""
    first = group.elements[0]
    if not isinstance(first, tuple):
        return None
    points = set(range(len(first)))
    elements = [set(one) if isinstance(one, tuple) else set() for one in group.elements]
    return len(points) if all(one == points for one in elements) else None


def faithful_reflections(facts: TaskAlgebra) -> int:
    """Reflections that some letter needs in every faithful representation, over any heads."""
    for bound in sorted({max(part.ranks, default=0) for part in facts.parts}):
        covered = frozenset[int]().union(
            *(part.covers for part in facts.parts if max(part.ranks, default=0) <= bound)
        )
        if facts.group is not None and len(covered) == num_minimal_normal(facts.group):
            return bound
    raise AssertionError("all parts together are faithful")
