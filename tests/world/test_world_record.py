"""The world's record: durable, rebuilt as it was, and its draws depend on nothing but what they are for."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.driver import Command
from sdl.errors import LedgerError
from sdl.world import World


def command(number: int, sample: str = "s1", action: str = "sinter", **arguments: Any) -> Command:
    return Command(f"id{number}", "c", 1, 1, 0, "furnace", action, arguments, (sample,) if sample else (), 0)


def filled(path: Path | None) -> World:
    world = World(1, path)
    world.begin(command(1, temperature=1000.0), 0.0, 10.0)
    world.begin(command(2, "s2"), 5.0, 10.0)
    world.begin(command(3, ""), 6.0, 1.0)
    world.begin(command(4), 20.0, 10.0)
    world.abort("id4", 25.0)
    return world


def test_it_is_rebuilt_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "worlds/w.jsonl"
    world = filled(path)
    before = world.all_operations()
    assert len(path.read_bytes().splitlines()) == 5, "every effect is on disk at once"
    world.close()
    again = World(1, path)
    assert again.all_operations() == before == filled(None).all_operations()
    assert [o.command for o in again.operations("s1")] == ["id1", "id4"]
    assert [o.over for o in again.operations("s1")] == [10.0, 25.0]
    assert again.operation("id9") is None
    assert again.operations("s9") == []
    again.begin(command(5), 40.0, 1.0)
    again.close()
    assert len(World(1, path).all_operations()) == 5


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", ""]), st.floats(0, 1e9), st.floats(0, 1e6)), max_size=12
    )
)
def test_any_history_is_rebuilt(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, str, float, float]]
) -> None:
    path = tmp_path_factory.mktemp("w") / "w.jsonl"
    world = World(1, path)
    for number, sample, moment, duration in plan:
        if world.operation(f"id{number}") is None:
            world.begin(command(number, sample, x=moment), moment, duration)
        else:
            world.abort(f"id{number}", moment)
    world.close()
    again = World(1, path)
    assert again.all_operations() == world.all_operations()
    again.close()


def test_a_torn_last_line_never_happened(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    filled(path).close()
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in range(1, len(last)):
        path.write_bytes(whole[: -len(last)] + last[: len(last) - cut])
        world = World(1, path)
        assert world.operations("s1")[1].aborted is None
        world.begin(command(7), 50.0, 1.0)
        world.close()
        again = World(1, path)
        assert len(again.all_operations()) == 5
        again.close()


@pytest.mark.parametrize(
    "damage",
    [
        b"not json\n",
        b"\n",
        b"5\n",
        b'"text"\n',
        b"[]\n",
        b"{}\n",
        b'{"effect": "dance"}\n',
        b'{"effect": "begin"}\n',
        b'{"effect": "begin", "command": "id1"}\n',
        b'{"effect": "abort", "command": "id99", "moment": 1}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "w.jsonl"
    filled(path).close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    with pytest.raises(LedgerError, match="is damaged in line 3"):
        World(1, path)


def test_the_same_line_twice_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    filled(path).close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0]]))
    with pytest.raises(LedgerError, match=r"line 6.*begins twice"):
        World(1, path)


def test_a_command_is_carried_out_once(tmp_path: Path) -> None:
    world = filled(tmp_path / "w.jsonl")
    with pytest.raises(LedgerError, match="command id1 was already carried out"):
        world.begin(command(1), 99.0, 1.0)
    world.close()
    again = World(1, tmp_path / "w.jsonl")
    with pytest.raises(LedgerError, match="command id1 was already carried out"):
        again.begin(command(1), 99.0, 1.0)
    assert len(again.all_operations()) == 4
    again.close()


def test_an_abort_comes_once_and_in_time(tmp_path: Path) -> None:
    world = filled(tmp_path / "w.jsonl")
    size = (tmp_path / "w.jsonl").stat().st_size
    world.abort("id4", 22.0)
    world.abort("id1", 10.0)
    assert (tmp_path / "w.jsonl").stat().st_size == size
    assert world.operation("id4").over == 25.0  # type: ignore[union-attr]
    assert world.operation("id1").over == 10.0  # type: ignore[union-attr]
    world.close()


def test_a_closed_record_takes_nothing(tmp_path: Path) -> None:
    world = filled(tmp_path / "w.jsonl")
    world.close()
    world.close()
    with pytest.raises(LedgerError, match="is closed"):
        world.begin(command(8), 0.0, 1.0)
    assert world.operation("id8") is None


@pytest.mark.parametrize("how", ["fsync", "short"])
def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    path = tmp_path / "w.jsonl"
    world = filled(path)
    whole = path.read_bytes()
    if how == "fsync":

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
    else:
        real = world._file
        assert real is not None

        class Short:
            def write(self, data: bytes) -> int:
                return real.write(data[:7])

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        world._file = Short()  # type: ignore[assignment]
    with pytest.raises(LedgerError, match="cannot be written: No space left on device; nothing moved"):
        world.begin(command(8), 0.0, 1.0)
    assert path.read_bytes() == whole
    assert world.operation("id8") is None
    monkeypatch.undo()
    world.begin(command(9), 0.0, 1.0) if how == "fsync" else None
    world.close()
    World(1, path).close()


def test_nan_is_not_written(tmp_path: Path) -> None:
    world = World(1, tmp_path / "w.jsonl")
    with pytest.raises(ValueError, match="Out of range"):
        world.begin(command(1, x=float("nan")), 0.0, 1.0)
    assert (tmp_path / "w.jsonl").read_bytes() == b""
    world.close()


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    filled(tmp_path / "w.jsonl").close()
    rows = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "effect": "begin", "command": "id1", "sample": "s1", "instrument": "furnace", "action": "sinter",
        "arguments": {"temperature": 1000.0}, "occurrence": 0, "begins": 0.0, "ends": 10.0, "aborted": None,
        "samples": ["s1"],
    }  # fmt: skip
    assert rows[-1] == {"effect": "abort", "command": "id4", "moment": 25.0}


keys = st.tuples(st.text(max_size=4), st.text(max_size=4), st.integers(0, 3), st.sampled_from(["", "noise", "crack"]))


@given(st.lists(keys, min_size=1, max_size=8, unique=True), st.randoms(), st.integers(0, 99))
def test_draws_do_not_depend_on_the_order_of_calls(
    asked: list[tuple[str, str, int, str]], random: Any, seed: int
) -> None:
    first = {key: World(seed).rng(*key).random(3) for key in asked}
    world = World(seed)
    world.rng("other", "other", 0).random(100)
    shuffled = list(asked)
    random.shuffle(shuffled)
    for key in shuffled:
        np.testing.assert_array_equal(world.rng(*key).random(3), first[key])
    values = [tuple(v) for v in first.values()]
    assert len(set(values)) == len(values)
    assert not np.array_equal(World(seed + 1).rng(*asked[0]).random(3), first[asked[0]])
