"""What is timed: a scan, its sizes, a number type, a precision.

Letters of sizes: B sequences, H heads, T time, D channels, N matrix size, R factors a token, K key
and V value size, Q states of an automaton, A its letters.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from automata.errors import InputError, unknown_name

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "complex64": torch.complex64,
}
SHORT_DTYPES = {"float32": "fp32", "float64": "fp64", "bfloat16": "bf16", "complex64": "c64"}


@dataclass(frozen=True)
class Case:
    """One size of one scan.

    Attributes
    ----------
    scan : str
        A row of `statetrack.benchmark.scan_rows.SCANS`, or "words".
    sizes : tuple of (str, int)
        Letters and what they stand for.
    dtype : str
        A key of `DTYPES`.
    precision : {"ieee", "tf32x3", "tf32"}
        Rounding of products.
    variant : str
        What else tells cases of a scan apart, such as the kind of decay.
    """

    scan: str
    sizes: tuple[tuple[str, int], ...]
    dtype: str = "float32"
    precision: str = "ieee"
    variant: str = ""

    def __getitem__(self, letter: str) -> int:
        return dict(self.sizes)[letter]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number type."""
        return DTYPES[self.dtype]

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return self.torch_dtype.itemsize

    @property
    def key(self) -> str:
        """One word for every part that is no default: names the case in tables and files."""
        sizes = [f"{letter}{size}" for letter, size in self.sizes]
        kind = [] if self.scan == "words" else [SHORT_DTYPES[self.dtype]]
        precision = [] if self.precision == "ieee" else [self.precision]
        return " ".join([self.scan, *filter(None, [self.variant]), *kind, *precision, *sizes])

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` makes the case again."""
        return {
            "scan": self.scan,
            "sizes": dict(self.sizes),
            "dtype": self.dtype,
            "precision": self.precision,
            "variant": self.variant,
        }

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Case":
        """Make the case that `to_json` described."""
        return Case(**{**values, "sizes": tuple(values["sizes"].items())})


def case(
    scan: str, dtype: str = "float32", precision: str = "ieee", variant: str = "", **sizes: int
) -> Case:
    """Make a case from keywords.

    Examples
    --------
    >>> case("diagonal", "bfloat16", B=64, T=512, D=512).key
    'diagonal bf16 B64 T512 D512'
    """
    return Case(scan, tuple(sizes.items()), dtype, precision, variant)


DECAYS = ("none", "head", "channel")
MATRIX_SIZES = (4, 8, 16, 32, 64)


def full_cases() -> list[Case]:
    """Every row that is reported, at the sizes of a GPU."""
    wide = {"B": 64, "D": 512}
    heads = {"B": 64, "H": 4, "K": 64, "V": 64}
    return [
        *(case("diagonal", **wide, T=length) for length in (512, 1000, 4096, 32768)),
        *(case("diagonal", "bfloat16", **wide, T=length) for length in (512, 4096)),
        *(case("diagonal", "complex64", **wide, T=length) for length in (512, 4096)),
        *(
            case("outer_product", dtype, variant=decay, **heads, T=length)
            for dtype in ("float32", "bfloat16")
            for decay in DECAYS
            for length in (512, 4096)
        ),
        *(
            case("matrix", precision=precision, B=batch, T=length, N=size)
            for precision, batch, length in (
                ("ieee", 256, 2048),
                ("tf32x3", 256, 2048),
                ("ieee", 256, 512),
                ("ieee", 512, 2048),
            )
            for size in MATRIX_SIZES
        ),
        *(case("householder", **heads, R=factors, T=512) for factors in (1, 2)),
        *(case("words", variant=task, B=4096, T=512) for task in ("parity", "s5")),
    ]


def quick_cases() -> list[Case]:
    """One or two sizes of every scan, at the sizes of a GPU."""
    heads = {"B": 64, "H": 4, "K": 64, "V": 64}
    return [
        case("diagonal", B=64, D=512, T=512),
        case("diagonal", B=64, D=512, T=4096),
        case("outer_product", variant="channel", **heads, T=512),
        case("outer_product", "bfloat16", variant="channel", **heads, T=512),
        case("matrix", B=256, T=2048, N=16),
        case("matrix", B=256, T=2048, N=32),
        case("householder", **heads, R=1, T=512),
        case("words", variant="s5", B=4096, T=512),
    ]


def tiny_cases() -> list[Case]:
    """Sizes that a processor manages in seconds: they show that it runs, and no speed."""
    heads = {"B": 2, "H": 2, "K": 8, "V": 8}
    return [
        *(case("diagonal", B=2, D=16, T=length) for length in (32, 64)),
        *(case("outer_product", variant=decay, **heads, T=32) for decay in ("none", "channel")),
        *(case("matrix", B=4, T=32, N=size) for size in (4, 8)),
        case("householder", **heads, R=1, T=32),
        case("words", variant="s5", B=64, T=64),
    ]


def of_scans(cases: Iterable[Case], names: Iterable[str]) -> list[Case]:
    """The cases of some scans.

    Raises
    ------
    InputError
        No case has that scan; the message names the nearest.
    """
    there = list(cases)
    known = list(dict.fromkeys(case.scan for case in there))
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise unknown_name("scan", name, known)
    if not wanted:
        raise InputError(f"no scan is named: give some of {', '.join(known)}")
    return [case for case in there if case.scan in wanted]
