"""Every task of the registry keeps the promises of a task."""

import itertools
import json

import numpy as np
import pytest

from automata.att import write_att
from automata.dfa import DFA
from automata.errors import InputError
from automata.tasks import AutomatonTask, get_task, list_tasks
from automata.tasks.locality import accuracy_from_last_tokens
from automata.tasks.token_laws import LanguageWords, UniformLetters, Walks, letters_with_weights
from automata.weighted import WeightedDFA

# Rows that are large or need a parameter, made smaller.
PARAMETERS = {
    "in_context_dfa": {"num_automata": 20},
    "modular_arithmetic_brackets_times": {"modulus": 3},
    "modular_arithmetic_brackets": {"modulus": 3},
}
# Supervisions beside the default.
OTHERS = [
    ("s3", {"supervision": "final"}),
    ("s3", {"supervision": "membership"}),
    ("word_problem", {"group": "S4", "generators": "swaps"}),
    ("word_problem", {"group": "Z6", "tokens_per_element": 3}),
    ("bounded_dyck", {"supervision": "next_token"}),
    ("repl_traces", {"supervision": "per_prefix"}),
    ("modular_arithmetic", {"supervision": "final"}),
    ("dyck_1", {"supervision": "final"}),
    ("majority", {"supervision": "membership"}),
    ("tomita_3", {"words": "uniform"}),
    ("tomita_5", {"words": "language", "supervision": "final"}),
    ("random_dfa", {"kind": "permutation", "num_states": 5}),
    ("flip_flop", {"ignore_weight": 8}),
    ("grid_world", {"shape": (3, 2), "label": "boundary"}),
]


@pytest.fixture(scope="module")
def att_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("languages") / "04.04.SL.2.1.0.att"
    write_att(DFA.from_partial([[0, 1], [0, -1]], accepting=[0, 1], alphabet="ab"), path)
    return str(path)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "hamlet.txt"
    path.write_text("to be, or not to be:\nthat is the question.\n" * 30)
    return str(path)


@pytest.fixture(scope="module")
def make(att_file, text_file):
    """Make a task; those that read a file get one."""
    files = {"mlregtest": {"path": att_file}, "text": {"path": text_file}}
    return lambda name, parameters: get_task(name, **parameters, **files.get(name, {}))


ROWS = [(name, PARAMETERS.get(name, {})) for name in list_tasks()] + OTHERS


def ids(row):
    return row if isinstance(row, str) else "-".join(map(str, row.values()))


@pytest.mark.parametrize(("name", "parameters"), ROWS, ids=ids)
def test_batches(name, parameters, make):
    task = make(name, parameters)
    low = task.law.next_length(20)
    for length in (low, (5, 41)):
        whole = task.sample(7, batch_size=12, length=length, split="report")
        again = task.sample(7, batch_size=12, length=length, split="report")
        longest = low if length == low else 41
        assert whole.tokens.shape == whole.targets.shape == whole.mask.shape == (12, longest)
        for part, same in zip(whole, again, strict=True):
            assert (part == same).all()
            assert part.dtype in (np.int64, np.bool_) and part.flags.writeable
        assert (whole.valid == (np.arange(longest) < whole.lengths[:, None])).all()
        assert (whole.tokens[~whole.valid] == task.pad_token).all()
        assert whole.tokens[whole.valid].min() >= 0
        assert whole.tokens[whole.valid].max() < task.num_tokens
        assert whole.targets.min() >= 0 and whole.targets.max() < task.num_classes
        assert (whole.targets[~whole.mask] == 0).all() and whole.mask.any()
        assert (whole.mask <= whole.valid).all()
        if task.supervision == "final":
            assert (whole.mask.sum(axis=1) == 1).all()
            assert whole.mask[np.arange(12), whole.lengths - 1].all()
        for size, steps in ((4, (0, 2)), (1, (11,))):
            for step in steps:
                part = task.sample(7, batch_size=size, length=length, split="report", step=step)
                for rows, all_rows in zip(part, whole, strict=True):
                    assert (rows == all_rows[step * size : (step + 1) * size]).all()
        other = task.sample(7, batch_size=12, length=length, split="train")
        assert other.tokens.shape != whole.tokens.shape or (other.tokens != whole.tokens).any()
    empty = task.sample(batch_size=0, length=low)
    assert empty.tokens.shape == (0, low)


