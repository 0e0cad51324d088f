"""Tables of numbers and words, read from CSV or Parquet: pools of candidates and measured points."""

from sdl.tables.table import Column, Table, read_table

__all__ = ["Column", "Table", "read_table"]
