"""`statetrack doctor` and `statetrack bench`: what they print, write, refuse and return."""

import json
import re

import pytest
import torch

from statetrack.benchmark import bench, commands, doctor, doctor_checks
from statetrack.benchmark.doctor import advise, examine, report_block
from statetrack.benchmark.doctor_checks import Check, jobs_of, name_of, run_check
from statetrack.benchmark.scan_rows import SCANS
from statetrack.cli import EXIT_INTERRUPTED, main
from statetrack.scans import diagonal
from statetrack.scans.kernels import why_unavailable
from tests.cli_cases import refusal

CPU = torch.device("cpu")


@pytest.fixture
def only_diagonal(monkeypatch):
    """The row that is checked fastest, so that a run of the command takes a second."""
    monkeypatch.setattr(doctor_checks, "SCANS", {"diagonal": SCANS["diagonal"]})


@pytest.fixture
def wrong_parallel(monkeypatch):
    """A backend whose states are off by one part in 10,000, without a shape or type amiss."""
    right = diagonal.BACKENDS["parallel"]

    def wrong(*arguments):
        states, final = right(*arguments)
        return states * (1 + 1e-4), final

    monkeypatch.setitem(diagonal.BACKENDS, "parallel", wrong)


def test_doctor_checks_every_backend_that_runs_here(capsys, tmp_path, only_diagonal):
    path = tmp_path / "doctor.json"
    assert main(["doctor", "--device", "cpu", "--json", str(path)]) == 0
    output = capsys.readouterr().out
    assert re.search(rf"^torch +{re.escape(torch.__version__.split('+')[0])}", output, re.MULTILINE)
    assert "TRITON_INTERPRET" in output
    for backend in ("reference", "parallel"):
        assert f"ok      diagonal {backend} fp32 ieee" in output
        assert f"ok      diagonal {backend} bf16 ieee" in output
        assert f"ok      diagonal {backend} c64 ieee" in output
        assert f"ok      diagonal {backend} fp32: exact chain" in output
        assert f"ok      diagonal {backend} fp32: same bits twice" in output
    assert "ok      words statetrack torch: same bits as NumPy" in output
    assert "all is well" in output
    assert "kernels were not checked" in output or "kernels ran in Triton's interpreter" in output
    found = json.loads(path.read_text())
    assert found["healthy"]
    assert found["machine"]["checks on"] == "cpu"
    assert {check["backend"] for check in found["checks"]} >= {"reference", "parallel"}
    errors = found["checks"][0]["errors"]
    assert errors.keys() == {"outputs", "final state", "da", "dx", "dinitial"}
    assert 0 < errors["outputs"] < 1e-6


def test_doctor_names_a_wrong_backend_and_the_cure(capsys, only_diagonal, wrong_parallel):
    assert main(["doctor", "--device", "cpu"]) == 1
    output = capsys.readouterr().out
    assert re.search(
        r"^FAILED  diagonal parallel fp32 ieee +outputs off by 1\.0e-04 \(at most 1\.0e-06\) at T",
        output,
        re.MULTILINE,
    )
    assert re.search(r"^ok      diagonal reference fp32 ieee", output, re.MULTILINE)
    assert re.search(
        r"^FAILED  diagonal parallel fp32: exact chain +\d+ numbers are not exact",
        output,
        re.MULTILINE,
    )
    assert "backend='reference' is a plain loop" in output
    assert "please report it, with the block below" in output
    block = output.split("```")[1]
    assert "torch: " in block
    assert "diagonal parallel fp32 ieee" in block
    assert "diagonal reference" not in block


