"""Large tables of plain numbers are read in one go: the same numbers, lines and mistakes as cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdl.errors import InputError
from sdl.tables import table as module


def both_ways(text: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    for large in (1, 10**9):
        monkeypatch.setattr(module, "_LARGE", large)
        try:
            read = module._read_csv("t.csv", "digest", text.encode())
            cells = {name: list(map(repr, map(str, read.data[name]))) for name in read.columns}
            found.append((read.columns, cells, read.rows, [read.line_of(i) for i in range(read.rows)]))
        except InputError as error:
            found.append(str(error))
    return found


cell = st.sampled_from(
    ["1", "-2.5", "1e-3", " 7 ", "nan", "inf", "1e400", ".5", "5.", "a", "", "1_0", "0x1", '"3"', "１"]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(cell, min_size=1, max_size=3).map(",".join), max_size=5),
    st.sampled_from(["a,b", "a", "a,a", "1,2", "a, b", ""]),
    st.sampled_from(["\n", "\r\n", "\n\n", "\r"]),
    st.booleans(),
)
def test_one_go_reads_what_cell_by_cell_reads(
    monkeypatch: pytest.MonkeyPatch, rows: list[str], header: str, end: str, closed: bool
) -> None:
    text = end.join([header, *rows]) + (end if closed else "")
    fast, slow = both_ways(text, monkeypatch)
    assert fast == slow


def test_a_large_table_takes_the_fast_way(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((20_000, 3))
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n" + "\n".join(",".join(map(repr, map(float, row))) for row in rows) + "\n")
    assert module._read_numbers(str(path), "", path.read_text()) is not None
    read = module.read_table(path)
    assert read.rows == 20_000
    np.testing.assert_array_equal(np.stack([read.data[n] for n in "abc"], axis=1), rows)
    assert read.place(0).endswith("line 2")
    assert read.place(19_999).endswith("line 20001")


def test_parquet_columns_of_numbers_and_words(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"i": [1, 2], "f": [0.5, float("nan")], "w": ["x", "y"]}), path)
    read = module.read_table(path)
    assert read.data["i"].dtype == np.float64
    assert read.data["w"] == ("x", "y")
    with pytest.raises(InputError, match="row 2, column 'f': nan is not finite"):
        read.numbers("f")
    parquet.write_table(pa.table({"i": [1, None]}), path)
    with pytest.raises(InputError, match="row 2, column 'i': the cell is empty"):
        module.read_table(path)
