"""Curricula, schedules and stop rules: pure functions of a history, named by text."""

import dataclasses
import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from automata.errors import InputError
from statetrack.training import RunConfig
from statetrack.training.config import TrainingConfig
from statetrack.training.curricula import (
    CURRICULA,
    Doubling,
    Fixed,
    Growing,
    Prefix,
    Stage,
    Uniform,
    register_curriculum,
)
from statetrack.training.data import draw_batch
from statetrack.training.named_objects import MAX_TEXT, MAX_WHOLE, NamedObjects
from statetrack.training.pack_members import last_stage, stage_after
from statetrack.training.pack_training import PackTraining, initial_model
from statetrack.training.schedules import SCHEDULES, Settling, register_schedule
from statetrack.training.stop_rules import STOP_RULES, Plateau, Solved, register_stop_rule
from tests.pack_cases import run_of, trained, weights_of

REGISTRIES = {"curriculum": CURRICULA, "schedule": SCHEDULES, "stop": STOP_RULES}


def walk(curriculum, losses, length):
    """Stages of the rounds that end with these losses, and the one after."""
    history, stages = [], []
    for loss in [*losses, None]:
        stage = curriculum.stage(history, length)
        stages.append(stage)
        history = [*history, {"loss": loss, **dataclasses.asdict(stage)}]
    return stages


# Curricula.


def test_doubling_by_hand():
    stages = walk(Doubling(start=4, threshold=0.1), [0.5, 0.09, 0.1, 0.01, 0.0, 9.0], 20)
    assert stages == [Stage.whole(length) for length in (4, 4, 8, 8, 16, 20, 20)]
    assert walk(Doubling(start=64), [], 20) == [Stage.whole(20)]


def test_doubling_with_as_many_tokens_a_step():
    stages = walk(Doubling(start=4, tokens=96), [0.0, 0.0, 0.0], 20)
    assert [(stage.length, stage.words(16)) for stage in stages] == [
        (4, 16),
        (8, 12),
        (16, 6),
        (20, 4),
    ]
    (stage,) = walk(Doubling(start=64, tokens=10), [], 64)
    assert stage.words(16) == 1


@pytest.mark.parametrize(
    ("curriculum", "expected"),
    [
        ("fixed", Stage.whole(10, 8)),
        ("doubling(tokens=35)", Stage.whole(10, 3)),
        ("prefix", Stage.whole(10, 8)),
        ("uniform(shortest=3)", Stage(10, 3, 10, 8)),
    ],
)
def test_the_last_stage_has_the_training_length(curriculum, expected):
    pairs = ("training.length=10", "training.batch_size=8", f"training.curriculum={curriculum}")
    assert last_stage(run_of("diagonal", *pairs).training) == expected


def test_stages_with_the_same_words_are_one():
    """A cap above the batch size is none: such runs of a pack step together."""
    pairs = ("training.length=4", "training.batch_size=8")
    runs = [
        run_of("diagonal", *pairs, f"training.curriculum={c}")
        for c in ("fixed", "doubling(tokens=99)")
    ]
    first, second = (stage_after([], run.training) for run in runs)
    assert first == second


def test_a_step_of_fewer_words_is_that_of_the_first_ones():
    """One step of gradient descent, beside the same words alone; their number counts as tokens."""
    few = run_of("diagonal", "training.steps=1", "training.curriculum=doubling(start=4,tokens=12)")
    (member,) = trained([few]).members
    assert member.tokens == 12
    batch = draw_batch(member.task, batch_size=few.training.batch_size, length=4, seed=few.seed)
    model = initial_model(few)
    logits, _ = model(batch.tokens[:3])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), batch.targets[:3].flatten())
    assert member.history[-1]["loss"] == pytest.approx(loss.item(), abs=1e-6)


def test_growing_by_hand():
    stages = walk(Growing(start=2, by=3, threshold=1.0), [0.5, 2.0, 0.5, 0.5], 9)
    assert stages == [Stage.whole(length) for length in (2, 5, 5, 8, 9)]