def test_a_check_that_raises_has_failed(monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no\nkernel image")

    monkeypatch.setitem(diagonal.BACKENDS, "parallel", broken)
    job = {"scan": "diagonal", "backend": "parallel", "what": "errors", "dtype": "float32",
           "precision": "ieee", "variant": ""}  # fmt: skip
    found = Check(**run_check(job, CPU))
    assert not found.ok
    assert found.found == "RuntimeError: no kernel image"


def test_bits_that_change_are_found(monkeypatch):
    right, calls = diagonal.BACKENDS["parallel"], [0]

    def unsteady(*arguments):
        calls[0] += 1
        states, final = right(*arguments)
        return states * (1 + 1e-7 * calls[0]), final

    monkeypatch.setitem(diagonal.BACKENDS, "parallel", unsteady)
    job = {"scan": "diagonal", "backend": "parallel", "what": "same bits", "dtype": "float32",
           "precision": "ieee", "variant": ""}  # fmt: skip
    found = Check(**run_check(job, CPU))
    assert not found.ok
    assert "other bits in outputs" in found.found


@pytest.mark.parametrize("backend", ["reference", "parallel"])
@pytest.mark.parametrize("scan", SCANS)
def test_every_scan_is_healthy(scan, backend):
    jobs = [j for j in jobs_of(CPU, [scan]) if j["backend"] == backend]
    assert {job["what"] for job in jobs} == {"errors", "exact chain", "same bits"}
    for job in jobs:
        check = Check(**run_check(job, CPU))
        assert check.ok, check.line()


def test_kernels_are_checked_where_they_run():
    """Under TRITON_INTERPRET=1 every kernel is a job; without it and without a GPU none is."""
    names = {job["backend"] for job in jobs_of(CPU)}
    assert ("triton" in names) == (why_unavailable(CPU) is None)
    for job in jobs_of(CPU, ["diagonal"]):
        if job["backend"] == "triton":
            check = Check(**run_check(job, CPU))
            assert check.ok, check.line()


def test_the_jobs_for_a_gpu_cover_every_precision(monkeypatch):
    monkeypatch.setattr(doctor_checks, "why_unavailable", lambda device: None)
    for scan, row in SCANS.items():
        if "triton" not in row.backends():
            continue
        jobs = [j for j in jobs_of(torch.device("cuda"), [scan]) if j["backend"] == "triton"]
        kinds = {(j["dtype"], j["precision"]) for j in jobs if j["what"] == "errors"}
        assert kinds >= {("float32", precision) for precision in row.precisions}
        assert kinds >= {(dtype, "ieee") for dtype in row.dtypes}
    names = [name_of(job) for job in jobs_of(torch.device("cuda"))]
    assert len(set(names)) == len(names)


def test_the_advice_knows_the_versions_that_went_wrong(monkeypatch):
    broken = [Check("diagonal triton fp32 ieee", "triton", False, "outputs off")]
    here = {"reference": "", "parallel": "", "triton": ""}
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    for number, suspicious in (("3.6.0", True), ("3.7.1", False), ("3.4.0+git", True)):
        monkeypatch.setattr(doctor, "version", lambda package, number=number: number)
        text = " ".join(advise(broken, here, cuda))
        assert ("Hopper" in text) == suspicious
        assert "backend='parallel'" in text
    assert advise([], here, cuda) == []
    assert (
        "Triton is not installed"
        in advise([], {**here, "triton": "Triton is not installed"}, CPU)[0]
    )


def test_a_crash_in_a_check_is_one_failed_check(monkeypatch):
    answers = [
        (0, "the process ended with code -11: "),
        (1, vars(Check("b", "triton", True, "fine"))),
    ]
    monkeypatch.setattr(doctor, "run_isolated", lambda *arguments: iter(answers))
    job = {"scan": "words", "backend": "statetrack torch", "what": "bits"}
    monkeypatch.setattr(doctor, "jobs_of", lambda device, scans: [job, job])
    diagnosis = examine(CPU, lambda line: None, isolated=True)
    assert [check.ok for check in diagnosis.checks] == [False, True]
    assert "code -11" in report_block(diagnosis)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("bench", "scan"), "unknown benchmark 'scan': did you mean 'scans'"),
        (("bench",), "scans"),
        (("bench", "scans", "--scans", "diagnal"), "did you mean 'diagonal'"),
        (("bench", "scans", "--from", "nowhere"), "nowhere/results.json"),
        (("bench", "scans", "--minutes", "0"), "--minutes 0"),
        (("bench", "scans", "--minutes", "soon"), "soon"),
        (("bench", "scans", "--peer-file", "nowhere.py"), "nowhere.py"),
        (("bench", "scans", "--quik"), "did you mean '--quick'"),
        (("bench", "scans", "--device", "cpx"), "cpx"),
        (("bench", "scans", "--minutes", "inf"), "--minutes inf"),
        (("bench", "scans", "--out", "/proc/nowhere"), "cannot write into '/proc/nowhere'"),
        (
            ("bench", "scans", "--from", "x", "--quick"),
            "--from measures nothing: leave out --quick",
        ),
        (("bench", "scans", "--only", "nmpy"), "did you mean 'numpy'"),
        (("bench", "scans", "--device", "meta"), "'meta' holds no numbers"),
        (("doctor", "--device", "meta"), "'meta' holds no numbers"),
        (("doctor", "--json", "/proc/nowhere/found.json"), "cannot write into '/proc/nowhere'"),
        (("doctor", "--json", "/"), "is a folder"),
        (("doctor", "--jsn", "x"), "did you mean '--json'"),
        (("doctor", "--device", "cpx"), "cpx"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(capsys, arguments, named):
    assert named in refusal(capsys, *arguments)


def test_an_output_that_is_a_file_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "file" in refusal(capsys, "bench", "scans", "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def in_this_process(monkeypatch):
    """Jobs without processes of their own, which take seconds to start."""
    monkeypatch.setattr(commands, "ISOLATED", False)


def test_bench_on_a_processor_runs_and_claims_nothing(capsys, tmp_path, in_this_process):
    folder = tmp_path / "bench"
    command = ["bench", "scans", "--scans", "diagonal", "words", "--device", "cpu"]
    assert main([*command, "--out", str(folder)]) == 0
    output = capsys.readouterr()
    assert "which say nothing about speed" in output.err
    assert re.search(r"^\[\d+/\d+, \d+ s\] statetrack parallel: diagonal", output.err, re.MULTILINE)
    assert "says nothing about speed" in output.out
    assert output.out.splitlines()[-1].endswith(str(folder))
    results = json.loads((folder / "results.json").read_text())
    assert results["schema"] == 1
    assert results["provenance"]["device"] == "cpu"
    assert {row["scan"] for row in results["rows"]} == {"diagonal", "words"}
    assert {row["status"] for row in results["rows"]} <= {"ok", "not available"}
    assert results["roofs"]["flops"].keys() == {"fp32", "tf32", "bf16"}
    for name in ("figure.png", "figure.pdf", "table.md"):
        assert (folder / name).stat().st_size > 500

    table = (folder / "table.md").read_text()
    for name in ("figure.png", "table.md"):
        (folder / name).unlink()
    assert main(["bench", "scans", "--from", str(folder)]) == 0
    assert (folder / "table.md").read_text() == table
    assert (folder / "figure.png").exists()


def test_bench_refuses_to_time_a_wrong_backend(capsys, tmp_path, in_this_process, wrong_parallel):
    command = ["bench", "scans", "--scans", "diagonal", "--device", "cpu", "--only", "statetrack"]
    assert main([*command, "--out", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "4 results of ours are wrong and were not timed: statetrack doctor" in output
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    wrong = [row for row in rows if row["contestant"] == "statetrack parallel"]
    assert {row["status"] for row in wrong} == {"wrong"}
    assert not any("median" in row for row in wrong)
    right = [row for row in rows if row["contestant"] == "statetrack reference"]
    assert {row["status"] for row in right} == {"ok"}


def test_words_alone_have_a_table_and_no_figure(capsys, tmp_path, in_this_process):
    command = ["bench", "scans", "--scans", "words", "--only", "numpy", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "no figure: the benchmark has no timed scan to draw" in output
    assert "words s5 B64 T64" in output
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {row["contestant"] for row in rows} == {"numpy"}


def test_results_drawn_again_can_go_elsewhere(capsys, tmp_path, in_this_process):
    source, target = tmp_path / "source", tmp_path / "target"
    command = ["bench", "scans", "--scans", "diagonal", "--device", "cpu", "--only"]
    assert main([*command, "statetrack parallel", "--out", str(source)]) == 0
    before = sorted(path.stat().st_mtime_ns for path in source.iterdir())
    assert main(["bench", "scans", "--from", str(source), "--out", str(target)]) == 0
    assert {path.name for path in target.iterdir()} == {"table.md", "figure.png", "figure.pdf"}
    assert sorted(path.stat().st_mtime_ns for path in source.iterdir()) == before


@pytest.mark.slow
def test_what_was_measured_before_control_c_is_kept(capsys, tmp_path, in_this_process, monkeypatch):
    right, answered = bench.answers_of, []

    def stopped_in_the_second_job(job):
        answered.append(job["kind"])
        if answered.count("time") == 2:
            raise KeyboardInterrupt
        return right(job)

    monkeypatch.setattr(bench, "answers_of", stopped_in_the_second_job)
    command = ["bench", "scans", "--scans", "diagonal", "--device", "cpu", "--only", "statetrack"]
    command += ["--out", str(tmp_path)]
    for folder in (tmp_path, tmp_path / "stopped"):
        answered.clear()
        assert main(command) == EXIT_INTERRUPTED
        assert f"what had been measured is in {folder}" in capsys.readouterr().err
        rows = json.loads((folder / "results.json").read_text())["rows"]
        assert sum(row["status"] == "ok" for row in rows) == 2
        assert "not run: stopped from the keyboard" in {row.get("reason") for row in rows}
        assert (folder / "figure.png").exists()


def test_a_peer_file_that_raises_is_named(capsys, tmp_path):
    file = tmp_path / "peers.py"
    file.write_text("import no_such_package")
    line = refusal(capsys, "bench", "scans", "--peer-file", file)
    assert "peers.py, line 1: ModuleNotFoundError: No module named 'no_such_package'" in line


def test_a_stopped_doctor_promises_nothing(capsys, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "jobs_of", stopped)
    assert main(["doctor", "--device", "cpu"]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "statetrack: stopped\n"
