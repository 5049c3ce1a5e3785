import time

import pytest
import yaml

from cytomesh.core.yaml_loader import MAX_DEPTH, load_yaml


def test_plain_documents_are_read_as_by_the_safe_loader():
    text = "a: &x {b: [1, 2.5, yes], c: null}\nd: {<<: *x, c: 2020-02-03}\ne: [*x, *x]\n"
    assert load_yaml(text) == yaml.safe_load(text)
    assert load_yaml("") is None


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a:\n  repair: false\n  b: 1\n  repair: true\n", 4, "key 'repair' is given twice, first in line 2"),
        ("{a: 1, a: 1}", 1, "key 'a' is given twice"),
        ("a: 1\nb: 1:01", 2, "'1:01' is a number to base 60"),
        ("a: 1:30.5", 1, "'1:30.5' is a number to base 60"),
        ("a: 010", 1, "'010' is a number to base 8"),
        ("\na: &a [*a]", 2, "an alias of what it stands in"),
        ("x: 1\na: 2020-13-45", 2, "'2020-13-45' is no timestamp"),
        ("a: !!bool maybe", 1, "'maybe' is no bool"),
        ("a: !!int ''", 1, "'' is no int"),
        ("a: " + "1" * 5000, 1, "is no int"),
        ("a: !!python/name:os.system", 1, "could not determine a constructor"),
        ("a: " + "[" * 3000, 1, f"more than {MAX_DEPTH} levels"),
        ("- " * 5000, 1, f"more than {MAX_DEPTH} levels"),
        ("a: *x", 1, "undefined alias"),
    ],
)
def test_what_is_refused_names_its_line(text, line, problem):
    with pytest.raises(yaml.YAMLError) as caught:
        load_yaml(text)
    assert problem in caught.value.problem
    assert caught.value.problem_mark.line + 1 == line


def test_levels_are_counted_through_aliases():
    chain = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 2 * MAX_DEPTH))]
    assert len(load_yaml("\n".join(chain[: MAX_DEPTH // 2]))) == MAX_DEPTH // 2
    with pytest.raises(yaml.YAMLError, match=f"more than {MAX_DEPTH} levels"):
        load_yaml("\n".join(chain))


def test_aliases_of_aliases_are_refused_at_once():
    """Eight lines for a billion values; safe_load takes them as they are, and a minute to compare or print them."""
    bomb = ["a0: &a0 [" + ",".join("x" * 10) + "]"]
    bomb += [f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, 9)]
    start = time.perf_counter()
    with pytest.raises(yaml.YAMLError, match="more than 1,000,000 values"):
        load_yaml("\n".join([*bomb, "species: *a8"]))
    assert time.perf_counter() - start < 2