def test_prefix_by_hand():
    stages = walk(Prefix(start=1, by=2, threshold=0.3), [0.2, 0.3, 0.2, 0.2], 6)
    assert stages == [Stage(6, 6, supervised) for supervised in (1, 3, 3, 5, 6)]


def test_fixed_and_uniform_do_not_look_back():
    assert walk(Fixed(), [0.0, 9.0], 7) == [Stage.whole(7)] * 3
    assert walk(Uniform(shortest=3), [0.0, 9.0], 7) == [Stage(7, 3, 7)] * 3
    assert Uniform(shortest=30).stage([], 7) == Stage.whole(7)


@given(
    curriculum=st.sampled_from([Doubling(1), Growing(2, 3), Prefix(), Uniform(), Fixed()]),
    losses=st.lists(st.floats(0, 3), max_size=12),
    length=st.integers(1, 50),
)
def test_stages_fit_and_never_shrink(curriculum, losses, length):
    stages = walk(curriculum, losses, length)
    assert stages == walk(curriculum, losses, length)
    for stage in stages:
        assert 1 <= stage.shortest <= stage.length <= length
        assert 1 <= stage.supervised <= stage.length
    assert [s.length for s in stages] == sorted(s.length for s in stages)
    assert [s.supervised for s in stages] == sorted(s.supervised for s in stages)


def test_beyond_the_prefix_targets_change_nothing(monkeypatch):
    """Other targets at positions that are not supervised yet give the same bits."""
    run = run_of(
        "diagonal", "training.curriculum=prefix(start=3, threshold=0.0001)", "training.steps=6"
    )
    whole = trained([run])
    training = PackTraining([run])
    (member,) = training.members
    sample = member.task.sample

    def changed(*arguments, split="train", **named):
        batch = sample(*arguments, split=split, **named)
        if split == "train":
            batch.targets[:, 3:] = 5 - batch.targets[:, 3:]
        return batch

    monkeypatch.setattr(type(member.task), "sample", lambda self, *a, **k: changed(*a, **k))
    for _ in training.rounds():
        pass
    assert torch.equal(weights_of(training, 0), weights_of(whole, 0))
    monkeypatch.undo()
    shorter = run_of("diagonal", "training.curriculum=prefix(start=2, threshold=0.0001)")
    assert not torch.equal(weights_of(trained([shorter]), 0), weights_of(whole, 0))


def test_uniform_lengths_are_trained_on():
    run = run_of("diagonal", "training.curriculum=uniform(shortest=3)")
    pack = trained([run])
    assert {(row["length"], row["shortest"]) for row in pack.members[0].history} == {(10, 3)}
    assert all(math.isfinite(row["loss"]) for row in pack.members[0].history)
    assert not torch.equal(weights_of(pack, 0), weights_of(trained([run_of("diagonal")]), 0))


# Schedules.


def row(step, loss, length=40, supervised=40):
    return {"step": step, "loss": loss, "length": length, "supervised": supervised}


def test_settling_begins_at_the_training_length():
    settings = TrainingConfig(steps=1000, warmup_steps=10, final_rate_share=0.1)
    schedule = Settling(steps=200)
    growing = [row(100, 0.05, 20, 20), row(200, 0.05, 40, 39)]
    assert schedule.last_step(settings, growing) == 1000
    assert schedule.share(299, settings, growing) == 1.0
    assert schedule.share(4, settings, []) == 0.5
    settled = [*growing, row(400, 0.2), row(500, 0.5)]
    assert schedule.last_step(settings, settled) == 600
    assert schedule.share(400, settings, settled) == pytest.approx(1.0)
    assert schedule.share(500, settings, settled) == pytest.approx(0.55)
    assert schedule.share(600, settings, settled) == pytest.approx(0.1)
    assert schedule.last_step(settings, [row(900, 0.05)]) == 1000
    assert Settling(steps=200, length=20).last_step(settings, growing) == 300


