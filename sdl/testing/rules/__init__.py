"""The rules, in the order in which a driver author meets them."""

from sdl.testing.rules import describing, boundary, conduct, saying, stopping, settling, hygiene  # noqa: I001  the order of the rules

__all__ = ["boundary", "conduct", "describing", "hygiene", "saying", "settling", "stopping"]
