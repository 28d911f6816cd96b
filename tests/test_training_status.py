"""What another terminal sees of a grid, and what the one that runs it shows."""

import io
import json
import math
import time

import pytest
from rich.console import Console

from automata.errors import InputError
from statetrack.training import status as statuses
from statetrack.training.claims import Claims
from statetrack.training.pack_members import Progress
from statetrack.training.packs import pack_id_of
from statetrack.training.plan_file import PlanFile
from statetrack.training.progress import GridProgress
from statetrack.training.progress_files import ProgressFiles, read_progress
from statetrack.training.records import failed_record
from statetrack.training.shards import write_shard
from statetrack.training.status import GridStatus, RunName, grid_status, run_names
from statetrack.training.status_view import show_status, status_lines, status_tables
from statetrack.training.store import Store
from statetrack.training.throughput import Throughput
from tests.grid_processes import small_grid


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def grid():
    return small_grid(8)


@pytest.fixture
def under_way(grid, tmp_path):
    """Eight runs: one failed in the store, one in a shard, a pack of three running, three not."""
    ids = [run.run_id for run in grid.runs]
    with Store(tmp_path) as store:
        store.add(failed_record(grid.runs[0], "loss is nan [red]", "cpu"))
    write_shard(tmp_path, failed_record(grid.runs[1], "the worker died", "cpu"))
    PlanFile(tmp_path).publish([ids[1:5], ids[5:]])
    claim = Claims(tmp_path).take(pack_id_of(ids[1:5]))
    clock = Clock()
    files = ProgressFiles(tmp_path, print, clock)
    files.begin(pack_id_of(ids[1:5]), ids[2:5])
    for step in (10, 20, 30):
        clock.now += 1
        for run_id in ids[2:5]:
            files.advanced(Progress(run_id, step, 100, 0.5, 16, step * 64))
    yield ids
    claim.release()


def test_running_is_what_a_living_process_has_claimed(grid, tmp_path, under_way):
    status = grid_status(grid, tmp_path)
    assert list(status.statuses.values()) == ["failed"] * 2 + ["running"] * 3 + ["missing"] * 3
    assert list(status.reasons.values()) == ["loss is nan [red]", "the worker died"]
    ((count, progress),) = status.packs.values()
    assert count == 3
    assert not status.is_over
    assert {run.step for run in progress.runs} == {20, 30}  # written when the first of them came
    assert progress.steps_per_second == pytest.approx(25.0, rel=0.3)
    assert progress.tokens_per_second == pytest.approx(64 * progress.steps_per_second)
    assert progress.seconds_left == pytest.approx(230 / progress.steps_per_second)


def test_plain_lines(grid, tmp_path, under_way):
    lines = status_lines(grid_status(grid, tmp_path), "small")
    assert lines[0] == (
        "small: 0 finished, 2 failed, 3 running, 3 missing; "
        "0 stored runs belong to no run of this preset"
    )
    assert lines[1] == "group parity, short_memory: 2 failed, 3 running, 3 missing"
    assert lines[2].startswith(f"pack {pack_id_of(under_way[1:5])}, 3 runs, step 20 to 30 of 100, ")
    for part in ("loss 0.5000 to 0.5000", "length 16", "run-steps/s 2", "tokens/s 1", "time left"):
        assert part in lines[2]
    assert lines[3:] == [
        f"failed {under_way[0]}: loss is nan [red] (parity, short_memory, seed 0)",
        f"failed {under_way[1]}: the worker died (parity, short_memory, seed 1)",
    ]


def test_a_dead_process_runs_nothing(grid, tmp_path, under_way):
    """Its file is there, but nobody holds the claim."""
    identity = pack_id_of(under_way[1:5])
    assert read_progress(tmp_path, identity) is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statuses.Claims, "is_held", lambda claims, name: False)
        status = grid_status(grid, tmp_path)
    assert status.packs == {}
    assert status.count("missing") == 6


def test_a_pack_that_has_not_reported_is_running(grid, tmp_path, under_way):
    (path,) = (tmp_path / "progress").iterdir()
    for content in ("", "{", "{}", '{"runs": [1]}', json.dumps({"runs": []})):
        path.write_text(content)
        status = grid_status(grid, tmp_path)
        assert status.count("running") == 3
        assert "step -, loss -, length -" in status_lines(status, "small")[2]


def test_nothing_there_is_all_missing_and_nothing_is_made(grid, tmp_path):
    status = grid_status(grid, tmp_path / "nothing")
    assert status.count("missing") == 8
    assert list(tmp_path.iterdir()) == []


def test_asking_disturbs_nobody(grid, tmp_path, under_way):
    """A look keeps no claim."""
    other = pack_id_of(under_way[5:])
    Claims(tmp_path).take(other).release()
    grid_status(grid, tmp_path)
    assert Claims(tmp_path).take(other) is not None


