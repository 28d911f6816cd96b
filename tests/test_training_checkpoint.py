"""Checkpoints: any change is noticed, nothing runs code, a crash leaves the old or the new one."""

import errno
import hashlib
import json
import os
import pickle
import random

import pytest
import torch
from safetensors.torch import save

from automata.errors import InputError
from automata.tasks import get_task
from statetrack.atomic_files import write_atomically
from statetrack.models import load_model
from statetrack.training import RunConfig, train
from statetrack.training.checkpoint import (
    digest_path,
    load_tensors,
    only_model,
    save_tensors,
)
from statetrack.training.pack_training import TrainingStoppedError

TINY = (
    "task=s3",
    "model.width=8",
    "training.steps=6",
    "training.length=18",
    "training.batch_size=4",
    "training.select_every=3",
    "training.select_words=16",
)


def tiny(model="lstm"):
    return RunConfig.from_pairs([f"model={model}", *TINY])


def write_with_digest(path, content):
    """A file that somebody made by hand, with a sha256 that fits."""
    path.write_bytes(content)
    digest_path(path).write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "run.safetensors"
    return train(tiny(), checkpoint=path), path


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.safetensors"
    save_tensors(path, {"a": torch.arange(3.0)}, {"run_id": "x", "step": 3})
    return path


def test_round_trip(tmp_path):
    path = tmp_path / "new folder" / "in another" / "a.safetensors"
    tensors = {
        "weights": torch.randn(3, 4).t(),
        "expanded": torch.ones(1).expand(5),
        "number": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "counts": torch.tensor([2**40]),
    }
    description = {"text": 'äß\n"', "number": 1.5, "rows": [{"step": 1, "loss": 0.1}]}
    digest = save_tensors(path, tensors, description)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    found, told = load_tensors(path)
    assert told == description
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "a.safetensors",
        "a.safetensors.sha256",
    ]


def test_sha256sum_of_coreutils_reads_the_digest(small):
    digest, name = digest_path(small).read_text().split()
    assert name == small.name
    assert digest == hashlib.sha256(small.read_bytes()).hexdigest()


def test_a_replaced_checkpoint_is_no_longer_accepted(small):
    before = small.read_bytes()
    digest = save_tensors(small, {"weights": torch.ones(3)}, {})
    assert digest_path(small).read_text() == f"{digest}  {small.name}\n"
    small.write_bytes(before)
    with pytest.raises(InputError, match="content does not match its sha256"):
        load_tensors(small)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_is_named_and_the_old_one_stays(small, monkeypatch, call, code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(InputError, match=f"checkpoint {small}: {os.strerror(code)}"):
        save_tensors(small, {"a": torch.zeros(3)}, {})
    monkeypatch.undo()
    assert torch.equal(load_tensors(small)[0]["a"], torch.arange(3.0))


def test_every_flipped_byte_is_noticed(small):
    content = small.read_bytes()
    for place in range(len(content)):
        small.write_bytes(
            content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :]
        )
        with pytest.raises(InputError, match="does not match its sha256"):
            load_tensors(small)
    small.write_bytes(content)
    load_tensors(small)


def test_every_flipped_byte_of_the_digest_is_noticed(small):
    digest = digest_path(small).read_bytes()
    for place in range(64):
        for bit in (0, 7):
            flipped = bytes([digest[place] ^ (1 << bit)])
            digest_path(small).write_bytes(digest[:place] + flipped + digest[place + 1 :])
            with pytest.raises(InputError):
                load_tensors(small)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 50, -1])
def test_truncated(small, kept):
    small.write_bytes(small.read_bytes()[:kept])
    with pytest.raises(InputError, match="does not match its sha256"):
        load_tensors(small)


@pytest.mark.parametrize("text", ["", "\n", "0" * 64, "x"])
def test_an_empty_or_wrong_digest_is_refused(small, text):
    digest_path(small).write_text(text)
    with pytest.raises(InputError, match="does not match its sha256"):
        load_tensors(small)


def test_a_missing_part_is_named(small, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.safetensors: No such file"):
        load_tensors(tmp_path / "nowhere.safetensors")
    digest_path(small).unlink()
    with pytest.raises(InputError, match=r"small\.safetensors.*No such file"):
        load_tensors(small)
    with pytest.raises(InputError, match=r"s\.safetensors: Is a directory"):
        (tmp_path / "s.safetensors").mkdir()
        load_tensors(tmp_path / "s.safetensors")


class Gadget:
    """Runs code when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".pth", ".bin", ".ckpt", ""])
def test_pickles_are_refused_by_name_and_never_run(tmp_path, suffix):
    marker = tmp_path / "marker"
    path = write_with_digest(tmp_path / f"model{suffix}", pickle.dumps(Gadget(marker)))
    with pytest.raises(InputError, match=rf"'model{suffix}': expected a \.safetensors file"):
        load_model(path)
    assert not marker.exists()


def test_nothing_is_saved_under_a_name_that_cannot_be_loaded(tmp_path):
    """Least of all over somebody's file, after hours of training."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"'model.pt': expected a \.safetensors file"):
        save_tensors(path, {"a": torch.zeros(1)}, {})
    assert path.read_bytes() == b"mine"


def test_a_pickle_under_a_false_name_never_runs(tmp_path):
    marker = tmp_path / "marker"
    path = write_with_digest(tmp_path / "model.safetensors", pickle.dumps(Gadget(marker)))
    with pytest.raises(InputError, match="not a safetensors file"):
        load_model(path)
    assert not marker.exists()


def described(path, description):
    content = save({"a": torch.zeros(1)}, metadata={"description": description})
    return write_with_digest(path, content)


GOOD = {
    "config": tiny().model_dump(mode="json"),
    "num_tokens": 6,
    "num_classes": 6,
}


@pytest.mark.parametrize(
    "description",
    [
        "{}",
        "[]",
        "null",
        '"text"',
        "not json",
        "",
        "[" * 100_000,
        '{"config": 5}',
        json.dumps(GOOD | {"num_tokens": None}),
        json.dumps(GOOD | {"num_tokens": -1}),
        json.dumps(GOOD | {"num_tokens": 10**13}),
        json.dumps(GOOD | {"config": {"model": {"name": "lstm"}}}),
        json.dumps(GOOD | {"config": {"model": {"name": ["lstm"], "parameters": {}}}}),
        json.dumps(GOOD | {"config": {"model": {"name": "lstn", "parameters": {}}}}),
        json.dumps(GOOD | {"config": {"model": {"name": "lstm", "parameters": {"wdth": 8}}}}),
        json.dumps(GOOD | {"config": {"model": {"name": "lstm", "parameters": {"width": "8"}}}}),
        json.dumps(GOOD),
    ],
    ids=lambda text: text[:12] + text[-48:],
)
def test_a_hostile_description_is_refused_in_one_line(tmp_path, description):
    """The sha256 fits, so the description is all that stands between the file and the program."""
    with pytest.raises(InputError) as refusal:
        load_model(described(tmp_path / "hostile.safetensors", description))
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("tensor", "message"),
    [(torch.tensor(1.0), "none of this library"), (torch.zeros(0, 2), "have no weights")],
)
def test_runs_under_way_without_weights_are_refused(tmp_path, tensor, message):
    with pytest.raises(InputError, match=message):
        only_model(tmp_path, {"model.a": tensor}, {"pack": [{}]})


