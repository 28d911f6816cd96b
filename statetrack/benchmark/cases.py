"""What is timed: a scan, its sizes, a number type, a precision.

Letters of sizes: B sequences (of nonlinear scans: networks, with W words each), H heads, T time, D
channels or units, N matrix size, R factors a token, P rank, K key and V value size, Q states of an
automaton, A its letters.
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
    scan: str, sizes: str, dtype: str = "float32", precision: str = "ieee", variant: str = ""
) -> Case:
    """Make a case from a line of sizes.

    Parameters
    ----------
    scan : str
    sizes : str
        Letters with their sizes.
    dtype, precision, variant : str

    Returns
    -------
    Case

    Examples
    --------
    >>> case("diagonal", "B64 D512 T4096", "bfloat16").key
    'diagonal bf16 B64 D512 T4096'
    """
    pairs = tuple((word[0], int(word[1:])) for word in sizes.split())
    return Case(scan, pairs, dtype, precision, variant)


WIDE, HEADS, PACK = "B64 D512", "B64 H4 K64 V64", "B32 W64"
DECAYS = ("none", "head", "channel")
MATRIX_SIZES = (4, 8, 16, 32, 64)
MATRIX_RUNS = (("ieee", 256, 2048), ("tf32x3", 256, 2048), ("ieee", 256, 512), ("ieee", 512, 2048))


def full_cases() -> list[Case]:
    """Every row that is reported, at the sizes of a GPU."""
    return [
        *(case("diagonal", f"{WIDE} T{length}") for length in (512, 1000, 4096, 32768)),
        *(case("diagonal", f"{WIDE} T{length}", "bfloat16") for length in (512, 4096)),
        *(case("diagonal", f"{WIDE} T{length}", "complex64") for length in (512, 4096)),
        *(
            case("outer_product", f"{HEADS} T{length}", dtype, variant=decay)
            for dtype in ("float32", "bfloat16")
            for decay in DECAYS
            for length in (512, 4096)
        ),
        *(
            case("matrix", f"B{batch} T{length} N{size}", precision=precision)
            for precision, batch, length in MATRIX_RUNS
            for size in MATRIX_SIZES
        ),
        *(
            case("householder", f"{HEADS} R{factors} T{length}", precision=precision)
            for precision in ("ieee", "tf32x3")
            for factors, length in ((1, 512), (2, 512), (1, 4096))
        ),
        *(
            case("householder", f"B64 H4 K{size} V{size} R{factors} T{length}", "bfloat16")
            for size in (64, 32)
            for length in (512, 4096)
            for factors in (1, 2, 3, 4)
        ),
        *(
            case("low_rank", f"{HEADS} P1 T{length}", dtype)
            for dtype in ("float32", "bfloat16")
            for length in (512, 4096)
        ),
        *(case("nonlinear", f"{PACK} D64 T512", variant=cell) for cell in ("rnn", "gru", "slstm")),
        *(case("nonlinear", f"{PACK} D{size} T512", variant="lstm") for size in (16, 64, 128, 256)),
        *(case("nonlinear", f"B1 W64 D{size} T512", variant="lstm") for size in (64, 256)),
        *(case("words", "B65536 T512", variant=task) for task in ("parity", "s5")),
    ]


def quick_cases() -> list[Case]:
    """One or two sizes of every scan, at the sizes of a GPU."""
    return [
        *(case("diagonal", f"{WIDE} T{length}") for length in (512, 4096)),
        *(
            case("outer_product", f"{HEADS} T512", dtype, variant="channel")
            for dtype in ("float32", "bfloat16")
        ),
        *(case("matrix", f"B256 T2048 N{size}") for size in (16, 32)),
        *(case("householder", f"{HEADS} R1 T512", dtype) for dtype in ("float32", "bfloat16")),
        case("low_rank", f"{HEADS} P1 T512"),
        case("nonlinear", f"{PACK} D64 T512", variant="lstm"),
        case("words", "B4096 T512", variant="s5"),
    ]


def tiny_cases() -> list[Case]:
    """Sizes that a processor manages in seconds: they show that it runs, and no speed."""
    heads = "B2 H2 K8 V8"
    return [
        *(case("diagonal", f"B2 D16 T{length}") for length in (32, 64)),
        *(case("outer_product", f"{heads} T32", variant=decay) for decay in ("none", "channel")),
        *(case("matrix", f"B4 T32 N{size}") for size in (4, 8)),
        case("householder", f"{heads} R1 T32"),
        case("low_rank", f"{heads} P1 T32"),
        *(case("nonlinear", "B2 W2 D8 T8", variant=cell) for cell in ("rnn", "lstm")),
        case("words", "B64 T64", variant="s5"),
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