def test_tables_in_a_terminal(grid, tmp_path, under_way, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    show_status(grid, tmp_path, stream)
    text = stream.getvalue()
    for part in ("3 running", "2 failed", "3 left", "tokens/s", "time left", "reason"):
        assert part in text
    for part in ("loss is nan [red]", "the worker died", "parity, short_memory: seed 1"):
        assert part in text


@pytest.mark.parametrize("terminal", [False, True])
def test_watching_ends_when_all_is_done(grid, tmp_path, under_way, monkeypatch, terminal):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    stream, waits = Terminal() if terminal else io.StringIO(), []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            for run in grid.runs[2:]:
                write_shard(tmp_path, failed_record(run, "late", "cpu"))

    show_status(grid, tmp_path, stream, watch=True, sleep=sleep)
    assert len(waits) == 2
    text = stream.getvalue()
    assert ("8 failed  " if terminal else "8 failed, 0 missing") in text
    if not terminal:
        assert len([line for line in text.splitlines() if line.startswith("small in")]) == 2


def rendered(status):
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(status_tables(status, "grid"))
    return console.export_text()


def many(**counts):
    """A grid of two labels, some of whose runs stand where `counts` says."""
    states = [state for state, count in counts.items() for _ in range(count)]
    ids = [f"{number:04x}" for number in range(len(states))]
    status = {"solved": "finished", "unsolved": "finished"}
    return GridStatus(
        statuses={i: status.get(s, s) for i, s in zip(ids, states, strict=True)},
        reasons={
            i: f"loss is nan at step {n}" if n % 2 else "out of memory"
            for n, (i, s) in enumerate(zip(ids, states, strict=True))
            if s == "failed"
        },
        packs={},
        num_stale=2,
        names={i: RunName("s3", "ab"[n % 2], n // 2) for n, i in enumerate(ids)},
        solved=frozenset(i for i, s in zip(ids, states, strict=True) if s == "solved"),
        seconds={i: float(n) for n, i in enumerate(ids) if states[n] in status},
    )


def test_groups_slowest_and_failures_by_reason():
    status = many(solved=6, unsolved=3, failed=31, missing=4)
    assert [sum(group.counts.values()) for group in status.groups()] == [22, 22]
    assert status.groups()[0].counts == {
        "solved": 3, "unsolved": 2, "failed": 15, "running": 0, "missing": 2,
    }  # fmt: skip
    assert status.slowest(2) == [("0008", 8.0), ("0007", 7.0)]
    assert [len(failure.run_ids) for failure in status.failures()] == [16, 15]
    assert status.failures()[0].reason == "loss is nan at step 9"
    text = rendered(status)
    for part in ("6 solved", "3 unsolved", "31 failed", "4 left", "44 runs", "8 s", "seed 4"):
        assert part in text
    assert "and 8 more" in text
    assert "2 stored runs belong to no run of this preset" in text
    (line,) = [line for line in status_lines(status, "grid") if line.startswith("group s3, b")]
    assert line == "group s3, b: 3 solved, 1 unsolved, 16 failed, 2 missing"
    assert "9 finished (6 solved), 31 failed, 4 missing" in status_lines(status, "grid")[0]


@pytest.mark.parametrize("counts", [{"solved": 1, "missing": 9999}, {"failed": 1}, {"missing": 3}])
def test_the_bar_shows_whatever_there_is(counts):
    text = rendered(many(**counts))
    for state, count in counts.items():
        assert f"{count} {'left' if state == 'missing' else state}" in text
    signs = {"solved": "█", "failed": "×", "missing": "·"}
    strip = next(line for line in text.splitlines() if line.endswith(" runs"))
    assert set(strip.split()[0]) == {signs[state] for state in counts}
    assert 60 <= len(strip.split()[0]) <= 61


def test_names_tell_apart_what_differs_by_more_than_the_seed(grid):
    names = run_names(grid + small_grid(2, steps=9))
    assert len(names) == 10
    assert {name.label for name in names.values()} == {
        "short_memory, steps 6",
        "short_memory, steps 9",
    }


def test_a_damaged_plan_is_an_input_error(grid, tmp_path, under_way):
    (tmp_path / "packs.json").write_text("{")
    with pytest.raises(InputError, match=r"packs\.json"):
        grid_status(grid, tmp_path)


# What the process itself shows


def test_throughput_looks_at_the_last_seconds_and_at_no_fall():
    clock = Clock()
    tokens = Throughput(clock)
    assert tokens.per_second == 0.0
    for second in range(100):
        clock.now += 1
        tokens.note("a", 10 * second if second < 50 else 500 + 100 * (second - 50))
        tokens.note("b", 5 * (second % 20))
    assert tokens.per_second == pytest.approx(100 + 5 * 19 / 20, rel=0.05)


def test_the_grid_shows_speed_and_solved_runs(monkeypatch):
    from statetrack.training import progress as progresses

    clock = Clock()
    monkeypatch.setattr(progresses.time, "monotonic", clock)
    stream = io.StringIO()
    shown, heard = GridProgress(stream), []
    with shown.watch("grid", 8, 6, solved=1, listeners=[heard.append]):
        for step in range(4):
            clock.now += 16
            shown.advanced(Progress("a", 25 * step, 100, math.nan, 16, 16_000 * 16 * step))
        shown.counted(5)
        shown.counted(4)
        clock.now += 16
        shown.advanced(Progress("a", 100, 100, math.nan, 16, 16_000 * 64))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "grid: 8 runs, 2 already in the store"
    assert lines[4] == "[2/8] 1 training, 1 solved, 16k tokens/s, about 7.5 min left"
    assert lines[5].startswith("[5/8] 1 training, 1 solved, 16k tokens/s, about ")
    assert len(heard) == 5


def test_files_are_written_once_a_second_and_deleted_at_the_end(tmp_path):
    clock, written = Clock(), []
    files = ProgressFiles(tmp_path, print, clock)
    files.begin("pack", ["a", "b"])
    path = tmp_path / "progress" / "pack.json"
    for step in range(50):
        clock.now += 0.1
        files.advanced(Progress("a", step, 50, 0.1))
        files.advanced(Progress("unknown", step, 50, 0.1))
        content = path.read_text()
        if content not in written:
            written.append(content)
    assert len(written) == 5
    files.recorded("a")
    files.recorded("unknown")
    clock.now += 2
    files.advanced(Progress("b", 1, 50, math.nan))
    (run,) = read_progress(tmp_path, "pack").runs
    assert (run.run_id, run.loss) == ("b", None)
    assert abs(read_progress(tmp_path, "pack").time - time.time()) < 60
    files.end("pack")
    assert list((tmp_path / "progress").iterdir()) == []
