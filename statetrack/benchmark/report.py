"""The table of a benchmark: every case, who was fastest, how far from the floor."""

from collections.abc import Iterable

from statetrack.benchmark.bench import describe_roofs
from statetrack.benchmark.measure import BOTH, FORWARD, Row
from statetrack.benchmark.results import BenchmarkResults, case_of

HIDDEN = ("left out", "not available")


def peer_ratio(row: Row, rows: Iterable[Row]) -> float | None:
    """How many times longer than a row its fastest peer takes, or None where there is none.

    Parameters
    ----------
    row : dict
        A row with the status "ok".
    rows : iterable of dict
        All rows.
    """
    case = case_of(row)
    times = [
        other["median"]
        for other in rows
        if other["status"] == "ok"
        and not other.get("ours")
        and other["pass"] == row["pass"]
        and case_of(other) == case
    ]
    return min(times) / row["median"] if times else None


def write_table(results: BenchmarkResults) -> str:
    """Write the table as Markdown that also reads well as plain text.

    Parameters
    ----------
    results : BenchmarkResults

    Returns
    -------
    str
    """
    lines = [*_head(results), ""]
    cases = list(dict.fromkeys(case_of(row) for row in results.rows))
    scans = [case for case in cases if case.scan != "words"]
    for scan in dict.fromkeys(case.scan for case in scans):
        lines += [f"## {scan}", ""]
        body = []
        for case in (case for case in scans if case.scan == scan):
            rows = [row for row in results.rows if case_of(row) == case]
            body += _lines_of_case(case.key, rows)
        lines += [*_aligned([_COLUMNS, *body], left=2), ""]
    words = [row for row in results.rows if row["scan"] == "words"]
    if words:
        lines += ["## words, drawn and labelled", "", *_aligned(_word_lines(words), left=2), ""]
    lines += _notes(results.rows)
    return "\n".join(lines).rstrip() + "\n"


_COLUMNS = [
    "case",
    "by",
    "forward ms",
    "x floor",
    "error",
    "peer / this",
    "fwd+bwd ms",
    "x floor",
    "error",
    "peer / this",
]


def _head(results: BenchmarkResults) -> list[str]:
    made = results.provenance
    versions = made.get("versions", {})
    named = ", ".join(f"{key} {versions[key]}" for key in ("torch", "triton") if key in versions)
    changes = " with uncommitted changes" if made.get("uncommitted_changes") else ""
    lines = [
        f"# Scans on {made.get('device')}",
        "",
        f"{named}; commit {made.get('commit')}{changes}; {made.get('time')}.",
        "",
        describe_roofs(results.roofs) + ".",
        "",
        "x floor: time over the least time that reading inputs and writing results once, or the "
        "operations, need at these roofs. Peer / this: time of the fastest peer over this one.",
    ]
    if not results.is_on_gpu:
        lines += [
            "",
            "**On a processor, at tiny sizes: this shows that everything runs, and says nothing "
            "about speed.**",
        ]
    return lines


def _lines_of_case(name: str, rows: list[Row]) -> list[list[str]]:
    lines: list[list[str]] = []
    for contestant in dict.fromkeys(row["contestant"] for row in rows):
        passes = {row["pass"]: row for row in rows if row["contestant"] == contestant}
        if all(row["status"] in HIDDEN for row in passes.values()):
            continue
        cells = [cell for which in (FORWARD, BOTH) for cell in _cells(passes.get(which), rows)]
        marks = "+" if any(row.get("positive") for row in passes.values()) else ""
        marks += "~" if any(row.get("how") == "eager" for row in passes.values()) else ""
        lines.append(["" if lines else name, contestant + (f" {marks}" if marks else ""), *cells])
    return lines


def _cells(row: Row | None, rows: list[Row]) -> list[str]:
    if row is None:
        return ["", "", "", ""]
    if row["status"] in HIDDEN:
        return ["", "", "", ""]
    if row["status"] != "ok":
        return [row["status"], "", "" if row.get("error") is None else f"{row['error']:.1e}", ""]
    ratio = peer_ratio(row, rows) if row.get("ours") else None
    return [
        f"{row['median']:.4g}",
        f"{row['times_floor']:.3g}",
        f"{row['error']:.1e}",
        "" if ratio is None else f"{ratio:.3g}",
    ]


def _word_lines(rows: list[Row]) -> list[list[str]]:
    lines = [["case", "by", "tokens/s", "ms"]]
    for row in rows:
        if row["status"] == "ok":
            cells = [f"{row['tokens_per_second']:.3g}", f"{row['median']:.4g}"]
        else:
            cells = [row["status"], ""]
        lines.append([case_of(row).key, row["contestant"], *cells])
    return lines


def _aligned(lines: list[list[str]], left: int) -> list[str]:
    """A Markdown table with columns of equal width, the first `left` flush left."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = [
        "-" * width if column < left else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return [
        "| "
        + " | ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in [lines[0], rule, *lines[1:]]
    ]


def _notes(rows: list[Row]) -> list[str]:
    lines = []
    if any(row.get("positive") for row in rows):
        lines.append("+ takes no negative transitions: timed with positive ones of the same size.")
    if any(row.get("how") == "eager" for row in rows):
        lines.append("~ cannot be captured in a CUDA graph: the time includes Python.")
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row["status"] not in ("ok", "left out"):
            key = (row["contestant"], row["status"], row["reason"])
            grouped.setdefault(key, []).append(f"{case_of(row).key} {row['pass']}")
    if grouped:
        lines += ["", "What was not timed:", ""]
        for (contestant, status, reason), where in grouped.items():
            place = "" if status == "not available" else f" ({_shortened(where)})"
            lines.append(f"- {contestant}{place}: {status}: {reason}")
    return lines


def _shortened(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