def test_a_file_without_metadata_is_refused(tmp_path):
    path = write_with_digest(tmp_path / "a.safetensors", save({"a": torch.zeros(1)}))
    assert load_tensors(path)[1] == {}
    with pytest.raises(InputError, match="no model of this library"):
        load_model(path)


def test_random_mutations_with_a_fitting_digest_never_break_the_program(small, tmp_path):
    generator = random.Random(1)
    content = small.read_bytes()
    for _ in range(300):
        mutated = bytearray(content)
        for _ in range(generator.randrange(1, 4)):
            mutated[generator.randrange(len(mutated))] = generator.randrange(256)
        path = write_with_digest(tmp_path / "mutated.safetensors", bytes(mutated))
        with pytest.raises(InputError):
            load_model(path)


@pytest.mark.parametrize("name", ["diagonal", "householder", "mru", "lstm"])
def test_load_model_gives_the_same_logits(tmp_path, name):
    path = tmp_path / "run.safetensors"
    trained = train(tiny(name), checkpoint=path)
    tokens = torch.from_numpy(get_task("s3").sample(5, batch_size=8, length=30).tokens)
    loaded = load_model(path)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(tokens)[0], trained.model.eval()(tokens)[0])


def test_the_checkpoint_of_another_run_is_not_mixed_in(trained, tmp_path):
    """Another configuration on the same file is refused, and the file is kept."""
    _, path = trained
    copy = write_with_digest(tmp_path / path.name, path.read_bytes())
    other = RunConfig.from_pairs(["model=lstm", *TINY, "seed=1"])
    with pytest.raises(InputError, match="holds another run"):
        train(other, checkpoint=copy)
    assert copy.read_bytes() == path.read_bytes()


def test_weights_of_another_model_are_refused(trained, tmp_path):
    result, _ = trained
    path = tmp_path / "other.safetensors"
    description = GOOD | {"config": tiny("diagonal").model_dump(mode="json")}
    tensors = {f"model.{name}": value for name, value in result.model.state_dict().items()}
    save_tensors(path, tensors, description)
    with pytest.raises(InputError, match="checkpoint of another model"):
        load_model(path)


class PowerCutError(BaseException):
    pass


@pytest.mark.parametrize("call", range(8))
def test_a_crash_between_any_two_calls_leaves_the_old_or_the_new_or_a_refusal(
    small, monkeypatch, call
):
    """`write_atomically` makes fsync, replace, fsync; twice. The 8th call never comes."""
    seen = []

    def cut(function):
        def call_or_cut(*arguments):
            seen.append(function.__name__)
            if len(seen) == call + 1:
                raise PowerCutError
            return function(*arguments)

        return call_or_cut

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, cut(getattr(os, name)))
        try:
            save_tensors(small, {"a": torch.full((3,), 7.0)}, {"step": 4})
        except PowerCutError:
            pass
        else:
            assert call >= 6
            assert seen == ["fsync", "replace", "fsync"] * 2
    try:
        tensors, description = load_tensors(small)
    except InputError:
        return
    assert (description["step"], tensors["a"].tolist()) in [
        (3, [0.0, 1.0, 2.0]),
        (4, [7.0, 7.0, 7.0]),
    ]


@pytest.mark.parametrize("call", range(6))
def test_a_training_goes_on_after_a_crash_while_its_checkpoint_was_written(
    tmp_path, monkeypatch, call
):
    """Old checkpoint or none: whichever it finds, it ends with the weights of a quiet run."""
    whole = train(tiny())
    path = tmp_path / "run.safetensors"
    stops = iter([False, False, True])
    with pytest.raises(TrainingStoppedError):
        train(tiny(), checkpoint=path, should_stop=lambda: next(stops))
    count = [0]

    def cut(function):
        def call_or_cut(*arguments):
            count[0] += 1
            if count[0] == call + 1:
                raise PowerCutError
            return function(*arguments)

        return call_or_cut

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, cut(getattr(os, name)))
        with pytest.raises(PowerCutError):
            train(tiny(), checkpoint=path)
    again = train(tiny(), checkpoint=path)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name
    assert again.history == whole.history


def test_write_atomically_replaces_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
