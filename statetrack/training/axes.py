"""What varies in a grid: axes, and how they are put together.

`fixed`, `product` and `zipped` make an `Axes`; ``*`` combines every setting of the left with every
setting of the right, ``+`` puts one after the other, `without` leaves some out. All of them are
counted, and mistakes in them told, before anything is listed.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automata.errors import InputError, unknown_name

Settings = Mapping[str, Any]
"""Values by key, as in `RunConfig.from_pairs`."""

Rule = Settings | Callable[[Settings], bool]


@dataclass(frozen=True)
class Axes:
    """Settings in a fixed order; made by `fixed`, `product` and `zipped`.

    Attributes
    ----------
    count : int
        How many settings there are at most: what `without` leaves out is counted.
    keys : frozenset of str
        Every key that some setting has.

    Examples
    --------
    >>> models = fixed("model=diagonal") + fixed("model=mru") * product({"model.num_heads": [1, 4]})
    >>> grid = models * product({"task": ["parity", "s3"], "seed": range(3)})
    >>> grid.count
    18
    >>> [dict(settings) for settings in grid.without({"task": "parity"})][3]
    {'model': 'mru', 'model.num_heads': 1, 'task': 's3', 'seed': 0}
    """

    count: int
    keys: frozenset[str]
    _rows: Callable[[], Iterator[Settings]] = field(repr=False)

    def __iter__(self) -> Iterator[Settings]:
        """Settings, the last axis varying fastest."""
        return self._rows()

    def __mul__(self, other: "Axes") -> "Axes":
        """Every setting of this with every setting of the other, which varies faster.

        Raises
        ------
        InputError
            Both set the same key.
        """
        if not isinstance(other, Axes):
            return NotImplemented
        if twice := sorted(self.keys & other.keys):
            raise InputError(f"axis {twice[0]!r} is on both sides of a product; give it once")

        def rows() -> Iterator[Settings]:
            for left in self:
                for right in other:
                    yield {**left, **right}

        return Axes(self.count * other.count, self.keys | other.keys, rows)

    def __add__(self, other: "Axes") -> "Axes":
        """Settings of this, then those of the other."""
        if not isinstance(other, Axes):
            return NotImplemented

        def rows() -> Iterator[Settings]:
            yield from self
            yield from other

        return Axes(self.count + other.count, self.keys | other.keys, rows)

    def without(self, *rules: Rule) -> "Axes":
        """Leave settings out.

        Parameters
        ----------
        *rules : mapping of str to value or list of values, or callable
            A mapping leaves out settings that have all its values (one of a list); a callable
            those for which it returns true.

        Raises
        ------
        InputError
            A mapping is empty or names a key that no setting has.
        """
        tests = [rule if callable(rule) else self._matching(rule) for rule in rules]

        def rows() -> Iterator[Settings]:
            return (settings for settings in self if not any(test(settings) for test in tests))

        return Axes(self.count, self.keys, rows)

    def _matching(self, rule: Settings) -> Callable[[Settings], bool]:
        if not rule:
            raise InputError("an empty exclusion would leave out everything; name a key")
        for key in rule:
            if key not in self.keys:
                raise unknown_name("axis of an exclusion", key, sorted(self.keys))
        listed = {
            key: [_text(key, value) for value in _values(key, given)]
            if _is_list(given)
            else [_text(key, given)]
            for key, given in rule.items()
        }
        return lambda settings: all(
            key in settings and _text(key, settings[key]) in texts for key, texts in listed.items()
        )


def fixed(*pairs: str) -> Axes:
    """One setting, of ``key=value`` pairs; a key that is given again replaces its earlier value.

    Raises
    ------
    InputError
        No ``=`` in a pair.

    Examples
    --------
    >>> list(fixed("task=s3", "training.steps=500"))
    [{'task': 's3', 'training.steps': '500'}]
    """
    settings = {}
    for pair in pairs:
        if not isinstance(pair, str) or "=" not in pair:
            raise InputError(f"{pair!r}: expected key=value, such as task=s3")
        key, _, value = pair.partition("=")
        settings[key.strip()] = value
    return Axes(1, frozenset(settings), lambda: iter([settings]))


def product(axes: Mapping[str, Sequence[Any]]) -> Axes:
    """All combinations of the values of some keys, the last key varying fastest.

    Parameters
    ----------
    axes : mapping of str to sequence
        Lists, tuples, ranges or one-dimensional arrays.

    Raises
    ------
    InputError
        An axis has no values, or its values are no list.
    """
    values = {key: _values(key, given) for key, given in axes.items()}

    def rows(keys: tuple[str, ...]) -> Iterator[Settings]:
        if not keys:
            yield {}
            return
        for value in values[keys[0]]:
            for rest in rows(keys[1:]):
                yield {keys[0]: value, **rest}

    count = math.prod(len(one) for one in values.values())
    return Axes(count, frozenset(values), lambda: rows(tuple(values)))


def zipped(axes: Mapping[str, Sequence[Any]]) -> Axes:
    """Values of some keys side by side: the first of each, the second of each, ...

    Raises
    ------
    InputError
        Axes of unequal lengths, and as `product`.

    Examples
    --------
    >>> sizes = zipped({"training.length": [40, 128], "training.steps": [600, 6000]})
    >>> [settings["training.steps"] for settings in sizes]
    [600, 6000]
    """
    values = {key: _values(key, given) for key, given in axes.items()}
    lengths = {key: len(one) for key, one in values.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            "zipped axes have unequal lengths: "
            + ", ".join(f"{key!r} has {length}" for key, length in lengths.items())
        )
    if not values:
        raise InputError("zipped axes: name at least one")

    def rows() -> Iterator[Settings]:
        for row in zip(*values.values(), strict=True):
            yield dict(zip(values, row, strict=True))

    return Axes(next(iter(lengths.values())), frozenset(values), rows)


def pairs_of(settings: Settings) -> list[str]:
    """The ``key=value`` pairs of `RunConfig.from_pairs`.

    Examples
    --------
    >>> pairs_of({"task": "s3", "training.learning_rate": 1e-05, "training.published_rates": True})
    ['task=s3', 'training.learning_rate=1e-05', 'training.published_rates=true']

    Raises
    ------
    InputError
        A value is neither text nor something that JSON holds.
    """
    return [f"{key}={_text(key, value)}" for key, value in settings.items()]


def _text(key: str, value: Any) -> str:
    """Text as it is, which `RunConfig` reads as on the command line; other values as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        raise InputError(
            f"axis {key!r}: value {value!r} is of type {type(value).__name__}; expected text, a "
            "number, true or false, or a list of these"
        ) from None


def _is_list(given: Any) -> bool:
    return isinstance(given, list | tuple | range) or hasattr(given, "tolist")


def _values(key: str, given: Any) -> Sequence[Any]:
    """The values of an axis; a range stays one, however long."""
    if not isinstance(key, str):
        raise InputError(f"axis {key!r}: expected the name of a setting, such as 'seed'")
    if not _is_list(given):
        kind = type(given).__name__
        raise InputError(
            f"axis {key!r} is of type {kind}: expected a list, tuple, range or array of values"
        )
    listed = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(listed, list | tuple | range):
        raise InputError(f"axis {key!r} is one number: expected a list of values")
    values = listed if isinstance(listed, range) else tuple(listed)
    if not values:
        raise InputError(f"axis {key!r} has no values")
    return values
