"""Checkpoints with a fitting sha256 and a stranger's content are refused, never followed."""

import hashlib
import json
import os
import pickle
import random
import time

import pytest
import torch
from safetensors.torch import load, save

from automata.errors import InputError
from statetrack.cli import EXIT_BAD_INPUT, main
from statetrack.models import load_model
from statetrack.training import RunConfig, train
from statetrack.training.checkpoint import digest_path, load_tensors
from statetrack.training.loop import TrainingFailedError
from statetrack.training.pack_training import TrainingStoppedError
from tests.test_hostile_configs import VALUES

TINY = (
    "task=s3",
    "model=lstm",
    "model.width=8",
    "training.steps=6",
    "training.length=18",
    "training.batch_size=4",
    "training.select_every=3",
    "training.select_words=16",
    "evaluation.max_length=20",
    "evaluation.num_words=16",
)
CONFIG = RunConfig.from_pairs(TINY)


def sealed(path, content):
    """Content with the sha256 that fits it."""
    path.write_bytes(content)
    digest_path(path).write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run.safetensors"
    train(CONFIG, checkpoint=path)
    load_model(path)  # torch imports what models without storage need, once and for seconds
    return path.read_bytes()


@pytest.fixture(scope="module")
def stopped(finished, tmp_path_factory):
    """A checkpoint of a run under way, after its first round."""
    path = tmp_path_factory.mktemp("stopped") / "run.safetensors"
    seen = []
    with pytest.raises(TrainingStoppedError):
        train(
            CONFIG,
            checkpoint=path,
            report=lambda progress: seen.append(progress.step),
            should_stop=lambda: bool(seen) and seen[-1] >= 3,
        )
    return path.read_bytes()


def parts_of(content):
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    return load(content), json.loads(header["__metadata__"]["description"])


def with_description(content, change):
    tensors, description = parts_of(content)
    change(description)
    return save(tensors, metadata={"description": json.dumps(description)})


def all_ways(path):
    """Everything that reads a checkpoint; each ends, or says why in one line."""
    for read in (lambda: load_model(path), lambda: train(CONFIG, checkpoint=path)):
        copy, digest = path.read_bytes(), digest_path(path).read_bytes()
        start = time.perf_counter()
        try:
            read()
        except InputError as error:
            assert len(str(error).splitlines()) == 1
            assert len(str(error)) < 3000
            assert path.read_bytes() == copy, "a checkpoint that is refused is kept"
        except TrainingFailedError as error:  # other weights, whose loss is no number
            assert len(str(error).splitlines()) == 1
        finally:
            assert time.perf_counter() - start < 5
            path.write_bytes(copy)
            digest_path(path).write_bytes(digest)


def places_of(tree, place=()):
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        yield (*place, key)
        if isinstance(tree[key], dict | list):
            yield from places_of(tree[key], (*place, key))


def fits_json(value):
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


HOSTILE = [value for value in VALUES if fits_json(value)]


