"""Automata as text for Graphviz."""

from automata.dfa import DFA
from automata.labels import edge_labels, state_labels

__all__ = ["to_dot"]


def to_dot(dfa: DFA, name: str = "automaton", rankdir: str = "LR") -> str:
    """Write an automaton in the DOT language.

    Accepting states have two circles, an arrow without a source points to the initial state, and
    transitions between the same states share one arrow. Outputs follow the state's number after a
    slash.

    Parameters
    ----------
    dfa : DFA
    name : str
        Of the graph.
    rankdir : str
        Where the layers go: ``"LR"``, ``"TB"``, ``"RL"`` or ``"BT"``.

    Returns
    -------
    str
        Names and labels are quoted, whatever they hold.

    Examples
    --------
    >>> print(to_dot(DFA([[0, 1], [1, 0]], accepting=[1], alphabet="ab")))
    digraph "automaton" {
      rankdir="LR";
      node [shape=circle];
      start [shape=point, style=invis];
      start -> 0;
      0 [label="0"];
      1 [label="1", shape=doublecircle];
      0 -> 0 [label="a"];
      0 -> 1 [label="b"];
      1 -> 0 [label="b"];
      1 -> 1 [label="a"];
    }
    """
    lines = [
        f"digraph {_quoted(name)} {{",
        f"  rankdir={_quoted(rankdir)};",
        "  node [shape=circle];",
        "  start [shape=point, style=invis];",
        f"  start -> {dfa.initial};",
    ]
    for state, label in enumerate(state_labels(dfa)):
        shape = ", shape=doublecircle" if dfa.accepting[state] else ""
        lines.append(f"  {state} [label={_quoted(label)}{shape}];")
    for (source, target), label in edge_labels(dfa).items():
        lines.append(f"  {source} -> {target} [label={_quoted(label)}];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    """Quote text so that DOT shows it as it is."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\r", "").replace("\n", "\\n").replace("\0", "") + '"'
