"""Results of the benchmark there and back, table and figure."""

import json
import math

import pytest

from automata.errors import InputError
from statetrack.benchmark.cases import case
from statetrack.benchmark.figure import draw_figure, panels_of
from statetrack.benchmark.measure import BOTH, FORWARD, PASSES, row_of
from statetrack.benchmark.report import peer_ratio, write_table
from statetrack.benchmark.results import BenchmarkResults, read_results, with_floors, write_results
from statetrack.benchmark.roofs import floor_ms
from tests.benchmark_cases import ROOFS


def made_up():
    rows = []
    for one in (
        *(case("diagonal", f"B64 D512 T{t}") for t in (512, 4096)),
        *(case("matrix", f"B256 T2048 N{n}") for n in (8, 16, 32)),
    ):
        for name, times in (
            ("statetrack triton", 1.2),
            ("statetrack parallel", 9.0),
            ("peer", 3.0),
        ):
            for which in PASSES:
                ms = times * floor_ms(one, ROOFS, which == BOTH)[0]
                rows.append(
                    row_of(
                        one,
                        name,
                        which,
                        "ok",
                        median=ms,
                        low=ms,
                        high=ms,
                        eager=ms,
                        how="eager" if name == "peer" else "graph",
                        repeats=9,
                        error=1e-7,
                        ours=name != "peer",
                        positive=name == "peer",
                    )
                )
        rows.append(row_of(one, "slow", FORWARD, "error", reason="RuntimeError: out of memory"))
        rows.append(row_of(one, "absent", FORWARD, "not available", reason="not installed"))
        rows.append(row_of(one, "odd", FORWARD, "left out", reason="T is odd"))
    one = case("words", "B64 T64", variant="s5")
    rows.append(row_of(one, "numpy", FORWARD, "ok", median=1.0, tokens_per_second=4.2e7))
    rows.append(row_of(one, "torch", FORWARD, "wrong", reason="letters differ", error=math.inf))
    settings = {"device": "cuda", "cases": [], "contestants": []}
    made = {"device": "MADE UP", "commit": "f00", "time": "now", "versions": {"torch": "2.11"}}
    return BenchmarkResults(made, settings, ROOFS, with_floors(rows, ROOFS))


def test_results_there_and_back(tmp_path):
    results = made_up()
    path = write_results(results, tmp_path / "new" / "folder")
    text = path.read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    again = read_results(path.parent)
    assert again.roofs == results.roofs
    assert len(again.rows) == len(results.rows)
    assert write_table(again) == write_table(results)


def test_broken_results_are_named(tmp_path):
    with pytest.raises(InputError, match=r"results\.json"):
        read_results(tmp_path)
    for text in ("{", "[]", '{"schema": 1}', '{"schema": 7}', "null", "[" * 100_000):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(InputError, match=r"results\.json"):
            read_results(tmp_path)
    with pytest.raises(InputError, match="cannot write"):
        write_results(made_up(), tmp_path / "results.json")


def damage(place, value):
    """Set one value in a tree of results; `place` is a path of keys."""

    def change(tree):
        for key in place[:-1]:
            tree = tree[key]
        if value is None:
            del tree[place[-1]]
        else:
            tree[place[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        damage(["rows", 0], "text"),
        damage(["rows", 0, "median"], None),
        damage(["rows", 0, "median"], "fast"),
        damage(["rows", 0, "times_floor"], None),
        damage(["rows", 0, "dtype"], "float33"),
        damage(["rows", 0, "sizes"], [1]),
        damage(["rows", 0, "pass"], "sideways"),
        damage(["rows", 0, "status"], "wrong"),
        damage(["settings"], "none"),
        damage(["settings", "device"], 3),
        damage(["provenance"], []),
        damage(["provenance", "versions"], "new"),
        damage(["roofs", "bytes_per_second"], "much"),
        damage(["roofs", "flops"], 1),
    ],
)
def test_damaged_results_are_named(tmp_path, change):
    path = write_results(made_up(), tmp_path)
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match=r"results\.json holds no benchmark"):
        read_results(tmp_path)


def test_the_ratio_is_to_the_fastest_peer():
    rows = made_up().rows
    assert peer_ratio(rows[0], rows) == pytest.approx(3.0 / 1.2)
    assert peer_ratio(rows[0], rows[:2]) is None


def test_the_table_says_all():
    table = write_table(made_up())
    assert "# Scans on MADE UP" in table
    line = next(line for line in table.splitlines() if "diagonal fp32 B64 D512 T512" in line)
    cells = [cell.strip() for cell in line.split("|")]
    expected = 1.2 * floor_ms(case("diagonal", "B64 D512 T512"), ROOFS, False)[0]
    assert cells[2:7] == ["statetrack triton", f"{expected:.4g}", "1.2", "1.0e-07", "2.5"]
    assert "peer +~" in table
    assert "slow (diagonal fp32 B64 D512 T512 forward and 4 more): error: RuntimeError" in table
    assert "absent: not available: not installed" in table
    assert "odd" not in table
    assert "4.2e+07" in table
    assert "says nothing about speed" not in table
    widths = {len(line) for line in table.splitlines() if line.startswith("| ") and "case" in line}
    assert len(widths) <= 3


def test_the_figure_has_a_panel_a_scan_and_the_floor_in_each():
    results = made_up()
    assert [panel.letter for panel in panels_of(results)] == ["T", "N"]
    figure = draw_figure(results)
    axes = figure.axes
    assert len(axes) == 4
    for one in axes:
        assert one.get_xscale() == one.get_yscale() == "log"
        assert len(one.lines) == 4
    assert axes[0].get_ylabel() == "forward, ms"
    assert axes[2].get_ylabel() == "forward + backward, ms"
    assert [text.get_text() for text in axes[0].texts] == ["1.2×", "1.2×"]
    assert [tick.get_text() for tick in axes[3].get_xticklabels()] == ["8", "16", "32"]


def test_large_multiples_have_no_exponent():
    rows = [{**row, "times_floor": 1234.5} if "floor" in row else row for row in made_up().rows]
    results = made_up()
    figure = draw_figure(BenchmarkResults(results.provenance, results.settings, ROOFS, rows))
    assert figure.axes[0].texts[0].get_text() == "1234×"


def test_a_figure_of_nothing_is_refused():
    results = made_up()
    empty = BenchmarkResults(results.provenance, results.settings, ROOFS, [])
    with pytest.raises(InputError, match="no timed scan"):
        draw_figure(empty)