@pytest.mark.parametrize("which", ["finished", "stopped"])
@pytest.mark.parametrize("count", [40, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_mutated_descriptions(request, tmp_path, which, count):
    content = request.getfixturevalue(which)
    rng = random.Random(0)

    def change(description):
        places = list(places_of(description))
        if rng.random() < 0.5:  # the part that is read is a small one
            places = [place for place in places if place[0] != "config"]
        *outer, last = rng.choice(places)
        part = description
        for key in outer:
            part = part[key]
        if isinstance(part, dict) and rng.random() < 0.25:
            del part[last]
        else:
            part[last] = rng.choice(HOSTILE)

    for _ in range(count):
        all_ways(sealed(tmp_path / "run.safetensors", with_description(content, change)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["pack"].append(d["pack"][0]), "holds another run"),
        (lambda d: d.update(pack=[5]), r"none of this library \(0: input should be"),
        (lambda d: d.update(pack={}), r"\(pack: input should be a valid list"),
        (lambda d: d["pack"][0].pop("history"), r"\(0\.history: field required"),
        (lambda d: d["pack"][0].update(step=-1), r"\(0\.step: input should be greater"),
        (lambda d: d["pack"][0].update(step=10**30), r"\(0\.step"),
        (lambda d: d["pack"][0].update(step=0), "at step 0, outside of the round that follows"),
        (lambda d: d["pack"][0].update(step=10**6), "at step 1000000, outside of the round"),
        (lambda d: d["pack"][0].update(status="done"), r"\(0\.status"),
        (lambda d: d["pack"][0]["history"][0].pop("loss"), r"\(0\.history\.0\.loss: field req"),
    ],
)
def test_a_run_under_way_is_described_or_refused(stopped, tmp_path, change, says):
    path = sealed(tmp_path / "run.safetensors", with_description(stopped, change))
    with pytest.raises(InputError, match=says):
        train(CONFIG, checkpoint=path)


def test_tensors_of_another_shape_are_not_spread_over_a_run_under_way(stopped, tmp_path):
    """A tensor of one number would be copied into every weight."""
    tensors, description = parts_of(stopped)
    for name, tensor in tensors.items():
        for wrong in (tensor.reshape(-1)[:1], tensor.to(torch.bfloat16)):
            if (wrong.shape, wrong.dtype) == (tensor.shape, tensor.dtype):
                continue
            content = save(tensors | {name: wrong}, {"description": json.dumps(description)})
            path = sealed(tmp_path / "run.safetensors", content)
            with pytest.raises(InputError, match=f"holds another model: {name}"):
                train(CONFIG, checkpoint=path)


@pytest.mark.parametrize("which", ["finished", "stopped"])
@pytest.mark.parametrize("count", [40, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_mutated_bytes_with_a_fitting_digest(request, tmp_path, which, count):
    content = request.getfixturevalue(which)
    header = 8 + int.from_bytes(content[:8], "little")
    rng = random.Random(1)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(rng.choice([8, header, len(changed)]))] = rng.randrange(256)
        all_ways(sealed(tmp_path / "run.safetensors", bytes(changed)))


@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_no_changed_file_is_accepted_without_its_digest(finished, tmp_path, count):
    path = sealed(tmp_path / "run.safetensors", finished)
    rng = random.Random(2)
    for _ in range(count):
        changed = bytearray(finished)
        kind, place = rng.random(), rng.randrange(len(changed))
        if kind < 0.7:
            changed[place] ^= rng.randrange(1, 256)
        elif kind < 0.85:
            del changed[place:]
        else:
            changed[place:place] = rng.randbytes(rng.randrange(1, 50))
        path.write_bytes(changed)
        with pytest.raises(InputError, match="does not match its sha256"):
            load_tensors(path)


class Gadget:
    """Unpickling it makes a folder."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".ckpt", ".npy", ".safetensors"])
@pytest.mark.parametrize("protocol", range(6))
def test_pickles_never_run_whatever_they_are_called(tmp_path, suffix, protocol, capsys):
    """42 payloads, through the library and through the command line."""
    marker = tmp_path / "marker"
    gadgets = [Gadget(os.mkdir, str(marker)), Gadget(os.system, f"mkdir {marker}")]
    path = sealed(tmp_path / f"model{suffix}", pickle.dumps(gadgets, protocol=protocol))
    with pytest.raises(InputError):
        load_model(path)
    assert main(["analyze", str(path), "--tables"]) == EXIT_BAD_INPUT
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not marker.exists()
    pickle.loads(pickle.dumps(gadgets[0], protocol=protocol))
    assert marker.exists(), "the payload itself works"


@pytest.mark.parametrize("description", [{}, {"config": 5}, {"config": {"task": 1}}])
def test_analyze_refuses_a_checkpoint_without_configuration(
    finished, tmp_path, capsys, description
):
    def change(kept):
        del kept["config"]
        kept.update(description)

    path = sealed(tmp_path / "run.safetensors", with_description(finished, change))
    assert main(["analyze", str(path), "--tables"]) == EXIT_BAD_INPUT
    assert len(capsys.readouterr().err.splitlines()) == 1
