"""Small objects that a configuration names by text, such as ``doubling(start=4)``."""

import dataclasses
import json
import math
import re
from typing import Any, Generic, TypeVar

from automata.errors import InputError, unknown_name

Made = TypeVar("Made")

MAX_TEXT = 500
MAX_WHOLE = 2**53


class NamedObjects(Generic[Made]):
    """Frozen dataclasses by name, built from text and written back as text.

    Parameters
    ----------
    what : str
        What they are, in messages: "curriculum".

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Every:
    ...     count: int = 10
    >>> rules = NamedObjects("rule")
    >>> rules.register("every", Every)
    >>> rules.build("every(count=5)")
    Every(count=5)
    >>> rules.canonical("every( count = 10 )")
    'every'
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._classes: dict[str, type[Made]] = {}

    def register(self, name: str, made: type[Made]) -> None:
        """Make a class known by name, from this package or from outside.

        Parameters
        ----------
        name : str
            Lower-case letters, digits and underscores.
        made : type
            Frozen dataclass whose fields are numbers or text and have defaults; it refuses bad
            values with `InputError`.

        Raises
        ------
        InputError
            The name is taken or cannot be written, or `made` is not a dataclass.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise InputError(f"{self.what} {name!r}: use lower-case letters, digits, underscores")
        if name in self._classes:
            raise InputError(f"{self.what} {name!r} is registered already; choose another name")
        if not dataclasses.is_dataclass(made):
            raise InputError(f"{self.what} {name!r}: expected a dataclass, got {made!r}")
        self._classes[name] = made

    def names(self) -> list[str]:
        """Known names, sorted."""
        return sorted(self._classes)

    def build(self, text: str) -> Made:
        """Make the object that a text names.

        Raises
        ------
        InputError
            Text that cannot be read, an unknown name or parameter (the message gives the nearest),
            or a bad value.
        """
        name, given = self._read(text)
        return self._classes[name](**given)

    def canonical(self, text: str) -> str:
        """The one way to write an object: its name and what differs from the defaults."""
        name, _ = self._read(text)
        made: Any = self.build(text)
        changed = [
            f"{field.name}={json.dumps(getattr(made, field.name))}"
            for field in dataclasses.fields(made)
            if getattr(made, field.name) != field.default
        ]
        return f"{name}({', '.join(changed)})" if changed else name

    def _read(self, text: str) -> tuple[str, dict[str, Any]]:
        match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text[:MAX_TEXT])
        if match is None or len(text) > MAX_TEXT:
            shown = text[:MAX_TEXT]
            raise InputError(f"{self.what} {shown!r}: expected a name or name(key=value, ...)")
        name, inside = match[1], match[2] or ""
        if name not in self._classes:
            raise unknown_name(self.what, name, self.names())
        fields: dict[str, dataclasses.Field[Any]] = {
            field.name: field
            for field in dataclasses.fields(self._classes[name])  # type: ignore[arg-type]
        }
        given: dict[str, Any] = {}
        for part in filter(str.strip, inside.split(",")):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise InputError(f"{self.what} {text!r}: {part.strip()!r} is no key=value")
            if key not in fields:
                raise unknown_name(f"parameter of {self.what} {name!r}", key, list(fields))
            given[key] = self._value(text, key, value, fields[key].default)
        return name, given

    def _value(self, text: str, key: str, value: str, default: Any) -> Any:
        """A number of the default's type, or text."""
        if isinstance(default, str):
            plain = value.strip("\"'")
            if not re.fullmatch(r"[A-Za-z0-9_.+/ -]*", plain):
                raise InputError(
                    f"{self.what} {text!r}: {key} = {value}: expected letters, digits, '_.+/-'"
                )
            return plain
        try:
            number = float(value) if isinstance(default, float) else int(value)
        except ValueError:
            number = math.nan
        is_whole = isinstance(number, int)
        if abs(number) > MAX_WHOLE if is_whole else not math.isfinite(number):
            expected = "a number" if isinstance(default, float) else "a whole number"
            raise InputError(f"{self.what} {text!r}: {key} = {value}: expected {expected}")
        return number
