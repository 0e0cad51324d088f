"""Column types with which every database holds the same values, in the same order.

What differs between SQLite and PostgreSQL, and would lose a result or make the two disagree:

- PostgreSQL's INTEGER ends at 2**31, SQLite's at 2**63: whole numbers are BIGINT there;
- VARCHAR(n) is a limit there and a remark in SQLite: text is TEXT there;
- text there cannot hold the character U+0000, which an instrument's message may: it is written with an escape;
- order there follows the language of the database, in SQLite the bytes: text is compared by bytes (collation "C").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy import Dialect, MetaData
    from sqlalchemy.types import TypeEngine

_ESCAPE = "\x1b"
"""Begins an escape (the character of that name, which text hardly holds): followed by `0` it stands for U+0000,
doubled for itself."""


class Words(TypeDecorator[str]):
    """Text; `length` is a remark for SQLite's schema."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return what the database calls it."""
        if dialect.name == "postgresql":
            return Text(collation="C")
        return dialect.type_descriptor(self.impl_instance)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return text as the database holds it."""
        if value is None or dialect.name != "postgresql" or not isinstance(value, str):
            return value
        return value.replace(_ESCAPE, 2 * _ESCAPE).replace("\x00", _ESCAPE + "0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Return text as it was written."""
        if value is None or dialect.name != "postgresql" or _ESCAPE not in value:
            return value
        return _ESCAPE.join(part.replace(_ESCAPE + "0", "\x00") for part in value.split(2 * _ESCAPE))


class LongWords(Words):
    """Text that SQLite's schema calls TEXT."""

    impl = Text
    cache_ok = True


def make_portable(metadata: MetaData) -> None:
    """Give every column of text and of whole numbers the type with which all databases hold the same."""
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, Text):
                column.type = LongWords()
            elif isinstance(column.type, String):
                column.type = Words(column.type.length)
            elif isinstance(column.type, Integer) and not isinstance(column.type, BigInteger):
                column.type = Integer().with_variant(BigInteger(), "postgresql")
