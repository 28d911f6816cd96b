"""Regular expressions against Python's own, and errors that point at the position."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automata.dfa import DFA
from automata.errors import InputError
from automata.expressions import MAX_INSTRUCTIONS, parse_expression
from automata.thompson import Operator

few = settings(derandomize=True, max_examples=150, deadline=None)

ATOMS = st.sampled_from(["a", "b", "c", ".", "()", "[ab]", "[^ab]", "[a-b]", "[^c]"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda pair: f"({pair[0]}){pair[1]}"),
        st.tuples(inner, st.integers(0, 3)).map(lambda pair: f"({pair[0]}){{{pair[1]}}}"),
        st.tuples(inner, st.integers(0, 2)).map(lambda pair: f"({pair[0]}){{{pair[1]},}}"),
        st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
            lambda parts: f"({parts[0]}){{{parts[1]},{parts[1] + parts[2]}}}"
        ),
    ),
    max_leaves=6,
)
WORDS = ["".join(w) for n in range(6) for w in itertools.product("abc", repeat=n)]


def accepted(expression, alphabet="abc", words=WORDS):
    dfa = DFA.from_regex(expression, alphabet=alphabet)
    return [word for word in words if dfa.accepts(word)]


@given(EXPRESSIONS)
@few
def test_words_agree_with_python(expression):
    pattern = re.compile(expression)
    assert accepted(expression) == [word for word in WORDS if pattern.fullmatch(word)]


@given(EXPRESSIONS, EXPRESSIONS)
@few
def test_operators_agree_with_the_methods(first, second):
    a, b = DFA.from_regex(first, "abc"), DFA.from_regex(second, "abc")
    assert DFA.from_regex(f"{first}|{second}", "abc") == a.union(b).minimize()
    assert DFA.from_regex(f"({first})({second})", "abc") == a.concatenate(b).minimize()
    assert DFA.from_regex(f"({first})*", "abc") == a.star().minimize()


def test_the_result_is_minimal_and_named():
    dfa = DFA.from_regex("(aa)*b", alphabet="ab")
    assert dfa.alphabet == ("a", "b") and dfa == dfa.minimize() and dfa.num_states == 4
    assert [n for n in range(9) if dfa.count_words(n)] == [1, 3, 5, 7]
    assert DFA.from_regex("a|b", iter("ab")).alphabet == ("a", "b")


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("()", "a{0}"),
        ("()*", "()"),
        ("[]", "[]a"),
        ("[]*", "()"),
        ("[^]", "."),
        ("[^a]", "b|c"),
        ("a**", "a*"),
        ("a?+", "a*"),
        ("a{2}{3}", "aaaaaa"),
        ("a{0,2}", "()|a|aa"),
        ("a{2,}", "aaa*"),
        ("a{0,}", "a*"),
        ("a{0,0}", "()"),
        ("(a|bc){1,3}", "(a|bc)|(a|bc)(a|bc)|(a|bc)(a|bc)(a|bc)"),
        ("ab|c", "(ab)|c"),
        ("ab*", "a(b*)"),
        ("a|b|c", "."),
        ("[a-c]", "."),
        ("((((a))))", "a"),
        ("(a|())b", "a?b"),
        ("()a()", "a"),
        ("[aab]", "a|b"),
    ],
)
def test_ways_to_write_the_same(expression, same):
    assert DFA.from_regex(expression, "abc") == DFA.from_regex(same, "abc")


def test_special_characters_as_symbols():
    symbols = "()[]{}|*+?.\\^-, "
    for symbol in symbols:
        for expression in (f"\\{symbol}", f"[\\{symbol}]"):
            assert accepted(expression, symbols, list(symbols)) == [symbol]
    assert accepted("[^^]", "^a", ["^", "a"]) == ["a"]
    assert accepted("^*-, ", "^-, ", ["-, ", "^-, "]) == ["-, ", "^-, "]
    assert set(accepted("[(|.*-]", symbols, list(symbols))) == set("(|.*-")
    assert accepted("[+-]", "+-", ["+", "-"]) == accepted("[-+]", "+-", ["+", "-"]) == ["+", "-"]
    assert accepted("é|ß{2}", "éß", ["é", "ß", "ßß"]) == ["é", "ßß"]


@pytest.mark.parametrize(
    ("expression", "position", "message"),
    [
        ("", 0, "nothing stands before this; write () for the empty word"),
        ("a(b", 1, "this '(' is never closed"),
        ("a)b", 1, "this ')' closes nothing"),
        ("a]", 1, "this ']' closes nothing"),
        ("a}", 1, "this '}' closes nothing"),
        ("a|", 2, "nothing stands before this; write ()"),
        ("|a", 0, "write () for the empty word"),
        ("a||b", 2, "write ()"),
        ("(a|)", 3, "write ()"),
        ("(|a)", 1, "write ()"),
        ("*a", 0, "nothing stands before this '*' that it could repeat"),
        ("a|*", 2, "this '*'"),
        ("(+a)", 1, "this '+'"),
        ("{2}", 0, "this '{'"),
        ("ad", 1, "symbol 'd' is not in the alphabet ('a', 'b', 'c')"),
        ("a b", 1, "symbol ' '"),
        ("[ad]", 2, "symbol 'd'"),
        ("[a-", 2, "symbol '-' is not in the alphabet"),
        ("a[bc", 1, "this '[' is never closed"),
        ("[x-z]", 1, "no symbol of the alphabet lies in 'x'-'z'"),
        ("[c-b]|a", 1, "no symbol of the alphabet lies in 'c'-'b'"),
        ("a\\", 1, "nothing follows this"),
        ("a\\n", 1, "there is no escape '\\n'"),
        ("[\\d]", 1, "there is no escape '\\d'"),
        ("a{", 1, "give {m}, {m,} or {m,n}"),
        ("a{x}", 1, "give {m}"),
        ("a{,2}", 1, "give {m}"),
        ("a{-1}", 1, "give {m}"),
        ("a{1,2", 1, "give {m}"),
        ("a{1,2,3}", 1, "give {m}"),
        ("a{²}", 1, "give {m}"),
        ("a{3,2}", 1, "{3,2} ends before it starts"),
        ("a{99999999999999999}", 1, "give {m}"),
        ("a{9999999}", 1, "more than 131072 instructions"),
        ("((a{99}){99}){99}", 13, "more than 131072 instructions"),
    ],
)
def test_errors_point_at_the_position(expression, position, message):
    with pytest.raises(InputError) as caught:
        DFA.from_regex(expression, alphabet="abc")
    assert f"expression {expression!r}, position {position}: " in str(caught.value)
    assert message in str(caught.value)


def test_errors_tell_how_to_write_special_symbols():
    with pytest.raises(InputError, match=r"closes nothing; write '\\\)' for itself"):
        DFA.from_regex("a)", alphabet="()a")


def test_long_expressions_are_shown_in_part():
    with pytest.raises(InputError) as caught:
        DFA.from_regex("a" * 500 + "x" + "a" * 500, alphabet="a")
    assert "position 500" in str(caught.value) and len(str(caught.value)) < 200
    assert "..." in str(caught.value)


@pytest.mark.parametrize(
    ("alphabet", "message"),
    [
        ("", "no symbols: give from 1 to 10000"),
        ("aa", "repeats a symbol"),
        (["ab"], "holds 'ab': expressions are over single characters"),
        ([0, 1], "holds 0"),
        (None, "alphabet is None"),
        (map(chr, itertools.count(1)), "more symbols than that: give from 1 to 10000"),
    ],
)
def test_bad_alphabets(alphabet, message):
    with pytest.raises(InputError, match=message):
        DFA.from_regex("a", alphabet=alphabet)


@pytest.mark.parametrize("expression", [None, b"a", 3, ["a"]])
def test_expressions_that_are_no_text(expression):
    with pytest.raises(InputError, match="give a str"):
        DFA.from_regex(expression, alphabet="a")


def test_limits_are_met_before_memory_is_taken():
    wide = [chr(256 + i) for i in range(10_000)]
    with pytest.raises(InputError, match="give at most 65536"):
        DFA.from_regex("a" * 70_000, alphabet="a")
    with pytest.raises(InputError, match="write fewer classes"):
        DFA.from_regex("[^]" * 20_000, alphabet=wide)
    code = parse_expression("a" * 30_000 + "*" * 30_000, ("a",))
    assert len(code) < MAX_INSTRUCTIONS and code.count(Operator.STAR) == 30_000
    assert DFA.from_regex("(" * 30_000 + "a" + ")" * 30_000, "a").num_states == 3
    assert DFA.from_regex("a" + "*" * 20_000, "a").num_states == 1


def test_subsets_refuse_expressions_that_blow_up(monkeypatch):
    monkeypatch.setattr("automata.subsets.MAX_SUBSETS", 1000)
    with pytest.raises(InputError, match="more than 1000 subsets"):
        DFA.from_regex("[ab]*a[ab]{20}", alphabet="ab")


@given(st.text(alphabet="ab()[]{}|*+?.\\^-,01 ", max_size=14))
@settings(derandomize=True, max_examples=1500, deadline=None)
def test_any_text_is_read_or_refused(expression):
    try:
        dfa = DFA.from_regex(expression, alphabet="ab")
    except InputError as error:
        assert re.search(r"position \d+: |subset", str(error))
    else:
        assert dfa.alphabet == ("a", "b")