def test_settling_ends_a_run():
    run = run_of(
        "diagonal",
        "training.steps=1000",
        "training.curriculum=doubling(start=5, threshold=100)",
        "training.schedule=settling(steps=7)",
    )
    (member,) = trained([run]).members
    # Ten letters are trained on in the second round of five steps.
    assert [row["step"] for row in member.history] == [5, 10, 15, 17]
    rate = run.training.learning_rate
    rates = [row["learning_rate"] for row in member.history]
    assert rates[:2] == [rate, rate]
    last = 0.02 + 0.98 * (1 + math.cos(math.pi * 6 / 7)) / 2
    assert rates[3] == pytest.approx(rate * last)


def test_constant_stays():
    (member,) = trained([run_of("diagonal", "training.schedule=constant")]).members
    assert {row["learning_rate"] for row in member.history} == {0.003}


# Stop rules.


def scores(*values):
    return [{"selection_whole_prefix": value} for value in values]


def test_solved_by_hand():
    assert not Solved().is_over([])
    assert Solved().is_over(scores(0.2, 0.99))
    assert not Solved().is_over(scores(1.0, 0.98))
    assert Solved(rounds=2).is_over(scores(0.0, 0.99, 1.0))
    assert not Solved(rounds=2).is_over(scores(0.99, 0.5, 1.0))
    assert not Solved(rounds=2).is_over(scores(1.0))


def losses(*values):
    return [{"loss": value} for value in values]


def test_plateau_by_hand():
    rule = Plateau(rounds=2, by=0.1)
    assert not rule.is_over(losses(1.0, 1.0))
    assert rule.is_over(losses(1.0, 0.95, 0.91))
    assert not rule.is_over(losses(1.0, 0.95, 0.89))
    assert rule.is_over(losses(0.5, 2.0, 0.46, 1.0))


def test_solved_stops_a_run_and_plateau_another():
    easy = ("task=first", "training.length=8", "training.batch_size=32", "training.steps=400")
    rate = ("training.learning_rate=0.02", "training.select_every=10")
    solved = run_of("lstm", *easy, *rate, "training.stop=solved")
    flat = run_of("lstm", *easy, *rate, "seed=1", "training.stop=plateau(rounds=2, by=0.9)")
    one, other = trained([solved, flat]).members
    assert one.step < 400
    assert one.history[-1]["selection_whole_prefix"] >= 0.99
    assert all(row["selection_whole_prefix"] < 0.99 for row in one.history[:-1])
    assert 30 <= other.step < 400


# Names.


@dataclasses.dataclass(frozen=True)
class Alternating:
    """Short and long words in turn."""

    short: int = 3

    def stage(self, history, length):
        return Stage.whole(self.short if len(history) % 2 else length)


@dataclasses.dataclass(frozen=True)
class Halving:
    """Half the rate after every round."""

    def share(self, step, settings, history):
        return 0.5 ** len(history)

    def last_step(self, settings, history):
        return settings.steps


@dataclasses.dataclass(frozen=True)
class After:
    """So many rounds."""

    rounds: int = 1

    def is_over(self, history):
        return len(history) >= self.rounds


