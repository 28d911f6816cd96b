"""A run is its configuration: identity, defaults, and what is refused."""

import hashlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from automata.dfa import DFA
from automata.errors import InputError
from automata.tasks import Task, register_task
from statetrack.models import config as models
from statetrack.training import RunConfig
from statetrack.training import config as training_config
from statetrack.training.config import EvaluationConfig

BASE = ("task=s3", "model=householder")

# One other value for every leaf: the defaults are in the code, these only have to differ.
OTHER_VALUES = [
    "task.generator_seed=1",
    "task.tokens_per_element=2",
    "task=s5",
    "task.supervision=final",
    "task.generators=standard",
    "model=mru",
    "model.width=32",
    "model.num_layers=2",
    "model.mlp_ratio=3",
    "model.short_convolution=3",
    "model.eigenvalue_range=[0,1]",
    "model.range_steepness=2.0",
    "model.num_factors=2",
    "model.num_heads=2",
    "model.head_size=4",
    "model.beta_bias=0.25",
    "training.length=41",
    "training.batch_size=65",
    "training.steps=601",
    "training.learning_rate=0.001",
    "training.published_rates=true",
    "training.weight_decay=0",
    "training.warmup_steps=0",
    "training.final_rate_share=0.5",
    "training.beta1=0.8",
    "training.beta2=0.95",
    "training.clip_norm=2",
    "training.curriculum=doubling",
    "training.schedule=constant",
    "training.stop=solved",
    "training.optimizer=sgd",
    "training.projections=bfloat16",
    "training.select_every=7",
    "training.select_words=100",
    "evaluation.max_length=255",
    "evaluation.num_words=1024",
    "evaluation.seed=1",
    'evaluation.families=["repeated"]',
    "evaluation.read_transitions=false",
    "seed=1",
]


def config(*pairs):
    return RunConfig.from_pairs([*BASE, *pairs])


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_the_identity_is_the_hash_of_canonical_json_with_semantics():
    one = config()
    text = one.canonical_json()
    tree = json.loads(text)
    assert text == json.dumps(tree, sort_keys=True, separators=(",", ":"))
    assert tree["semantics"] == {
        "model": models.model_entry("householder").semantics,
        "task": one.task.build().semantics,
        "trainer": training_config.TRAINER_SEMANTICS,
    }
    assert one.run_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_identity_does_not_depend_on_the_order_of_keys():
    pairs = ["task=s3", "model.width=32", "model=householder", "seed=4", "model.num_factors=2"]
    identities = {RunConfig.from_pairs(order).run_id for order in itertools.permutations(pairs)}
    assert len(identities) == 1
    tree = RunConfig.from_pairs(pairs).model_dump()
    backwards = json.loads(json.dumps(tree), object_pairs_hook=lambda items: dict(items[::-1]))
    assert {RunConfig.from_tree(backwards).run_id} == identities


def test_every_leaf_enters_the_identity():
    identities = [config().run_id, *(config(pair).run_id for pair in OTHER_VALUES)]
    assert len(set(identities)) == len(identities)
    named = {pair.partition("=")[0] for pair in OTHER_VALUES}
    dumped = {
        name.replace(".parameters.", ".").replace(".name", "")
        for name, _ in leaves(config().model_dump())
    }
    assert dumped <= named, "a key of the configuration that this test does not vary"


def test_spelling_out_a_default_of_model_training_or_evaluation_changes_nothing():
    for name, value in leaves(config().model_dump()):
        if name.startswith("task."):
            continue
        text = json.dumps(value) if isinstance(value, tuple) else value
        pair = f"{name.replace('.parameters.', '.').replace('.name', '')}={text}"
        assert config(pair).run_id == config().run_id, pair


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (["task=s3"], ["task=s3", "task.supervision=per_prefix"]),
        (["task=s3"], ["task=s3", "task.generators=all"]),
        (["task=random_dfa"], ["task=random_dfa", "task.num_states=8"]),
        (["task=s3"], ["task=S3"]),
    ],
)
def test_spelling_out_a_default_of_the_task_changes_nothing(short, long):
    one, other = (RunConfig.from_pairs([*task, "model=lstm"]) for task in (short, long))
    assert one.task.build() == other.task.build()
    assert one.run_id == other.run_id


