"""Triton's interpreter without what it repeats: the same results, sooner.

At every launch, and at every call of a function inside a kernel, it looks through the whole
language for what it has to replace. What there is to replace never changes: once is enough.
"""

import functools
import inspect
import sys
from typing import Any


@functools.cache
def builtins_of(package: Any) -> list[tuple[str, Any]]:
    """Names and members that the interpreter replaces; asked for before it has."""
    from triton import language

    return [
        (name, member)
        for name, member in inspect.getmembers(package)
        if language.core.is_builtin(member)
    ]


def look_once() -> None:
    """Let the interpreter remember; nothing where none is imported, or one with other insides."""
    interpreter: Any = sys.modules.get("triton.runtime.interpreter")
    search = getattr(interpreter, "_patch_builtin", None)
    if search is None or list(inspect.signature(search).parameters) != ["pkg", "builder", "scope"]:
        return

    def replace_all(pkg: Any, its_builder: Any, scope: Any) -> None:
        found = builtins_of(pkg)
        if found and getattr(pkg, found[0][0]) is not found[0][1]:
            return  # inside a kernel: all are replaced already
        for name, member in found:
            interpreter._patch_attr(pkg, name, member, its_builder, scope)

    interpreter._patch_builtin = replace_all  # another signature: only once
