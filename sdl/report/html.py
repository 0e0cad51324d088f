"""Markup that cannot forget to escape: text becomes markup only here."""

from __future__ import annotations

import html
import re

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What neither HTML, XML nor UTF-8 can carry."""

_VOID = frozenset({"br", "col", "hr", "input", "meta"})
"""HTML elements without an end tag; SVG has none such."""


class Html(str):
    """Text that is markup already; every other text is escaped when it becomes part of an element."""

    __slots__ = ()


Child = str | float | None
"""What may stand in an element: markup, text, a number, or nothing."""


def escaped(text: str) -> Html:
    """Return text as markup that shows it, fit for content and for attributes in double quotes."""
    return Html(html.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def joined(*children: Child) -> Html:
    """Return children one after the other; what is not markup is escaped."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            parts.append(str(child))
        else:
            parts.append(str(escaped(child if isinstance(child, str) else f"{child:g}")))
    return Html("".join(parts))


def el(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Return an element of HTML or SVG.

    Args:
        name: of the element.
        children: what stands in it.
        attributes: by name, `_` standing for `-` and one at the end for nothing (`class_`); None and False leave the
            attribute out, True gives it no value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(attribute)
            continue
        text = value if isinstance(value, str) else f"{value:.10g}"
        words.append(f'{attribute}="{escaped(text)}"')
    opened = f"<{' '.join(words)}>"
    return Html(opened) if name in _VOID else Html(f"{opened}{joined(*children)}</{name}>")
