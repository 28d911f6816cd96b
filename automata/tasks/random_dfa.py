"""Tracking the state of a random automaton."""

from typing import Final

from automata import sampling
from automata.errors import unknown_name
from automata.stratified import ALGEBRAIC_CLASSES, stratified_dfa
from automata.tasks.automaton_task import AutomatonTask
from automata.tasks.published import published_versions
from automata.tasks.task import Task

__all__ = ["random_dfa"]

_SEMANTICS: Final = 2


def random_dfa(
    *,
    num_states: int = 8,
    num_symbols: int = 2,
    seed: int = 0,
    kind: str = "stratified",
    supervision: str = "per_prefix",
) -> Task:
    """Track the state of a random automaton; by default its algebraic class is drawn first.

    Parameters
    ----------
    num_states, num_symbols : int
    seed : int
        Which automaton; the seed of the words is given to `Task.sample`.
    kind : str
        ``stratified`` draws one of `automata.stratified.ALGEBRAIC_CLASSES`, each equally likely as
        far as it exists at this size; the name of a class draws from that class; any kind of
        `automata.sampling.random_dfa` without further parameters gives that law.
    supervision : {"per_prefix", "final", "membership"}
        See `Task`.

    Returns
    -------
    Task
        ``facts`` and the card tell the kind and, where the construction knows it, the algebraic
        class.

    See Also
    --------
    automata.stratified : the classes, and why a uniform random automaton is a weak test.
    automata.sampling.random_dfa : the other laws.

    Notes
    -----
    "Random state machines" of Ebrahimi and Memisevic (2025) are uniform complete tables, not all
    of whose states need be reached; RegBench (Akyürek et al. 2024) is ``kind="regbench"`` here,
    seen letter by letter instead of as prompts (task ``in_context_dfa``).

    Examples
    --------
    >>> task = random_dfa(num_states=5, num_symbols=3, seed=1)
    >>> task
    Task(random_dfa, num_tokens=3, num_classes=5, supervision='per_prefix')
    >>> task.facts["kind"], task.facts["algebraic_class"]
    ('stratified', 'r_trivial')
    """
    facts = {"kind": kind, **published_versions(random_dfa)}
    if kind == "stratified" or kind in ALGEBRAIC_CLASSES:
        chosen = None if kind == "stratified" else kind
        draw = stratified_dfa(num_states, num_symbols, seed, algebraic_class=chosen)
        dfa = draw.dfa
        facts["algebraic_class"] = draw.algebraic_class
    elif kind in sampling.KINDS:
        dfa = sampling.random_dfa(num_states, num_symbols, seed=seed, kind=kind)
    else:
        valid = ("stratified", *dict.fromkeys((*ALGEBRAIC_CLASSES, *sampling.KINDS)))
        raise unknown_name("kind of random DFA", kind, valid)
    return AutomatonTask("random_dfa", dfa, supervision, semantics=_SEMANTICS, facts=facts)
