"""Find a known secret in a text from a server, however the text spells it.

A server that quotes what it was sent escapes it for its page, its JSON or its log, often twice, and
each character in its own way. So the text is read as its escapes mean it, again and again until
they mean nothing more, and each time a secret is looked for.
"""

import re
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Collection, Iterator
from html import unescape
from typing import Final
from urllib.parse import unquote

import attrs

MASK: Final = "***"

_SHORTEST_SECRET: Final = 4
_SHORTEST_ENCODED: Final = 6  # characters of a secret whose base64 is looked for
_MOST_LAYERS: Final = 4
_MISTAKES: Final = (
    ("ascii", "utf-8"),
    ("latin-1", "utf-8"),
    ("utf-8", "latin-1"),
    ("utf-8", "cp1252"),
)
"""How old servers write what they were sent, and how it is read then; or the other way round."""
_ESCAPE: Final = re.compile(
    r"(?:%[0-9a-fA-F]{2})+"
    r"|(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|\\[\"'/\\bfnrt]"
    r"|&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});?"
)
_CUT_ESCAPE: Final = re.compile(
    r"(?:%[0-9a-fA-F]?|\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|&[#\w]*)\Z"
)
_SHORT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@attrs.frozen
class _Layer:
    """A text with one layer of escapes taken off, and where each part of it stood.

    Attributes:
        starts: Where a part begins in `text`, in order.
        spans: The part's place in the text of before, and whether it is an escape there; what is
            none stands there character for character.
    """

    text: str
    starts: list[int]
    spans: list[tuple[int, int, bool]]

    def place(self, begin: int, end: int) -> tuple[int, int]:
        """Return where a part of this text stood in the text of before."""
        return self._first(begin), self._last(end - 1)

    def _first(self, position: int) -> int:
        part = bisect_right(self.starts, position) - 1
        begin, _, escaped = self.spans[part]
        return begin if escaped else begin + position - self.starts[part]

    def _last(self, position: int) -> int:
        part = bisect_right(self.starts, position) - 1
        begin, end, escaped = self.spans[part]
        return end if escaped else begin + position - self.starts[part] + 1


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Return a text from a server with known secrets masked, however it spells them.

    Args:
        text: What came.
        secrets: Values that are known to be secret.
    """
    found = _places(text, _looked_for(secrets))
    shown: list[str] = []
    done = 0
    for begin, end in _merged(found):
        shown += [text[done:begin], MASK]
        done = end
    return "".join([*shown, text[done:]])


def quotes(error: BaseException | None, secrets: Collection[str]) -> bool:
    """Tell whether a secret stands in an error, or in one that it came from.

    Args:
        error: What came from somebody else's code; None quotes nothing.
        secrets: Values that are known to be secret.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        try:
            text = f"{one} {one!r}"
        except Exception:  # noqa: BLE001 - an error of anybody's class, which cannot even be shown
            return True
        if without_secrets(text, secrets) != text:
            return True
    return False


def without_cut_secret(text: str, secrets: Collection[str]) -> str:
    """Return a text that was cut off, without the beginning of a secret at its end.

    Args:
        text: What is left.
        secrets: Values that are known to be secret.
    """
    wanted, layers, shown = _looked_for(secrets), list[_Layer](), text
    end = len(text)
    while True:
        whole = _CUT_ESCAPE.sub("", shown)
        for secret in wanted:
            begun = _begun(whole, secret)
            if begun:
                end = min(end, _traced(layers, len(whole) - begun, len(whole))[0])
        layer = _unescaped(whole)
        if layer is None or len(layers) == _MOST_LAYERS:
            return text[:end]
        layers.append(layer)
        shown = layer.text


def _looked_for(secrets: Collection[str]) -> frozenset[str]:
    forms = {form for value in secrets for form in _forms(value)}
    return frozenset(_spaced(form) for form in forms if len(form) >= _SHORTEST_SECRET)


def _forms(value: str) -> Iterator[str]:
    """Give what a secret becomes on its way: itself, what an escape in it means, its base64."""
    yield from (value, value.rstrip("="))  # padding is often left out
    yield from _mistaken(value)
    layer = _unescaped(value)
    while layer is not None:
        yield layer.text
        layer = _unescaped(layer.text)
    yield from _in_base64(value)


def _mistaken(value: str) -> Iterator[str]:
    """Give what becomes of a value that is written in one encoding, and read in another."""
    for written, read in _MISTAKES:
        yield value.encode(written, errors="replace").decode(read, errors="replace")


def _in_base64(value: str) -> Iterator[str]:
    """Give how base64 spells a value, wherever in a longer one it stands."""
    raw = value.encode(errors="replace")
    if len(raw) < _SHORTEST_ENCODED:
        return
    for before in range(3):
        encoded = b64encode(bytes(before) + raw).decode("ascii")
        # The first and the last characters tell of the neighbours, too.
        core = encoded[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        yield from (core, core.replace("+", "-").replace("/", "_"))


def _spaced(text: str) -> str:
    """Take a plus sign for the space that it may be."""
    return text.replace("+", " ")


def _places(text: str, wanted: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Give the places in a text at which something wanted stands."""
    layers: list[_Layer] = []
    shown = text
    while True:
        spaced = _spaced(shown)
        for secret in wanted:
            begin = spaced.find(secret)
            while begin >= 0:
                yield _traced(layers, begin, begin + len(secret))
                begin = spaced.find(secret, begin + 1)
        layer = _unescaped(shown)
        if layer is None or len(layers) == _MOST_LAYERS:
            return
        layers.append(layer)
        shown = layer.text


def _traced(layers: list[_Layer], begin: int, end: int) -> tuple[int, int]:
    for layer in reversed(layers):
        begin, end = layer.place(begin, end)
    return begin, end


def _merged(places: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    last: tuple[int, int] | None = None
    for begin, end in sorted(places):
        if last is not None and begin <= last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last is not None:
            yield last
        last = (begin, end)
    if last is not None:
        yield last


def _begun(text: str, secret: str) -> int:
    """Return how many characters at the end of a text are the beginning of a secret."""
    spaced, first = _spaced(text), secret[:_SHORTEST_SECRET]
    begin = spaced.find(first, max(len(spaced) - len(secret), 0))
    while begin >= 0 and not secret.startswith(spaced[begin:]):
        begin = spaced.find(first, begin + 1)
    return 0 if begin < 0 else len(spaced) - begin


def _unescaped(text: str) -> _Layer | None:
    """Return a text with one layer of escapes taken off; None where there is none."""
    parts: list[str] = []
    starts: list[int] = []
    spans: list[tuple[int, int, bool]] = []
    done = length = 0

    def take(part: str, begin: int, end: int, *, escaped: bool) -> None:
        nonlocal length
        if part:
            parts.append(part)
            starts.append(length)
            spans.append((begin, end, escaped))
            length += len(part)

    for match in _ESCAPE.finditer(text):
        meant = _meant(match[0])
        if meant == match[0]:
            continue
        take(text[done : match.start()], done, match.start(), escaped=False)
        take(meant, match.start(), match.end(), escaped=True)
        done = match.end()
    take(text[done:], done, len(text), escaped=False)
    return _Layer("".join(parts), starts, spans) if done else None


def _meant(escape: str) -> str:
    if escape[0] == "%":
        return unquote(escape)
    if escape[0] == "&":
        return unescape(escape)
    if escape[1] == "x":
        return chr(int("0" + escape[1:], 0))
    if escape[1] == "u":
        units = bytes.fromhex(escape.replace("\\u", ""))
        return units.decode("utf-16-be", errors="replace")
    return _SHORT.get(escape[1], escape[1])