def test_a_raised_semantics_of_task_model_or_trainer_is_another_run(monkeypatch):
    dfa = DFA([[0, 1], [1, 0]])
    pairs = ["task=mine", "model=mine"]
    identities = []

    def register(task_semantics, model_semantics):
        register_task(
            "mine", lambda: Task.from_dfa(dfa, "mine", semantics=task_semantics), overwrite=True
        )
        models._REGISTRY.pop("mine", None)
        models.register_model(
            "mine",
            models.BackboneConfig,
            lambda config, num_tokens, num_classes: None,
            semantics=model_semantics,
        )
        identities.append(RunConfig.from_pairs(pairs).run_id)

    register(1, 1)
    register(2, 1)
    register(1, 2)
    monkeypatch.setattr(training_config, "TRAINER_SEMANTICS", 10**6)
    register(1, 1)
    assert len(set(identities)) == 4


def test_frozen_down_to_the_parameters():
    one = config()
    before = one.run_id
    for change in (
        lambda: setattr(one, "seed", 1),
        lambda: setattr(one.training, "steps", 1),
        lambda: setattr(one.model, "name", "lstm"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            change()
    assert one.run_id == before
    with pytest.raises(TypeError):
        one.model.parameters["width"] = 1
    assert one.run_id == before


@pytest.mark.parametrize(
    ("pairs", "named", "nearest"),
    [
        (["task=partiy"], "partiy", "parity"),
        (["model=housholder"], "housholder", "householder"),
        (["sed=1"], "sed", "seed"),
        (["trainin.steps=1"], "trainin.steps", "training"),
        (["training.stesp=1"], "training.stesp", "training.steps"),
        (["evaluation.num_word=1"], "evaluation.num_word", "evaluation.num_words"),
        (["model.num_factor=1"], "num_factor", "num_factors"),
        (["task.supervison=final"], "supervison", "supervision"),
        (["task.supervision=finl"], "finl", "final"),
        (["training.steps.x=1"], "training.steps.x", "training.steps"),
        (["model=mru", "model.input_method=ldi"], "ldi", "ldu"),
        (["model.eigenvalue_range=[-1,1"], "[-1,1", "[-1,1]"),
    ],
)
def test_an_unknown_name_is_named_with_the_nearest(pairs, named, nearest):
    with pytest.raises(InputError) as refusal:
        config(*pairs)
    line = str(refusal.value)
    assert repr(named) in line
    assert repr(nearest) in line.partition("(valid")[0]
    assert "\n" not in line


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        ("training.steps=0", "training.steps"),
        ("training.steps=1.5", "training.steps"),
        ("training.steps=many", "training.steps"),
        ("training.steps=true", "training.steps"),
        ("training.steps=null", "training.steps"),
        ("training.steps=1e400", "training.steps"),
        ("training.learning_rate=0", "training.learning_rate"),
        ("training.learning_rate=-1", "training.learning_rate"),
        ("training.learning_rate=NaN", "training.learning_rate"),
        ("training.learning_rate=Infinity", "training.learning_rate"),
        ("training.beta1=1", "training.beta1"),
        ("training.beta2=NaN", "training.beta2"),
        ("training.final_rate_share=1.1", "training.final_rate_share"),
        ("training.final_rate_share=NaN", "training.final_rate_share"),
        ("training.weight_decay=-0.1", "training.weight_decay"),
        ("training.warmup_steps=-1", "training.warmup_steps"),
        ("training.clip_norm=0", "training.clip_norm"),
        ("training.length=1048577", "training.length"),
        ("evaluation.max_length=0", "evaluation.max_length"),
        ("evaluation.seed=4294967296", "evaluation.seed"),
        ("seed=-1", "seed"),
        ("seed=4294967296", "seed"),
        ("seed=true", "seed"),
        ("model.width=0", "width"),
        ("model.width=wide", "width"),
        ("model.width=true", "width"),
        ("model.range_steepness=NaN", "steepness"),
        ("model.eigenvalue_range=[1,-1]", "[1,-1]"),
        ("model.eigenvalue_range=[-2,1]", "[-2,1]"),
        ("model.eigenvalue_range=[0,0]", "[0,0]"),
        ("model.eigenvalue_range=1", "eigenvalue_range"),
        ("task=7", "task.name"),
        ("model=7", "model.name"),
        ("training=5", "training"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_key(pair, named):
    with pytest.raises(InputError) as refusal:
        config(pair)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("model", ["diagonal", "rwkv7"])  # whose range may be left out
def test_a_range_may_be_a_list(model):
    given = config(f"model={model}", "model.eigenvalue_range=[-1,1]")
    assert given == config(f"model={model}", 'model.eigenvalue_range="[-1,1]"')


@pytest.mark.parametrize(
    "pairs",
    [
        ["training=5", "training.steps=3"],
        ["training.steps=3", "training=5"],
        ["seed=1", "seed.x=2"],
        ["seed=" + "9" * 5000],
        ["seed=" + "[" * 100_000],
        ["seed"],
        ["=5"],
        [""],
        ["model.name=lstm"],
        ["task.=1"],
        ["\0=1"],
    ],
    ids=lambda pairs: pairs[0][:24],
)
def test_malformed_pairs_are_refused_in_one_short_line(pairs):
    with pytest.raises(InputError) as refusal:
        config(*pairs)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("missing", ["task", "model"])
def test_task_and_model_must_be_given(missing):
    pairs = [pair for pair in BASE if not pair.startswith(missing)]
    with pytest.raises(InputError, match=f"no {missing} given: add {missing}=NAME"):
        RunConfig.from_pairs(pairs)


@pytest.mark.parametrize("text", ["[-1,1]", "[0,1]", "[-0.5,0.25]", "[ -1, 1 ]"])
def test_a_range_stays_text(text):
    found = config(f"model.eigenvalue_range={text}").model.parameters["eigenvalue_range"]
    assert found == text.replace(" ", "")


def test_values_keep_their_equals_signs():
    with pytest.raises(InputError, match="a=b=c"):
        config("task=a=b=c")


@given(
    task=st.sampled_from(["task=parity", "task=s3", "task=z7", "task=random_dfa"]),
    model=st.sampled_from(["diagonal", "householder", "mru", "lstm"]),
    width=st.integers(1, 2**16),
    rate=st.floats(1e-12, 1e3),
    share=st.floats(0, 1),
    beta=st.floats(0, 1, exclude_max=True),
    steps=st.integers(1, 10**8),
    seed=st.integers(0, 2**32 - 1),
)
def test_round_trip_through_json(task, model, width, rate, share, beta, steps, seed):
    one = RunConfig.from_pairs(
        [
            task,
            f"model={model}",
            f"model.width={width}",
            f"training.learning_rate={rate!r}",
            f"training.final_rate_share={share!r}",
            f"training.beta1={beta!r}",
            f"training.steps={steps}",
            f"seed={seed}",
        ]
    )
    again = RunConfig.model_validate_json(one.model_dump_json())
    assert again == one
    assert again.run_id == one.run_id
    assert RunConfig.from_tree(json.loads(json.dumps(one.model_dump()))).run_id == one.run_id
    assert one.training.learning_rate == rate
    assert one.training.beta1 == beta


@given(st.integers(1, 2**20))
def test_recorded_lengths(max_length):
    lengths = EvaluationConfig(max_length=max_length).lengths()
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == max_length
    assert lengths[: min(64, max_length)] == list(range(1, min(64, max_length) + 1))
    # "at most 64 more", and the last one where the stride misses it
    assert len(lengths) <= 64 + 64 + 1


def test_a_prefix_of_words_asked_at_their_end_is_refused():
    pairs = ["task=s3", "model=lstm", "training.curriculum=prefix"]
    assert RunConfig.from_pairs(pairs).training.curriculum == "prefix"
    with pytest.raises(InputError, match="asks for the last alone"):
        RunConfig.from_pairs([*pairs, "task.supervision=final"])