@pytest.mark.parametrize(("name", "parameters"), ROWS, ids=ids)
def test_explain_and_targets(name, parameters, make):
    task = make(name, parameters)
    length = task.law.next_length(12)
    batch = task.sample(3, batch_size=3, length=length)
    shown = task.targets_of(batch.tokens)
    if name == "text":
        # The character after the word is a target too, which the word does not tell.
        batch.mask[:, -1] = False
    assert (shown[batch.mask] == batch.targets[batch.mask]).all()
    for word, targets, mask in zip(batch.tokens, batch.targets, batch.mask, strict=True):
        lines = task.explain(word).splitlines()
        assert len(lines) == length + 2 and len(set(map(len, lines))) == 1
        assert lines[0].split()[:2] == ["position", "token"]
        last = [line.split()[-1] for line in lines[2:]]
        expected = [str(t) if m else "-" for t, m in zip(targets, mask, strict=True)]
        assert last == expected
        # The same through the alphabet.
        symbols = [task.alphabet[token] for token in word]
        assert task.explain(symbols) == task.explain(word)
    assert len(task.explain(np.array([], dtype=np.int64)).splitlines()) == 2


@pytest.mark.parametrize(("name", "parameters"), ROWS, ids=ids)
def test_cards(name, parameters, make):
    task = make(name, parameters)
    card = task.card([4, 20])
    assert json.loads(json.dumps(card))["name"] == task.name
    assert len(card["published"]) > 40 and "``" not in card["published"]
    assert card["num_classes"] == task.num_classes and len(card["alphabet"]) == task.num_tokens
    assert card["is_regular"] == (task.dfa is not None)
    assert card["majority_rate"] and all(0 < rate <= 1 for rate in card["majority_rate"].values())
    local = card["accuracy_from_last_tokens"]
    assert set(local["accuracy"]) == set(local["method"])
    if card["rates"] == "exact" and name != "text":
        accuracies = [local["accuracy"][w] for w, how in local["method"].items() if how == "exact"]
        assert all(a <= b + 1e-9 for a, b in itertools.pairwise(accuracies))
        assert accuracies[0] == pytest.approx(task.majority_rate(local["length"]))
    assert hash(task) == hash(make(name, parameters))
    assert task == make(name, parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [(n, p) for n, p in ROWS if n not in ("in_context_dfa", "mlregtest", "text")],
    ids=ids,
)
def test_exact_rates_agree_with_draws(name, parameters):
    task = get_task(name, **parameters)
    if not task.has_exact_rates:
        return
    length = task.law.next_length(24)
    law = task.class_distribution(length)
    tokens, lengths = task.law.draw(0, 4000, length, length, seed=5, split="train")
    targets, mask = task.label(tokens, lengths)
    for position in (0, length // 2, length - 1):
        asked = targets[mask[:, position], position]
        measured = np.bincount(asked, minlength=task.num_classes) / 4000
        assert abs(law[position] - measured).max() < 0.045


@pytest.mark.parametrize(
    ("name", "parameters", "length"),
    [
        ("parity", {}, 6),
        ("flip_flop", {"ignore_weight": 3}, 5),
        ("grid_world", {}, 6),
        ("modular_arithmetic", {"modulus": 2}, 5),
        ("tomita_4", {}, 7),
        ("repl_traces", {"num_variables": 2}, 6),
    ],
)
@pytest.mark.parametrize("window", [0, 1, 3])
def test_locality_against_all_words(name, parameters, length, window):
    """Sum over every word with its probability, followed token by token through the chain."""
    task = get_task(name, **parameters)
    chain = task.law.chain(length)
    steps = list(chain.steps)
    paths = [((), q, p) for q, p in enumerate(chain.initial.tolist()) if p]
    for step in steps:
        paths = [
            ((*word, a), int(chain.transitions[q, a]), p * float(step[q, a]))
            for word, q, p in paths
            for a in range(task.num_tokens)
            if step[q, a] > 0
        ]
    assert sum(p for *_, p in paths) == pytest.approx(1)
    weights = {}
    for word, _, p in paths:
        state = task.dfa.run(np.array(word))
        if task.supervised_states[state]:
            seen = weights.setdefault(word[length - window :], {})
            target = int(task.state_classes[state])
            seen[target] = seen.get(target, 0) + p
    total = sum(sum(seen.values()) for seen in weights.values())
    best = sum(max(seen.values()) for seen in weights.values())
    found = accuracy_from_last_tokens(task, window, length)
    assert found.method == "exact" and found.accuracy == pytest.approx(best / total)


def test_locality_of_what_is_only_sampled():
    sampled = accuracy_from_last_tokens(get_task("flip_flop", num_values=6), 9, 30)
    assert sampled.method == "sampled" and sampled.accuracy > 0.99
    measured = accuracy_from_last_tokens(get_task("majority"), 0, 31)
    assert measured.method == "measured" and measured.accuracy == pytest.approx(0.5, abs=0.03)


def test_short_words_of_a_language_are_split_by_word():
    task = get_task("tomita_4")
    words = {
        split: {w.tobytes() for w in task.sample(batch_size=2000, length=10, split=split).tokens}
        for split in ("train", "selection", "report")
    }
    assert not words["train"] & words["report"] and not words["train"] & words["selection"]
    assert not words["selection"] & words["report"]


def test_laws():
    assert letters_with_weights([3, 3, 3]) == UniformLetters(3)
    skewed = letters_with_weights([1, 9])
    tokens, _ = skewed.draw(0, 2000, 10, 10, seed=0, split="train")
    assert tokens.mean() == pytest.approx(0.9, abs=0.01)
    with pytest.raises(InputError, match="stop weights"):
        Walks(WeightedDFA([[0]], [[1]], stop_weights=[1]), "ends")
    with pytest.raises(InputError, match="did you mean 'language'"):
        LanguageWords(DFA([[0, 0]]), "langage")
    with pytest.raises(InputError, match="no word of length 3"):
        LanguageWords(DFA([[0, 0]], accepting=[0]), "complement").next_length(3)
    with pytest.raises(InputError, match="the law has 2 tokens"):
        AutomatonTask("three", DFA([[0, 0, 0]]), law=UniformLetters(2))
    with pytest.raises(InputError, match="one boolean for every state"):
        AutomatonTask("two", DFA([[0, 0]]), supervised=[True, False])


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("tomita_8", {}, "did you mean 'tomita_7'|did you mean 'tomita_"),
        ("cycle_navigatoin", {}, "did you mean 'cycle_navigation'"),
        ("s5", {"generators": "swap"}, "did you mean 'swaps'"),
        ("s5", {"generators": "moves_x"}, "unknown generator set"),
        ("z5", {"generators": "swaps"}, "needs permutations"),
        ("a5", {"generators": "swaps"}, "tokens generate 1 of the 60"),
        ("s5", {"generators": "random_1"}, "no 1 elements that generate S5"),
        ("s5", {"generators": "random_999"}, "number of random generators is 999"),
        ("s6", {"tokens_per_element": 60}, "the limit is"),
        ("s3", {"tokens_per_element": 0}, "tokens_per_element is 0"),
        ("bounded_dyck", {"num_kinds": 20, "max_depth": 500}, "too many stacks"),
        ("bounded_dyck", {"max_depth": 0}, "max_depth is 0"),
        ("modular_arithmetic", {"max_depth": 3, "modulus": 10}, "more than 131072 states"),
        ("modular_arithmetic", {"operators": "+/"}, "give some of"),
        ("modular_arithmetic", {"order": "right"}, "unknown order of operations"),
        ("modular_arithmetic", {"modulus": 11}, "modulus is 11"),
        ("grid_world", {"shape": (9999, 9999, 9999)}, "read up to"),
        ("grid_world", {"shape": (2, 2, 2, 2)}, "one to three"),
        ("grid_world", {"label": "stat"}, "did you mean 'state'"),
        ("flip_flop", {"num_values": 10**9}, "read up to"),
        ("even_pairs", {"num_symbols": 10**9}, "read up to"),
        ("adder", {"num_addends": 60000}, "read up to"),
        ("permutation_reset", {"n": 8}, "S8 has order"),
        ("permutation_reset", {"reset_percent": 100}, "give 1 to 99"),
        ("piecewise_testable", {"contains": ["abx"]}, "'x' of 'abx' is not in the alphabet"),
        ("piecewise_testable", {"contains": [], "avoids": []}, "there is no pattern"),
        ("locally_testable", {"contains": ["ab"], "avoids": ["b"]}, "no word has all"),
        ("mlregtest", {}, "needs path"),
        ("mlregtest", {"path": "no such file.att"}, "cannot read"),
        ("mlregtest", {"path": 3}, "path is 3"),
        ("repl_traces", {"num_variables": 26}, "give fewer"),
        ("repl_traces", {"supervision": "membership"}, "unknown supervision"),
        ("in_context_dfa", {"num_automata": 0}, "num_automata is 0"),
        ("tomita_1", {"words": "balancd"}, "did you mean 'balanced'"),
        ("dihedral", {"n": 10**7}, "has order"),
        ("reverse_string", {"num_symbols": 1}, "num_symbols is 1"),
    ],
)
def test_bad_parameters(name, parameters, message):
    with pytest.raises(InputError, match=message):
        get_task(name, **parameters)


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("modular_arithmetic", 20, "no word of length 20: the nearest lengths that have are 19"),
        ("abab", 18, "no word of length 18: the nearest lengths that have are 16 and 20"),
        ("dyck_1", 21, "no word of length 21"),
        ("reverse_string", 21, "no word has length 21"),
        ("dyck_1", 2**20, "at most"),
        ("parity", 2**23, "length is 8388608"),
        ("tomita_2", 2**22 + 2, "length is"),
    ],
)
def test_lengths_without_words(name, length, message):
    with pytest.raises(InputError, match=message):
        get_task(name).sample(batch_size=2, length=length)


def test_batches_too_large_to_hold_are_refused():
    with pytest.raises(InputError, match="too many at once"):
        get_task("s3").sample(batch_size=2**40, length=64)
