"""Read expressions such as `temperature * hold <= 9000` or `if gas == "air" then temperature <= 1100`.

The grammar, weakest binding first:

    condition   if condition then condition | condition or condition | condition and condition | not condition
                | term (<= < >= > == !=) term … | parameter (== !=) "category"
    term        term (+ -) term | term (* /) term | - term | term ** term | function(term, …) | number | parameter

Nothing is ever evaluated as code; a word outside the vocabulary is an error that says where it stands.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from sdl.errors import listed, near_miss
from sdl.space.expressions import (
    FUNCTIONS,
    MANY,
    AllOf,
    AnyOf,
    Call,
    Category,
    Comparison,
    Condition,
    Name,
    Negative,
    Number,
    Operation,
    Term,
    negated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 1000
"""Most characters of an expression (chosen: what is longer is no longer read by people)."""

_DEEPEST = 40
_MOST_OPERATIONS = 200
_KEYWORDS = frozenset({"if", "then", "and", "or", "not"})
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<sign>\*\*|<=|>=|==|!=|[-+*/()<>,])
    )""",
    re.VERBOSE,
)
_COMPARED = frozenset({"<=", "<", ">=", ">", "==", "!="})
_HINTS = {
    "=": "write == for 'is', <= or >= for limits",
    "^": "write ** for a power",
    "&": "write and",
    "|": "write or",
    "!": "write not, or !=",
    "≤": "write <=",
    "≥": "write >=",
    "·": "write *",
    "×": "write *",
    "%": "there is no such operation",
    "[": "use round brackets",
    "{": "use round brackets",
    "$": "write the parameter's name without it",
}


@dataclass(frozen=True)
class _Text:
    """A text in quotes."""

    value: str
    at: int


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


_Node = Term | Condition | _Text


def read_condition(text: str) -> Condition:
    """Read what holds or does not.

    Raises:
        ValueError: it is none; the message says at which character.
    """
    parser = _Parser(text)
    node = parser.whole()
    if isinstance(node, Comparison | Category | AllOf | AnyOf):
        return node
    raise ValueError(f"{_quoted(text)} compares nothing; write a limit, such as 'temperature * hold <= 9000'")


def read_term(text: str) -> Term:
    """Read what is a number.

    Raises:
        ValueError: it is none; the message says at which character.
    """
    parser = _Parser(text)
    return parser.term_of(parser.whole(), 1)


def _quoted(text: str) -> str:
    return f"'{text if len(text) <= 60 else text[:57] + '…'}'"


