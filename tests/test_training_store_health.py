"""What the doctor says of folders of results: whole, in use, or what is wrong and what to do."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from statetrack.benchmark import doctor_checks
from statetrack.benchmark.scan_rows import SCANS
from statetrack.cli import main
from statetrack.training import store as stores
from statetrack.training import store_health
from statetrack.training.checkpoint import save_tensors
from statetrack.training.plan_file import PLAN
from statetrack.training.records import RunRecord
from statetrack.training.shards import SHARDS, shard_path, write_shard
from statetrack.training.sharing import CHECKPOINTS
from statetrack.training.store import FILE_NAME, Store
from statetrack.training.store_health import check_new_store, check_store, store_folders

ROOT = Path(__file__).resolve().parents[1]


def record(run_id, status="finished"):
    return RunRecord(run_id, "{}", status, {"text": "x" * 900}, {"commit": "c"})


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "runs" / "grid"
    with Store(folder) as store:
        for number in range(40):
            store.add(record(f"{number:016x}", "failed" if number == 7 else "finished"))
    return folder


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folders_are_found_at_a_place_and_below_it(folder):
    assert store_folders(folder) == [folder]
    assert store_folders(folder.parent) == [folder]
    assert store_folders(folder.parent.parent) == []
    assert store_folders(folder / FILE_NAME) == []


def test_a_whole_store_is_counted_and_left_as_it_is(folder):
    write_shard(folder, record("f" * 16))
    (folder / CHECKPOINTS).mkdir()
    save_tensors(folder / CHECKPOINTS / "a.safetensors", {"a": torch.zeros(2)}, {})
    before = everything(folder)
    health = check_store(folder)
    assert health.ok
    assert health.found == "39 finished, 1 failed, 1 records to be merged, 1 checkpoints"
    assert everything(folder).items() >= before.items()


def test_a_store_in_use_is_said(folder):
    with Store(folder):
        assert check_store(folder).found.endswith("a process is at work")
    assert "at work" not in check_store(folder).found


def test_old_stores_are_read_as_they_are(tmp_path):
    golden = os.path.join(os.path.dirname(__file__), "golden", "store_version_1.sqlite")
    with open(golden, "rb") as file:
        (tmp_path / FILE_NAME).write_bytes(file.read())
    assert check_store(tmp_path).ok


def damage_page(folder):
    path = folder / FILE_NAME
    content = bytearray(path.read_bytes())
    content[8192 : 3 * 8192] = os.urandom(2 * 8192)
    path.write_bytes(content)


def execute(folder, statement):
    database = sqlite3.connect(folder / FILE_NAME)
    database.execute(statement)
    database.commit()
    database.close()


def flip_a_checkpoint(folder):
    (folder / CHECKPOINTS).mkdir()
    path = folder / CHECKPOINTS / "a.safetensors"
    save_tensors(path, {"a": torch.zeros(2)}, {})
    path.write_bytes(path.read_bytes()[:-1] + b"\1")


def damage_a_shard(folder):
    write_shard(folder, record("f" * 16))
    shard_path(folder, "f" * 16).write_text("[")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_page, "results store"),
        (lambda f: (f / FILE_NAME).write_bytes(b"x" * 5000), "results store"),
        (lambda f: execute(f, "UPDATE runs SET summary = 'x' WHERE rowid = 3"), "the summary of"),
        (lambda f: execute(f, "UPDATE runs SET summary = CAST(x'ff' AS TEXT)"), "not decode"),
        (lambda f: execute(f, "UPDATE runs SET provenance = '[]'"), "the provenance of run 0000"),
        (lambda f: execute(f, "DELETE FROM overview WHERE place = 2"), "the overview lacks runs"),
        (lambda f: execute(f, "INSERT INTO tables VALUES ('no', 'a', '{}')"), "belong to no run"),
        (lambda f: execute(f, "PRAGMA user_version = 99"), "update statetrack"),
        (flip_a_checkpoint, "does not match its sha256; it was changed; delete it to train"),
        (damage_a_shard, "is damaged; delete it to run its run again"),
        (lambda f: (f / PLAN).write_text("{"), "delete it to plan the packs anew"),
    ],
)
def test_every_damage_is_named_with_what_to_do(folder, damage, says):
    damage(folder)
    before = everything(folder)
    health = check_store(folder)
    assert not health.ok
    assert says in health.found
    assert len(health.line().splitlines()) == 1
    assert everything(folder).items() >= before.items()


def test_a_network_filesystem_is_named(folder, monkeypatch):
    monkeypatch.setattr(store_health, "filesystem_of", lambda place: "nfs4")
    assert "lies on a network filesystem (nfs4)" in check_store(folder).found
    monkeypatch.setattr(stores, "filesystem_of", lambda place: "nfs4")
    assert not check_new_store(folder.parent).ok


def test_a_new_store_leaves_nothing(tmp_path):
    assert check_new_store(tmp_path).ok
    assert check_new_store(tmp_path / "none").ok
    assert list(tmp_path.iterdir()) == []


def test_stores_are_not_checked_where_torch_alone_is_installed(folder):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "for name in ('pydantic', 'pandas', 'safetensors'): sys.modules[name] = None\n"
        "from statetrack.benchmark.commands import _check_stores\n"
        f"assert _check_stores([Path({str(folder)!r})]) == []"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"stores +not checked: \w+ is not installed\n", result.stdout)


def test_the_doctor_reports_environment_gpu_kernels_and_stores(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(doctor_checks, "SCANS", {"diagonal": SCANS["diagonal"]})
    arguments = ["doctor", "--device", "cpu", "--store", str(folder.parent)]
    assert main([*arguments, "--json", str(tmp_path / "a.json")]) == 0
    output = capsys.readouterr().out
    for name in ("python", "torch", "triton", "numpy", "SQLite", "GPU", "backend triton"):
        assert f"\n{name}" in f"\n{output}"
    assert "can be written and read" in output
    assert f"ok      store {folder}" in output
    damage_a_shard(folder)
    monkeypatch.setattr(doctor_checks, "SCANS", {})
    assert main([*arguments, "--json", str(tmp_path / "b.json")]) == 1
    output = capsys.readouterr().out
    assert f"FAILED  store {folder}" in output
    assert "1 FAILED" in output
    assert "please report" not in output
    good, bad = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert (good["healthy"], bad["healthy"]) == (True, False)
    assert [store["ok"] for store in bad["stores"]] == [True, False]
    assert (folder / SHARDS).is_dir()
