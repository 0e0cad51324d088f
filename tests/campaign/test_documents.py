"""YAML as plain data with places: a subset, strictly; whatever the bytes, never another error than FileProblems."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sdl.campaign import parse_document, read_document
from sdl.campaign.document import LARGEST, dotted
from sdl.campaign.load import parse_override, with_overrides
from sdl.errors import FileProblems, InputError


def problems(text: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        parse_document(text, "f.yaml")
    return [str(p) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml:1:1: is empty; see campaigns/"),
        ("# nothing\n", "f.yaml:1:1: is empty"),
        ("---\n", "f.yaml:1:1: is empty"),
        ("- a\n", "f.yaml:1:1: must be a mapping of keys to values"),
        ("5", "f.yaml:1:1: must be a mapping"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a: the key 'a' stands twice"),
        ("a:\n  b: {c: 1, c: 2}\n", "f.yaml:2:13: a.b.c: the key 'c' stands twice"),
        ("a: 1\n\tb: 2\n", "f.yaml:2:1: a tab stands where only spaces may"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "f.yaml:1:4: the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("a: !x 1\n", "f.yaml:1:4: the tag '!x' is not allowed"),
        ("a: ! 1\n", "f.yaml:1:4: the tag '!' is not allowed"),
        ("a: &x 1\n", "f.yaml:1:4: anchors and aliases are not allowed; write the value out"),
        ("a: *x\n", "f.yaml:1:4: anchors and aliases are not allowed"),
        ("a: 1\n--- \nb: 2\n", "f.yaml:2:1: holds more than one YAML document"),
        ("a: [1, 2\n", "f.yaml:2:1: is not valid YAML: expected ',' or ']'"),
        ("a: b: c\n", "f.yaml:1:5: is not valid YAML: mapping values are not allowed here"),
        ("? [a]\n: 1\n", "f.yaml:1:3: a key must be a plain word"),
        (
            "a: 1\nb: \x07\n",
            "f.yaml:2:4: holds the character U+0007, which no YAML text may hold; is it a binary file?",
        ),
        ('a: "\\0"\n', "f.yaml:1:4: a: the text '\\x00' holds control characters"),
        ('a: "\\e[31m"\n', "f.yaml:1:4: a: the text '\\x1b[31m' holds control characters"),
        ('a: "\\ud800"\n', "f.yaml:1:4: a: the text '\\ud800' holds control characters"),
        ('"\\x01": 1\n', "f.yaml:1:1: the key '\\x01' holds control characters"),
        ("a: " + "[" * 100, "f.yaml:1:43: is nested deeper than 40 levels"),
        ("a: " + "{b: " * 100, "is nested deeper than 40 levels"),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_what_is_refused_and_where(text: str, said: str) -> None:
    assert any(said in p for p in problems(text)), problems(text)


def test_everything_at_once() -> None:
    found = problems("a: &x 1\nb: *x\nc: !t 1\n")
    assert [p.split(" ")[0] for p in found] == ["f.yaml:1:4:", "f.yaml:2:4:", "f.yaml:3:4:"]


def test_an_alias_bomb_is_refused_at_once_and_briefly() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"k{i}: &k{i} [{', '.join(['*a'] * 9)}]\n" for i in range(3000))
    began = time.process_time()
    found = problems(bomb)
    assert time.process_time() - began < 2
    assert len(found) == 50
    assert "anchors and aliases" in found[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("True", "True"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12:30", "12:30"),
        ("1e-3", 0.001),
        ("1.", 1.0),
        ("+5", 5),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("012", 12),
        ("2001-01-01", "2001-01-01"),
        ("'5'", "5"),
        ("2 g", "2 g"),
        ("$x", "$x"),
        ("'$$x'", "$$x"),
        ("9007199254740993", 9007199254740993),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
    ],
)
def test_scalars(written: str, value: Any) -> None:
    found = parse_document(f"a: {written}\n", "f").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_places() -> None:
    document = parse_document("a: 1\nb:\n  c: [x, {d: 2}]\n  e:\n    - 5\n", "f")
    assert {dotted(w): p for w, p in document.places.items()} == {
        "": (1, 1),
        "a": (1, 4),
        "b": (2, 1),
        "b.c": (3, 3),
        "b.c[0]": (3, 7),
        "b.c[1]": (3, 10),
        "b.c[1].d": (3, 14),
        "b.e": (4, 3),
        "b.e[0]": (5, 7),
    }
    assert str(document.problem(("b", "c", 7, "x"), "wrong")) == "f:3:3: b.c[7].x: wrong"


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text("ab$ é:#-'\"", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_ é", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), plain, min_size=1, max_size=4))
def test_what_is_written_is_read_with_true_places(data: dict[str, Any]) -> None:
    def quoted(value: Any) -> Any:
        return value

    text = yaml.dump(quoted(data), allow_unicode=True, default_style='"')
    if "!!" in text:  # with every scalar quoted, other types carry tags, which are refused
        found = problems(text)
        assert all("the tag" in p for p in found)
        return
    document = parse_document(text, "f")
    assert document.data == data
    lines = text.splitlines()
    for line, column in document.places.values():
        assert 1 <= line <= len(lines) + 1
        assert column >= 1


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 99), min_size=1), min_size=1))
def test_places_point_at_the_values(data: dict[str, list[int]]) -> None:
    text = "".join(f"{k}:\n" + "".join(f"  - {v}\n" for v in values) for k, values in data.items())
    document = parse_document(text, "f")
    lines = text.splitlines()
    for key, values in data.items():
        line, column = document.places[(key,)]
        assert lines[line - 1][column - 1 :].startswith(f"{key}:")
        for index, value in enumerate(values):
            line, column = document.places[(key, index)]
            assert lines[line - 1][column - 1 :] == str(value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document = parse_document(text, "f")
    except FileProblems as error:
        count = (
            text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 1
        )
        assert error.problems
        assert all(p.line is not None and 1 <= p.line <= count + 1 and p.column is not None for p in error.problems)
        return
    assert isinstance(document.data, dict)


@given(st.text(alphabet="a1:-{}[],&*!|>'\"%@ \n\t#?~.$", max_size=60))
def test_any_text_of_yaml_signs_is_read_or_refused(text: str) -> None:
    try:
        parse_document(text, "f")
    except FileProblems as error:
        assert error.problems


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        read_document(path)
    except FileProblems as error:
        assert all(p.file == str(path) for p in error.problems)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe\x00a", "is not UTF-8 text (byte 0)"),
        (b"a: 1\nb: \xff\n", ":2:4: is not UTF-8 text (byte 8); a campaign is a YAML text file"),
        (b"\x89PNG\r\n\x1a\n\x00", "is not UTF-8 text"),
        (b"a: 1\n\x00\x00", ":2:1: holds the character U+0000"),
        (b"a: 1\n" + b"#" * LARGEST, f"is too large: a YAML file holds at most {LARGEST} bytes"),
        (b"", ":1:1: is empty"),
    ],
    ids=["utf-16", "latin-1", "png", "nulls", "huge", "empty"],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    with pytest.raises(FileProblems) as caught:
        read_document(path)
    assert said in str(caught.value)


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_document(path).data == {"a": 1}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.yaml", "cannot be read: No such file or directory"),
        ("folder", "cannot be read: Is a directory"),
        ("nul\0.yaml", "cannot be read: embedded null byte"),
        ("x" * 300, "cannot be read: File name too long"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
    ],
    ids=["missing", "folder", "null", "long", "loop"],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileProblems, match=said):
        read_document(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: 1\n")
    path.chmod(0)
    with pytest.raises(FileProblems, match="cannot be read: Permission denied"):
        read_document(path)


def test_a_permission_error_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(FileProblems, match="cannot be read: Permission denied"):
        read_document(tmp_path / "f.yaml")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(FileProblems, match="too large"):
        read_document(Path("/dev/zero"))


# --- --set -----------------------------------------------------------------------------------------------------------

BASE = "name: x\nstop: {experiments: 40}\nprotocol:\n  - {with: {mass: 2 g}}\nempty:\n"


@pytest.mark.parametrize(
    ("text", "where", "value"),
    [
        ("stop.experiments=12", ("stop", "experiments"), 12),
        ("space.parameters.hold.bounds=[1, 8]", ("space", "parameters", "hold", "bounds"), [1, 8]),
        ("protocol[0].with.mass=3 g", ("protocol", 0, "with", "mass"), "3 g"),
        ("planner={type: random}", ("planner",), {"type": "random"}),
        ("name=", ("name",), ""),
        ("a=b=c", ("a",), "b=c"),
    ],
)
def test_overrides_are_read(text: str, where: tuple[Any, ...], value: Any) -> None:
    assert parse_override(text) == (where, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stop.experiments", "write path=value"),
        ("=5", "write path=value"),
        ("a..b=1", "write path=value"),
        (".a=1", "write path=value"),
        ("a.=1", "write path=value"),
        ("a[x]=1", "write path=value"),
        ("a[-1]=1", "write path=value"),
        ("[0]=1", "write path=value"),
        ("a[99999999999999999999]=1", "write path=value"),
        ("a=[1", "--set a=\\[1: the value is not valid YAML"),
        ("a=&x 1", "the value anchors and aliases are not allowed"),
        ("a=!t 1", "the tag"),
        ("a=1\nb: 2", "is more than one value"),
        ("a=\x00", "holds the character U\\+0000"),
        ("stop.experiments.more=1", "f has no such place, stop.experiments is 40"),
        ("protocol[7].with=1", "f has no such place, protocol is \\["),
        ("protocol.with=1", "no such place"),
        ("stop[0]=1", "f has no such place, stop is a mapping"),
        ("name[0].x=1", "f has no such place, name is 'x'"),
        ("empty.x=1", "f has no such place, empty is None"),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_overrides_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        with_overrides(parse_document(BASE, "f"), [text])


def test_overrides_have_their_place_on_the_command_line() -> None:
    original = parse_document(BASE, "f")
    document = with_overrides(original, ["stop.experiments=-1", "new.key=[1, 2]"], name="y", seed=5)
    assert document.data["stop"] == {"experiments": -1}
    assert document.data["new"] == {"key": [1, 2]}
    assert (document.data["name"], document.data["seed"]) == ("y", 5)
    assert str(document.problem(("stop", "experiments"), "is wrong")) == "--set: stop.experiments: is wrong"
    assert str(document.problem(("new", "key", 1), "is wrong")) == "--set: new.key[1]: is wrong"
    assert set(document.overridden) == {"stop.experiments", "new.key", "name", "seed"}
    assert document.text == original.text
    assert original.data["stop"] == {"experiments": 40}, "the original stays"


@given(st.text(max_size=40))
def test_any_override_is_read_or_refused(text: str) -> None:
    document = parse_document(BASE, "f")
    for written in (text, "stop.x=" + text, text + "=1"):
        try:
            with_overrides(document, [written])
        except InputError as error:
            assert "--set" in str(error)