def test_rules_of_ones_own():
    register_curriculum("alternating", Alternating)
    register_schedule("halving", Halving)
    register_stop_rule("after", After)
    run = run_of(
        "diagonal",
        "training.curriculum=alternating( short = 4 )",
        "training.schedule=halving",
        "training.stop=after(rounds=3)",
    )
    assert run.training.curriculum == "alternating(short=4)"
    (member,) = trained([run]).members
    assert [row["length"] for row in member.history] == [10, 4, 10]
    assert [row["learning_rate"] for row in member.history] == [0.003, 0.0015, 0.00075]
    with pytest.raises(InputError, match="stop rule 'after' is registered already"):
        register_stop_rule("after", After)
    with pytest.raises(InputError, match="'After': use lower-case letters"):
        register_stop_rule("After", After)
    with pytest.raises(InputError, match="'none': expected a dataclass"):
        register_stop_rule("none", int)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("training.curriculum=doublng", "unknown curriculum 'doublng'.*doubling"),
        ("training.curriculum=doubling(strat=4)", "'strat'.*start"),
        ("training.curriculum=doubling(start=0)", "start = 0: expected a whole number >= 1"),
        ("training.curriculum=doubling(start=4.5)", "start = 4.5: expected a whole number"),
        ("training.curriculum=doubling(threshold=nan)", "threshold = nan: expected a number"),
        ("training.curriculum=doubling(threshold=0)", "threshold = 0.0: expected a number > 0"),
        ("training.curriculum=doubling(4)", "'4' is no key=value"),
        ("training.curriculum=doubling(", r"expected a name or name\(key=value, ...\)"),
        ("training.curriculum=growing(by=0)", "growing: by = 0: expected"),
        ("training.curriculum=prefix(by=-1)", "prefix: by = -1: expected"),
        ("training.curriculum=uniform(shortest=0)", "uniform: shortest = 0: expected"),
        ("training.curriculum=fixed(a=1)", "'a'"),
        ("training.schedule=cosin", "unknown schedule 'cosin'.*cosine"),
        ("training.schedule=settling(steps=0)", "settling: steps = 0: expected"),
        (f"training.schedule=settling(steps={10**400})", "expected a whole number"),
        ("training.stop=solvd", "unknown stop rule 'solvd'.*solved"),
        ("training.stop=solved(rounds=0)", "solved: rounds = 0: expected >= 1"),
        ("training.stop=plateau(by=1)", "plateau: by = 1.0: expected 0 to 1"),
    ],
)
def test_bad_text_is_told_in_one_line_with_the_cure(pair, said):
    with pytest.raises(InputError, match=said) as refusal:
        RunConfig.from_pairs(["task=s3", "model=lstm", pair])
    assert len(str(refusal.value).splitlines()) == 1


@dataclasses.dataclass(frozen=True)
class Described:
    """With a field of every kind."""

    text: str = "a b"
    count: int = 3
    share: float = 0.5


DESCRIBED = NamedObjects("rule")
DESCRIBED.register("described", Described)
WORDS = ["described", "doubling", "settling", "text", "start", "count", "share", "steps", "0.5"]
PIECES = [*WORDS, "(", ")", "=", ",", " ", '"', "'", "\\", "1e5", "-1", "nan", "é", "\n", "7"]


@given(
    text=st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES)).map("".join)),
    registry=st.sampled_from([DESCRIBED, *REGISTRIES.values()]),
)
@example(text='described(text="a\\"b")', registry=DESCRIBED)
@example(text="described(text=é)", registry=DESCRIBED)
@example(text="described" * MAX_TEXT, registry=DESCRIBED)
def test_any_text_is_read_or_refused_and_has_one_spelling(text, registry):
    try:
        canonical = registry.canonical(text)
    except InputError:
        return
    assert registry.canonical(canonical) == canonical
    assert registry.build(canonical) == registry.build(text)


@given(
    text=st.text("abz AZ09_.+-/", max_size=20),
    count=st.integers(-MAX_WHOLE, MAX_WHOLE),
    share=st.floats(allow_nan=False, allow_infinity=False),
)
def test_every_value_survives_its_text(text, count, share):
    made = Described(text.strip(), count, share)
    written = f'described(text="{made.text}", count={count}, share={share!r})'
    assert DESCRIBED.build(written) == made
    assert DESCRIBED.build(DESCRIBED.canonical(written)) == made


def test_spelling_out_a_default_does_not_change_the_run():
    base = ["task=s3", "model=lstm"]
    one = RunConfig.from_pairs([*base, "training.curriculum=doubling"])
    other = RunConfig.from_pairs([*base, "training.curriculum= doubling(threshold=0.10,start=4)"])
    assert one.run_id == other.run_id
    assert (
        RunConfig.from_pairs(base).run_id
        == RunConfig.from_pairs(
            [*base, "training.curriculum=fixed()", "training.stop=budget"]
        ).run_id
    )
