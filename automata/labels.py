"""What drawings write on states and transitions."""

from collections.abc import Hashable

from automata.dfa import DFA

__all__ = ["edge_labels", "state_labels"]


def state_labels(dfa: DFA) -> list[str]:
    """Name every state by its number, and its output after a slash if there are outputs.

    Parameters
    ----------
    dfa : DFA

    Returns
    -------
    list of str

    Examples
    --------
    >>> state_labels(DFA([[0, 1], [1, 0]], outputs=[2, 5]))
    ['0/2', '1/5']
    """
    if dfa.outputs is None:
        return [str(state) for state in range(dfa.num_states)]
    return [f"{state}/{output}" for state, output in enumerate(dfa.outputs.tolist())]


def edge_labels(dfa: DFA) -> dict[tuple[int, int], str]:
    """Merge the transitions between the same two states into one label.

    Three or more symbols that follow each other in the alphabet become a range if all of it is
    single characters or integers.

    Parameters
    ----------
    dfa : DFA

    Returns
    -------
    dict from (source, target) to str
        In order of source, then target.

    Examples
    --------
    >>> edge_labels(DFA([[0, 1, 1], [0, 0, 0]], alphabet="abc"))
    {(0, 0): 'a', (0, 1): 'b, c', (1, 0): 'a–c'}
    """
    columns: dict[tuple[int, int], list[int]] = {}
    for state, row in enumerate(dfa.transitions.tolist()):
        for symbol, target in enumerate(row):
            columns.setdefault((state, target), []).append(symbol)
    names = [_symbol_label(symbol) for symbol in dfa.alphabet]
    is_ordered = _is_consecutive(dfa.alphabet)
    return {pair: _merged(columns[pair], names, is_ordered) for pair in sorted(columns)}


def _symbol_label(symbol: Hashable) -> str:
    """Show a symbol; blanks and what cannot be printed as Python writes them."""
    text = str(symbol)
    if text == "-" or (isinstance(symbol, int) and symbol < 0):
        return text.replace("-", "−")  # a minus sign: a hyphen is hard to see
    return text if text.strip() and text.isprintable() else repr(symbol)


def _is_consecutive(alphabet: tuple[Hashable, ...]) -> bool:
    """Whether the symbols are integers or characters one after another, so that ranges read."""
    codes = [
        symbol if isinstance(symbol, int) else ord(symbol)
        for symbol in alphabet
        if isinstance(symbol, int) or (isinstance(symbol, str) and len(symbol) == 1)
    ]
    first = codes[0] if codes else 0
    one_kind = len({type(symbol) for symbol in alphabet}) == 1
    return one_kind and codes == list(range(first, first + len(alphabet)))


def _merged(symbols: list[int], names: list[str], is_ordered: bool) -> str:
    parts: list[str] = []
    start = 0
    for end in range(1, len(symbols) + 1):
        if end < len(symbols) and symbols[end] == symbols[end - 1] + 1:
            continue
        run = [names[symbol] for symbol in symbols[start:end]]
        parts.extend([f"{run[0]}–{run[-1]}"] if is_ordered and len(run) > 2 else run)
        start = end
    return ", ".join(parts)