class _Parser:
    """A recursive-descent parser of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise ValueError(f"an expression has at most {LONGEST} characters, this one has {len(text)}")
        self.tokens = list(self._split())
        self.next = 0
        self.depth = 0
        self.operations = 0

    def _split(self) -> list[_Token]:
        tokens: list[_Token] = []
        position = 0
        while self.text[position:].strip():
            match = _TOKEN.match(self.text, position)
            if match is None or match.lastgroup is None:
                at = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                sign = self.text[at]
                hint = _HINTS.get(sign, "it belongs to no expression")
                hint = "a text begins here and does not end" if sign in "\"'" else hint
                self.fail(at + 1, f"{sign!r}: {hint}")
            tokens.append(_Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup) + 1))
            position = match.end()
        tokens.append(_Token("end", "", len(self.text) + 1))
        return tokens

    def fail(self, at: int, said: str) -> NoReturn:
        """Refuse the text at a character, from 1."""
        raise ValueError(f"{_quoted(self.text)}, character {at}: {said}")

    # --- tokens

    def _peek(self) -> _Token:
        return self.tokens[self.next]

    def _take(self) -> _Token:
        token = self.tokens[self.next]
        self.next += 1
        return token

    def _accept(self, kind: str, *texts: str) -> _Token | None:
        token = self._peek()
        return self._take() if token.kind == kind and token.text in texts else None

    def _expect(self, kind: str, text: str) -> None:
        if self._accept(kind, text) is None:
            token = self._peek()
            got = f", got '{token.text}'" if token.text else ", but the text ends"
            self.fail(token.at, f"'{text}' is expected{got}")

    # --- the grammar

    def whole(self) -> _Node:
        node = self._condition()
        token = self._peek()
        if token.kind != "end":
            if token.text == "else":
                self.fail(token.at, "there is no 'else'; write a second constraint")
            before = self.tokens[self.next - 1]
            if before.kind == "number" and token.kind == "word" and token.text not in _KEYWORDS:
                self.fail(
                    token.at,
                    f"'{token.text}' after a number: numbers stand without units here; each parameter counts as the "
                    "plain number in its declared unit (and a product is written with *)",
                )
            self.fail(token.at, f"'{token.text}' is not expected here")
        return node

    def _condition(self) -> _Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(self._peek().at, f"is nested deeper than {_DEEPEST} levels")
        first = self._accept("word", "if")
        if first is not None:
            asked = self._condition_of(self._condition(), first.at)
            self._expect("word", "then")
            at = self._peek().at
            node: _Node = AnyOf((negated(asked), self._condition_of(self._condition(), at)))
        else:
            node = self._joined("or")
        self.depth -= 1
        return node

    def _joined(self, word: str) -> _Node:
        at = self._peek().at
        node = self._joined("and") if word == "or" else self._not()
        parts = [node]
        while self._accept("word", word):
            parts.append(self._joined("and") if word == "or" else self._not())
        if len(parts) == 1:
            return node
        conditions = tuple(self._condition_of(p, at) for p in parts)
        return AnyOf(conditions) if word == "or" else AllOf(conditions)

    def _not(self) -> _Node:
        count = 0
        while (token := self._accept("word", "not")) is not None:
            count, at = count + 1, token.at
        node = self._comparison()
        if count == 0:
            return node
        condition = self._condition_of(node, at)
        return negated(condition) if count % 2 else condition

    def _comparison(self) -> _Node:
        node = self._sum()
        found: list[Condition] = []
        while self._peek().kind == "sign" and self._peek().text in _COMPARED:
            sign = self._take()
            other = self._sum()
            found.append(self._compared(node, sign, other))
            node = other
        if not found:
            return node
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def _compared(self, left: _Node, sign: _Token, right: _Node) -> Condition:
        if isinstance(left, _Text) and isinstance(right, Name):
            left, right = right, left
        if isinstance(right, _Text):
            if not isinstance(left, Name):
                self.fail(sign.at, "a text can be compared with a categorical parameter alone")
            if sign.text not in {"==", "!="}:
                self.fail(sign.at, f"'{sign.text}' does not go with a text; write == or !=")
            return Category(left.name, right.value, sign.text == "==", left.at)
        one, two = self.term_of(left, sign.at), self.term_of(right, sign.at)
        if isinstance(one, Number) and isinstance(two, Number):
            self.fail(sign.at, "two numbers are compared; name a parameter")
        return Comparison(one, sign.text, two, sign.at)

    def _sum(self) -> _Node:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> _Node:
        return self._chain(("*", "/"), self._signed)

    def _chain(self, signs: tuple[str, ...], read: Callable[[], _Node]) -> _Node:
        node = read()
        while (sign := self._accept("sign", *signs)) is not None:
            self.operations += 1
            if self.operations > _MOST_OPERATIONS:
                self.fail(sign.at, f"has more than {_MOST_OPERATIONS} operations")
            left = self.term_of(node, sign.at)
            node = Operation(sign.text, left, self.term_of(read(), sign.at))
        return node

    def _signed(self) -> _Node:
        signs = 0
        at = self._peek().at
        negative = False
        while (sign := self._accept("sign", "-", "+")) is not None:
            signs += 1
            negative ^= sign.text == "-"
        node = self._power()
        if not signs:
            return node
        term = self.term_of(node, at)
        return Negative(term) if negative else term

    def _power(self) -> _Node:
        node = self._atom()
        sign = self._accept("sign", "**")
        if sign is None:
            return node
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(sign.at, f"is nested deeper than {_DEEPEST} levels")
        exponent = self._signed()
        self.depth -= 1
        return Operation("**", self.term_of(node, sign.at), self.term_of(exponent, sign.at))

    def _atom(self) -> _Node:
        token = self._take()
        if token.kind == "number":
            number = float(token.text)
            if not math.isfinite(number):
                self.fail(token.at, f"{token.text} is too large")
            return Number(number)
        if token.kind == "text":
            return _Text(token.text[1:-1], token.at)
        if token.kind == "sign" and token.text == "(":
            node = self._condition()
            self._expect("sign", ")")
            return node
        if token.kind != "word" or token.text in _KEYWORDS:
            self.fail(token.at, f"'{token.text}' is not expected here" if token.text else "the text ends too early")
        if self._accept("sign", "(") is None:
            return Name(token.text, token.at)
        return self._call(token)

    def _call(self, name: _Token) -> _Node:
        if name.text not in FUNCTIONS:
            self.fail(
                name.at,
                f"there is no function '{name.text}'{near_miss(name.text, FUNCTIONS)}; there are {listed(FUNCTIONS)}",
            )
        arguments = [self.term_of(self._condition(), name.at)]
        while self._accept("sign", ","):
            arguments.append(self.term_of(self._condition(), name.at))
        self._expect("sign", ")")
        many = name.text in MANY
        if (len(arguments) < 2) if many else (len(arguments) != 1):
            wanted = "at least two arguments" if many else "one argument"
            self.fail(name.at, f"'{name.text}' takes {wanted}, got {len(arguments)}")
        return Call(name.text, tuple(arguments))

    # --- kinds

    def term_of(self, node: _Node, at: int) -> Term:
        """Return a node that is a number."""
        if isinstance(node, _Text):
            self.fail(node.at, f"the text '{node.value}' is no number")
        if isinstance(node, Comparison | Category | AllOf | AnyOf):
            self.fail(at, "a number is needed here, not a comparison")
        return node

    def _condition_of(self, node: _Node, at: int) -> Condition:
        if not isinstance(node, Comparison | Category | AllOf | AnyOf):
            self.fail(at, "a comparison is needed here, such as 'temperature <= 1100'")
        return node
