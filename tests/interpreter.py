"""Triton's interpreter without what it repeats: the same results, in a third of the time.

It runs a kernel operation by operation, and around each builds types, shapes and constants that it
has built before. What it builds is never changed, so one of a kind is enough. It also looks through
the whole language for what to replace at every call of a function inside a kernel.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

# Others may have other insides: there the interpreter stays as it is.
KNOWN_VERSIONS = ("3.7.1",)

Replacement = tuple[Any, str, Any]


@cache
def is_known() -> bool:
    try:
        return version("triton") in KNOWN_VERSIONS
    except PackageNotFoundError:
        return False


def hasten() -> None:
    """Let the interpreter remember; nothing where no kernel runs in it or its insides differ."""
    if os.environ.get("TRITON_INTERPRET") == "1" and "torch" in sys.modules and is_known():
        originals()  # noted before any is replaced
        for owner, name, quick in replacements():
            setattr(owner, name, quick)


@contextmanager
def as_it_comes() -> Iterator[None]:
    """The interpreter as Triton has it, for a while."""
    for owner, name, plain in originals():
        setattr(owner, name, plain)
    try:
        yield
    finally:
        hasten()


@cache
def replacements() -> list[Replacement]:
    return [*_of_patching(), *_of_types(), *_of_operations()]


@cache
def originals() -> list[Replacement]:
    """What Triton has in the places of `replacements`."""
    return [(owner, name, getattr(owner, name)) for owner, name, _ in replacements()]


def _of_patching() -> list[Replacement]:
    """Replace the language by its interpreted twin at a launch, not at every call inside it."""
    from triton import language
    from triton.runtime import interpreter

    patch_all = interpreter._patch_lang
    twins: dict[Any, list[Any]] = {}

    @cache
    def builtins_of(package: Any) -> list[tuple[str, Any]]:
        members = inspect.getmembers(package)
        return [(name, one) for name, one in members if language.core.is_builtin(one)]

    def is_patched(package: Any) -> bool:
        found = builtins_of(package)
        return bool(found) and getattr(package, found[0][0]) is not found[0][1]

    def patch_builtins(pkg: Any, builder: Any, scope: Any) -> None:
        if not is_patched(pkg):
            for name, member in builtins_of(pkg):
                scope.set_attr(pkg, name, with_semantic(member))

    def with_semantic(member: Callable[..., Any]) -> Callable[..., Any]:
        semantic = interpreter.interpreter_semantic

        def call(*args: Any, **kwargs: Any) -> Any:
            kwargs["_semantic"] = semantic
            return member(*args, **kwargs)

        return call

    def patch(fn: Any) -> Any:
        if fn not in twins:
            known = (language, language.core)
            twins[fn] = [one for one in known if one in _modules(fn.__globals__)]
        if twins[fn] and all(is_patched(one) for one in twins[fn]):
            return interpreter._LangPatchScope()
        return patch_all(fn)

    for package in (language, language.core, language.tensor, language.math):
        builtins_of(package)  # asked for before the interpreter has replaced any
    builtins_of(language.core.tensor_descriptor_base)
    return [(interpreter, "_patch_builtin", patch_builtins), (interpreter, "_patch_lang", patch)]


def _modules(scope: dict[str, Any]) -> list[Any]:
    return [value for value in scope.values() if inspect.ismodule(value)]


def _of_types() -> list[Replacement]:
    """One shape, its constants and its NumPy type of a kind."""
    from triton.language import core
    from triton.runtime import interpreter

    make_block_type, compare, unwrap_any = (
        core.block_type.__init__,
        core.dtype.__eq__,
        core._unwrap_if_constexpr,
    )
    numpy_dtype_of = interpreter._get_np_dtype
    blocks: dict[Any, tuple[Any, int, str]] = {}
    constants: dict[Any, tuple[Any, Any]] = {}
    numpy_dtypes: dict[Any, Any] = {}
    collections = (list, tuple, core.tuple)

    def unwrap(o: Any) -> Any:
        if isinstance(o, core.constexpr):
            return o.value
        return unwrap_any(o) if isinstance(o, collections) else o

    def block_type(self: Any, element_ty: Any, shape: Any) -> None:
        key = (element_ty.name, *[unwrap(size) for size in shape])
        if key not in blocks:
            make_block_type(self, element_ty, shape)
            blocks[key] = (self.shape, self.numel, self.name)
        self.element_ty = element_ty
        self.shape, self.numel, self.name = blocks[key]

    def tensor(self: Any, handle: Any, type: Any) -> None:
        sizes = tuple(type.shape.values) if type.is_block() else ()
        if sizes not in constants:
            make_tensor(self, handle, type)
            constants[sizes] = (self.shape, self.numel)
        self.handle, self.type, self.dtype = handle, type, type.scalar
        self.shape, self.numel = constants[sizes]

    make_tensor = core.tensor.__init__

    def equal(self: Any, other: Any) -> bool:
        return self is other or compare(self, other)

    def numpy_dtype(tt_dtype: Any) -> Any:
        key = (type(tt_dtype), tt_dtype.name)
        if key not in numpy_dtypes:
            numpy_dtypes[key] = numpy_dtype_of(tt_dtype)
        return numpy_dtypes[key]

    return [
        (core, "_unwrap_if_constexpr", unwrap),
        (core.block_type, "__init__", block_type),
        (core.tensor, "__init__", tensor),
        (core.dtype, "__eq__", equal),
        (interpreter, "_get_np_dtype", numpy_dtype),
    ]


def _of_operations() -> list[Replacement]:
    """Nothing is computed for a check that is off, nor compared where shapes are the same."""
    from triton.language.semantic import TritonSemantic

    sanitize, broadcast = (
        TritonSemantic.binary_op_sanitize_overflow_impl,
        TritonSemantic.broadcast_impl_value,
    )

    def sanitize_if_asserted(self: Any, lhs: Any, rhs: Any, binary_op: Any) -> None:
        # It ends in an assertion of the device, which is only made for debugging.
        if self.builder.options.debug:
            sanitize(self, lhs, rhs, binary_op)

    def broadcast_if_unlike(self: Any, lhs: Any, rhs: Any) -> tuple[Any, Any]:
        left, right = lhs.type, rhs.type
        if left.is_block() and right.is_block():
            same = left.shape.values == right.shape.values
        else:
            same = left.is_block() == right.is_block()
        return (lhs, rhs) if same else broadcast(self, lhs, rhs)

    return [
        (TritonSemantic, "binary_op_sanitize_overflow_impl", sanitize_if_asserted),
        (TritonSemantic, "broadcast_impl_value", broadcast_if_unlike),
    ]
