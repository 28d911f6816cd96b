"""What tests of file formats share: an automaton, and texts that were changed at random."""

from automata.dfa import DFA

EVEN = DFA([[0, 1], [1, 0]], accepting=[0], alphabet="ab")


FRAGMENTS = [
    *'0123456789-+.,:[]{}"\\/ \t\n\r\0eEé٣',
    "null",
    "true",
    "NaN",
    "<eps>",
    "99999999999999999999",
    "1e999",
    '"initial": 0, ',
    "[[[[",
    "0 0 a\n",
    "\ufeff",
    "\U0001f600",
]


def mutated(text, rng):
    """Cut, copy, swap and insert at random, one to four times."""
    for _ in range(rng.randint(1, 4)):
        start, end = sorted(rng.choices(range(len(text) + 1), k=2))
        end = min(end, start + rng.choice([1, 1, 2, 8, 1000]))
        piece = text[start:end]
        new = rng.choice(["", rng.choice(FRAGMENTS), piece * 2, piece * 50, piece[::-1], "7"])
        text = text[:start] + new + text[end:]
    return text
