"""Where things stand in a TOML text."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.toml_lines import KeyPath, line_of, locate

TEXT = '''\
# comment = 1
top = 1 # [not.a.table]
[server]   # comment
listen = "127.0.0.1:8080" # key = 2
"quoted key" = 'x # ] }'
'lit' = 1
a.b . "c.d" = true
text = """
[inside]
key = \\""" still
"""
other = \'\'\'
x = 1'\'\'\'
list = [ # comment ]
  "one",

  [2, 3], # two
  { deep = 1, er = [
    4 ] },
]
after = 1979-05-27 07:32:00
[ a . "b.c" ]
x = {}
[[rows]]
name = "first"
[rows.inner]
x = 1
[[rows]]
name = "second"
[[rows.more]]
x = [
]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("server",), 3),
        (("server", "listen"), 4),
        (("server", "quoted key"), 5),
        (("server", "lit"), 6),
        (("server", "a", "b", "c.d"), 7),
        (("server", "text"), 8),
        (("server", "other"), 12),
        (("server", "list"), 14),
        (("server", "list", 0), 15),
        (("server", "list", 1), 17),
        (("server", "list", 1, 1), 17),
        (("server", "list", 2, "deep"), 18),
        (("server", "list", 2, "er", 0), 19),
        (("server", "after"), 21),
        (("a", "b.c"), 22),
        (("a", "b.c", "x"), 23),
        (("rows",), 24),
        (("rows", 0, "name"), 25),
        (("rows", 0, "inner", "x"), 27),
        (("rows", 1), 28),
        (("rows", 1, "name"), 29),
        (("rows", 1, "more", 0, "x"), 31),
    ],
)
def test_everything_has_the_line_it_stands_on(path: KeyPath, line: int) -> None:
    tomllib.loads(TEXT)
    assert locate(TEXT)[path] == line


def test_what_stands_nowhere_has_the_line_of_what_is_round_it() -> None:
    lines = locate(TEXT)
    assert line_of(lines, ("server", "listen", "port")) == 4
    assert line_of(lines, ("server", "missing")) == 3
    assert line_of(lines, ("missing", "key")) == 1


def _paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return {path} - {()} | {deep for key, item in inner for deep in _paths(item, (*path, key))}


KEYS = st.one_of(
    st.text("abc-_1", min_size=1, max_size=3),
    st.text('ab".# =[]\\', max_size=4).map(
        lambda key: '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ),
    st.text('ab".# =[]\\', max_size=4).map(lambda key: f"'{key}'"),
)
SCALARS = st.sampled_from(
    [
        *("1", "-2.5e3", "true", "07:32:00", "1979-05-27 07:32:00", '"a # ] } \\" ,"', "'\\'"),
        *('"""a\n"b""\n\\" """', "'''a\n''b'''", '""', "''", '""""quoted""""', "''''''"),
    ]
)
BLANKS = st.sampled_from(["", " ", "\t", "\n", "\r\n", " # comment ] \n", "\n\n  "])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(st.tuples(BLANKS, inner, BLANKS).map("".join), max_size=3).map(
            lambda items: f"[{','.join(items)}]"
        ),
        st.lists(st.tuples(KEYS, inner).map(" = ".join), max_size=2).map(
            lambda pairs: f"{{ {', '.join(pairs)} }}"
        ),
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(" = ".join),
    st.tuples(KEYS, KEYS, VALUES).map(lambda parts: f"{parts[0]} . {parts[1]}={parts[2]}"),
    KEYS.map(lambda key: f"[{key}]"),
    st.tuples(KEYS, KEYS).map(lambda keys: f"[ {keys[0]}.{keys[1]} ] # end"),
    KEYS.map(lambda key: f"[[{key}]]"),
    st.just("# comment = ["),
)


@given(st.lists(STATEMENTS, max_size=8))
def test_every_path_of_any_text_is_found_and_no_other(statements: list[str]) -> None:
    text = "\n".join(statements).replace("\r\n", "\n")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = locate(text)
    assert set(lines) == _paths(tree)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
