"""Regular expressions: reading them, with errors that point at the position."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Final, NoReturn

from automata.errors import InputError
from automata.files import MAX_SYMBOLS
from automata.thompson import Instruction, Operator, build_automaton
from automata.validation import BoolArray, IntArray

__all__ = [
    "MAX_EXPRESSION_LENGTH",
    "MAX_INSTRUCTIONS",
    "compile_expression",
    "parse_expression",
    "read_characters",
]

MAX_EXPRESSION_LENGTH: Final = 2**16
MAX_INSTRUCTIONS: Final = 2**17
MAX_COMPARED: Final = 2**22
BOUNDS: Final[dict[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def compile_expression(expression: str, alphabet: Iterable[str]) -> tuple[IntArray, BoolArray]:
    """Build a deterministic automaton for the words that an expression describes.

    Parameters
    ----------
    expression : str
        In the grammar of `parse_expression`.
    alphabet : iterable of str
        Single characters, distinct, at least one.

    Returns
    -------
    transitions : ndarray of int64, [num_states, num_symbols]
        State 0 is initial; not minimal.
    accepting : ndarray of bool, [num_states]

    Raises
    ------
    InputError
        On bad syntax, with the position; if a limit is passed.

    Examples
    --------
    >>> table, accepting = compile_expression("ab", "ab")
    >>> table.tolist(), accepting.tolist()
    ([[1, 2], [2, 3], [2, 2], [2, 2]], [False, False, False, True])
    """
    symbols = read_characters(alphabet)
    return build_automaton(parse_expression(expression, symbols), len(symbols))


def read_characters(alphabet: Iterable[str]) -> tuple[str, ...]:
    """Check an alphabet whose symbols are single characters.

    Parameters
    ----------
    alphabet : iterable of str

    Returns
    -------
    tuple of str

    Raises
    ------
    InputError
        If it is empty, repeats a symbol, holds anything but single characters, or more than
        `MAX_SYMBOLS`.

    Examples
    --------
    >>> read_characters("ab")
    ('a', 'b')
    """
    if not isinstance(alphabet, Iterable):
        raise InputError(f"alphabet is {alphabet!r}: give the characters, such as 'ab'")
    symbols = tuple(itertools.islice(alphabet, MAX_SYMBOLS + 1))
    if not 1 <= len(symbols) <= MAX_SYMBOLS:
        size = "more symbols than that" if symbols else "no symbols"
        raise InputError(f"alphabet has {size}: give from 1 to {MAX_SYMBOLS} characters")
    for symbol in symbols:
        if not isinstance(symbol, str) or len(symbol) != 1:
            raise InputError(
                f"alphabet holds {symbol!r}: expressions are over single characters, such as 'ab'"
            )
    if len(set(symbols)) != len(symbols):
        raise InputError(f"alphabet {symbols!r} repeats a symbol: give distinct ones")
    return symbols


def parse_expression(expression: str, alphabet: tuple[str, ...]) -> list[Instruction]:
    r"""Read a regular expression into postfix order.

    ============ ====================================================================
    ``a``        the character, which must be in the alphabet
    ``xy``       concatenation
    ``x|y``      either; binds weakest
    ``x*``       any number of times; likewise ``x+`` (at least once), ``x?`` (at most once)
    ``x{m,n}``   between m and n times; likewise ``x{m}`` and ``x{m,}``
    ``()``       the empty word
    ``.``        any symbol
    ``[ab]``     any one of these; ``[^ab]`` any other; ``[a-d]`` those of the alphabet whose
                 code points lie in the range; ``[]`` none, so the empty language
    ``\.``       a special character itself
    ============ ====================================================================

    Whole words are matched; there are no anchors, and blanks are characters like any other.

    Parameters
    ----------
    expression : str
    alphabet : tuple of str
        Single characters.

    Returns
    -------
    list of Operator or tuple of int
        Operands before their operator; a tuple reads any one of its symbols.

    Raises
    ------
    InputError
        On bad syntax, with the position (from 0); on expressions of more than
        `MAX_EXPRESSION_LENGTH` characters, or more than `MAX_INSTRUCTIONS` instructions once
        repetitions are written out.

    Examples
    --------
    >>> parse_expression("ab*", ("a", "b"))
    [(0,), (1,), <Operator.STAR: 4>, <Operator.CONCATENATE: 2>]
    >>> parse_expression("a(b", ("a", "b"))
    Traceback (most recent call last):
    ...
    automata.errors.InputError: expression 'a(b', position 1: this '(' is never closed
    """
    if not isinstance(expression, str):
        raise InputError(f"the expression is {expression!r}: give a str")
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise InputError(
            f"the expression has {len(expression)} characters: give at most {MAX_EXPRESSION_LENGTH}"
        )
    return _Parser(expression, alphabet).parse()


@dataclasses.dataclass
class _Group:
    """A group that is still open: where it starts, and what it holds so far."""

    position: int
    start: int  # in the code, as are the factors of the current alternative
    factors: list[int] = dataclasses.field(default_factory=list)
    alternatives: int = 0


class _Parser:
    """Reads from left to right with a stack of its own, so that depth costs no recursion."""

    def __init__(self, expression: str, alphabet: tuple[str, ...]) -> None:
        self.text = expression
        self.position = 0
        self.alphabet = alphabet
        self.index = {symbol: index for index, symbol in enumerate(alphabet)}
        self.every_symbol = tuple(range(len(alphabet)))
        self.code: list[Instruction] = []
        self.num_compared = 0
        self.groups = [_Group(position=-1, start=0)]

    def parse(self) -> list[Instruction]:
        """Read the whole text."""
        while self.position < len(self.text):
            self.read_one()
        if len(self.groups) > 1:
            self.fail("this '(' is never closed", self.groups[-1].position)
        self.close_group(self.position)
        return self.code

    def read_one(self) -> None:
        """Read one atom, operator or bracket at the current position."""
        here = self.position
        character = self.text[here]
        self.position += 1
        if character == "(" and self.text.startswith(")", self.position):
            self.position += 1
            self.operand(Operator.EMPTY_WORD, here)
        elif character == "(":
            self.groups.append(_Group(here, len(self.code)))
        elif character == ")":
            if len(self.groups) == 1:
                self.fail(f"this ')' closes nothing{self.cure(')')}", here)
            self.close_group(here)
            start = self.groups.pop().start
            self.groups[-1].factors.append(start)
        elif character == "|":
            self.close_alternative(here)
        elif character in BOUNDS:
            self.repeat(*BOUNDS[character], here)
        elif character == "{":
            self.repeat(*self.read_bounds(here), here)
        elif character == ".":
            self.operand(self.every_symbol, here)
        elif character == "[":
            self.operand(self.read_class(here), here)
        elif character in "]}":
            self.fail(f"this {character!r} closes nothing{self.cure(character)}", here)
        else:
            self.position = here
            self.operand((self.index_of(*self.read_character()),), here)

    def operand(self, instruction: Instruction, position: int) -> None:
        """Append a factor of one instruction."""
        self.groups[-1].factors.append(len(self.code))
        self.emit([instruction], 1, position)

    def emit(self, code: list[Instruction], times: int, position: int) -> None:
        """Append code, after a look at what the whole comes to."""
        if len(self.code) + times * len(code) > MAX_INSTRUCTIONS:
            self.fail(
                f"written out, the expression has more than {MAX_INSTRUCTIONS} instructions: "
                "repeat fewer times",
                position,
            )
        self.code.extend(code * times)

    def close_alternative(self, position: int) -> None:
        """Join the factors of the current alternative."""
        group = self.groups[-1]
        if not group.factors:
            self.fail("nothing stands before this; write () for the empty word", position)
        self.emit([Operator.CONCATENATE], len(group.factors) - 1, position)
        group.factors = []
        group.alternatives += 1

    def close_group(self, position: int) -> None:
        """Join the alternatives of the innermost group."""
        self.close_alternative(position)
        self.emit([Operator.ALTERNATE], self.groups[-1].alternatives - 1, position)

    def repeat(self, minimum: int, maximum: int | None, position: int) -> None:
        """Write the last factor out: `minimum` times, and then what may still follow."""
        factors = self.groups[-1].factors
        if not factors:
            self.fail(
                f"nothing stands before this {self.text[position]!r} that it could repeat"
                f"{self.cure(self.text[position])}",
                position,
            )
        if maximum == 0:
            del self.code[factors[-1] :]
            self.emit([Operator.EMPTY_WORD], 1, position)
            return
        copies = max(minimum, 1) if maximum is None else maximum
        if copies > 1:
            self.emit(self.code[factors[-1] :], copies - 1, position)
        if maximum is None:
            self.emit([Operator.PLUS if minimum else Operator.STAR], 1, position)
            minimum = copies
        elif maximum > minimum:
            # x{0,3} is (x(xx?)?)?: each copy is tried only where the one before was read.
            self.emit([Operator.OPTIONAL], 1, position)
            nested: list[Instruction] = [Operator.CONCATENATE, Operator.OPTIONAL]
            self.emit(nested, maximum - minimum - 1, position)
            minimum += 1
        self.emit([Operator.CONCATENATE], minimum - 1, position)

    def read_bounds(self, opened: int) -> tuple[int, int | None]:
        """Read ``m}``, ``m,}`` or ``m,n}``."""
        end = self.text.find("}", self.position, self.position + 16)
        first, comma, last = self.text[self.position : max(end, self.position)].partition(",")
        is_number = [text.isascii() and text.isdigit() for text in (first, last)]
        if not is_number[0] or not (is_number[1] or last == ""):
            self.fail(f"give {{m}}, {{m,}} or {{m,n}} with numbers{self.cure('{')}", opened)
        self.position = end + 1
        minimum = int(first)
        if not comma:
            return minimum, minimum
        if not last:
            return minimum, None
        if int(last) < minimum:
            self.fail(f"{{{first},{last}}} ends before it starts: give {{m,n}}, m <= n", opened)
        return minimum, int(last)

    def read_class(self, opened: int) -> tuple[int, ...]:
        """Read what follows a ``[``, up to its ``]``."""
        negated = self.text.startswith("^", self.position)
        self.position += negated
        chosen: set[int] = set()
        while not self.text.startswith("]", self.position):
            if self.position >= len(self.text):
                self.fail(f"this '[' is never closed{self.cure('[')}", opened)
            first, position = self.read_character()
            is_range = self.text.startswith("-", self.position) and not self.text.startswith(
                "-]", self.position
            )
            if not is_range or self.position + 1 >= len(self.text):
                chosen.add(self.index_of(first, position))
                continue
            self.position += 1
            last, _ = self.read_character()
            self.look_at_alphabet(position)
            inside = [i for i, symbol in enumerate(self.alphabet) if first <= symbol <= last]
            if not inside:
                self.fail(f"no symbol of the alphabet lies in {first!r}-{last!r}", position)
            chosen.update(inside)
        self.position += 1
        self.look_at_alphabet(opened)
        return tuple(i for i in self.every_symbol if (i in chosen) != negated)

    def look_at_alphabet(self, position: int) -> None:
        """Count the symbols that character classes have been compared with."""
        self.num_compared += len(self.alphabet)
        if self.num_compared > MAX_COMPARED:
            self.fail(
                f"the classes so far compare more than {MAX_COMPARED} symbols: write fewer classes",
                position,
            )

    def read_character(self) -> tuple[str, int]:
        """Read one character, perhaps escaped; return it and where it stands."""
        here = self.position
        character = self.text[here]
        self.position += 1
        if character != "\\":
            return character, here
        if self.position == len(self.text):
            self.fail("nothing follows this '\\'; write '\\\\' for itself", here)
        escaped = self.text[self.position]
        if escaped.isalnum():
            self.fail(f"there is no escape '\\{escaped}': only special characters need one", here)
        self.position += 1
        return escaped, here

    def index_of(self, character: str, position: int) -> int:
        """Look a character up."""
        if character not in self.index:
            shown = ", ".join(repr(symbol) for symbol in self.alphabet[:12])
            more = ", ..." if len(self.alphabet) > 12 else ""
            self.fail(f"symbol {character!r} is not in the alphabet ({shown}{more})", position)
        return self.index[character]

    def cure(self, character: str) -> str:
        """Say how to write a special character, if it is in the alphabet."""
        return f"; write '\\{character}' for itself" if character in self.index else ""

    def fail(self, problem: str, position: int) -> NoReturn:
        """Raise the error, with the part of the expression around the position."""
        start = max(0, position - 30) if len(self.text) > 60 else 0
        shown = self.text[start : start + 60]
        left, right = "..." * (start > 0), "..." * (start + 60 < len(self.text))
        raise InputError(f"expression {left}{shown!r}{right}, position {position}: {problem}")
