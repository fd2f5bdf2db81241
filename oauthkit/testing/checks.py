"""What a document says about a request, compared with what came."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import attrs

from oauthkit.protocol.messages import HTTPRequest
from oauthkit.protocol.secret import Unprintable
from oauthkit.testing.reading import (
    Element,
    UnreadableError,
    authorization,
    basic_credentials,
    form_decoded,
    form_pairs,
    json_pairs,
    media_type,
    multipart_parts,
    xml_document,
)

_BOOLEANS: Final = {"true": True, "false": False}
_LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})


@attrs.frozen
class Shape:
    """Which parameters a documented request has.

    Attributes:
        required: Names that must be there.
        optional: Names that may be there.
        more: Whether any further ones may be.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    more: bool = False


@attrs.define(eq=False)
class Check:
    """Compare one request with its document, and write down where they differ.

    No value of a parameter is written down, as it may be a secret.

    Attributes:
        request: What came.
        violations: What was expected and what came.
        names: The parameters that came.
    """

    request: HTTPRequest
    violations: list[str] = attrs.field(factory=list[str])
    names: tuple[str, ...] = ()

    def expect(self, good: object, expected: str, came: object) -> None:
        """Write a violation down, unless all is well."""
        if not good:
            self.fail(expected, came)

    def fail(self, expected: str, came: object) -> None:
        """Write a violation down."""
        self.violations.append(f"expected {expected}, came {came}")

    def method(self, expected: str) -> None:
        """Expect this method."""
        self.expect(self.request.method == expected, expected, self.request.method)

    def host(self, known: Collection[str] | None) -> None:
        """Expect one of these hosts, or this machine; any where None is given.

        What counts is the `Host` header, which says whom the client meant (RFC 9110 §7.2).
        """
        came = self.request.headers.get("host", urlsplit(self.request.url).netloc).lower()
        here = re.sub(r":\d+$", "", came) in _LOOPBACK
        good = known is None or here or re.sub(r":(80|443)$", "", came) in known
        self.expect(good, f"the host {' or '.join(sorted(known or ()))}", came)

    def header(self, name: str, *expected: str) -> None:
        """Expect a header once, with one of these values; any value where none is given."""
        values = self.request.headers.get_all(name)
        good = len(values) == 1 and (not expected or values[0] in expected)
        self.expect(good, f"{name}: {' or '.join(expected) or 'once'}", values or "none")

    def at_most_once(self, name: str) -> None:
        """Expect a header once or not at all."""
        values = self.request.headers.get_all(name)
        self.expect(len(values) <= 1, f"{name} at most once", values)

    def no_body(self) -> None:
        """Expect no body."""
        self.expect(not self.request.content, "no body", "one")

    def no_authorization(self) -> None:
        """Expect no credentials, as for a call that skips authentication."""
        came = "authorization" in self.request.headers
        self.expect(not came, "no Authorization header", "one")

    def basic(self) -> frozenset[tuple[str, str]] | None:
        """Return the client's credentials, which must be form-encoded, a space as %20, alone."""
        try:
            scheme, token = authorization(self.request.headers) or ("none", "")
            self.expect(scheme == "basic", "Authorization: Basic", scheme)
            if scheme != "basic":
                return None
            raw = basic_credentials(token)
        except UnreadableError as error:
            self.fail("Authorization: Basic", error)
            return None
        encoded = not any(character in "+ " for character in "".join(raw))
        self.expect(encoded, "form-encoded credentials, a space as %20", "others")
        return frozenset({(form_decoded(raw[0]), form_decoded(raw[1]))})

    def bearer(self) -> str:
        """Return the access token, which must be there."""
        try:
            scheme, token = authorization(self.request.headers) or ("none", "")
        except UnreadableError as error:
            scheme, token = str(error), ""
        self.expect(scheme == "bearer", "Authorization: Bearer", scheme)
        return token

    def query(self, shape: Shape) -> Mapping[str, object]:
        """Return the parameters of the query."""
        pairs = parse_qsl(urlsplit(self.request.url).query, keep_blank_values=True)
        return self._shaped(pairs, shape)

    def form(self, shapes: Mapping[str, Shape]) -> Mapping[str, object]:
        """Return the parameters of a form-urlencoded body.

        Args:
            shapes: What belongs to each `grant_type`.
        """
        self.header("content-type", "application/x-www-form-urlencoded")
        return self.granted(self.form_body(), shapes)

    def fields(self, types: Mapping[str, type]) -> Mapping[str, object]:
        """Return the parameters of a form-urlencoded body, all optional; booleans are words."""
        pairs = [(name, self._typed(name, str(text), types)) for name, text in self.form_body()]
        return self._shaped(pairs, Shape(optional=tuple(types)))

    def form_body(self) -> list[tuple[str, object]]:
        """Return the pairs of a form-urlencoded body."""
        try:
            return [*form_pairs(self.request.content)]
        except UnreadableError as error:
            self.fail("a form-urlencoded body", error)
            return []

    def granted(
        self, pairs: Iterable[tuple[str, object]], shapes: Mapping[str, Shape]
    ) -> Mapping[str, object]:
        """Return parameters whose names are compared with what belongs to their grant_type."""
        pairs = list(pairs)
        grant_type = dict(pairs).get("grant_type")
        shape = shapes.get(str(grant_type), Shape(more=True))
        known = grant_type in shapes
        self.expect(known, f"grant_type {' or '.join(shapes)}", repr(grant_type))
        return self._shaped(pairs, attrs.evolve(shape, required=("grant_type", *shape.required)))

    def json(self, types: Mapping[str, type], *, required: bool) -> Mapping[str, object]:
        """Return the members of a JSON body.

        Args:
            types: Which there are, and of which type, to the letter: a boolean is no integer.
            required: Whether all must be there; if not, none has to.
        """
        try:
            pairs = json_pairs(self.request.content)
        except UnreadableError as error:
            self.fail("a JSON object", error)
            return {}
        for name, value in pairs:
            expected = types.get(name, type(value))
            good = type(value) is expected
            self.expect(good, f"{name} as {expected.__name__}", type(value).__name__)
        names = tuple(types)
        return self._shaped(pairs, Shape(required=names) if required else Shape(optional=names))

    def multipart(self, shape: Shape) -> Mapping[str, object]:
        """Return the parts of a multipart body, which must be plain fields."""
        kind = media_type(self.request.headers)
        self.expect(kind == "multipart/form-data", "multipart/form-data", kind or "none")
        self.at_most_once("content-type")
        try:
            parts = multipart_parts(self.request.headers, self.request.content)
        except UnreadableError as error:
            self.fail("a multipart body", error)
            return {}
        for part in parts:
            self.expect(part.name, "a name for every part", "none")
            self.expect(part.filename is None, f"no filename for {part.name}", "one")
            self.expect(part.content_type is None, f"no type for {part.name}", part.content_type)
        return self._shaped([(part.name or "", part.text) for part in parts], shape)

    def xml(self, root: str, namespace: str, types: Mapping[str, type]) -> Mapping[str, object]:
        """Return the elements of an XML body, all optional, in ordinal order of their names."""
        try:
            document = xml_document(self.request.content)
        except UnreadableError as error:
            self.fail("an XML document", error)
            return {}
        came = (document.namespace, document.name)
        self.expect(came == (namespace, root), f"the root {root} in {namespace}", came)
        names = [child.name for child in document.children]
        self.expect(names == sorted(names), "elements in ordinal order", names)
        pairs = [
            (child.name, self._element(child, namespace, types)) for child in document.children
        ]
        return self._shaped(pairs, Shape(optional=tuple(types)))

    def _element(self, element: Element, namespace: str, types: Mapping[str, type]) -> object:
        plain = element.namespace == namespace and not element.attributes and not element.children
        self.expect(plain, f"{element.name} as a plain element in {namespace}", "something else")
        return self._typed(element.name, element.text, types)

    def _typed(self, name: str, text: str, types: Mapping[str, type]) -> object:
        if types.get(name) is not bool:
            return text
        self.expect(text in _BOOLEANS, f"true or false for {name}", "another text")
        return _BOOLEANS.get(text, False)

    def _shaped(self, pairs: Iterable[tuple[str, object]], shape: Shape) -> Mapping[str, object]:
        pairs = list(pairs)
        names = [name for name, _ in pairs]
        known = {*shape.required, *shape.optional}
        self.names = tuple(dict.fromkeys(names))
        for name in self.names:
            self.expect(names.count(name) == 1, f"{name} once", f"{names.count(name)} times")
            self.expect(shape.more or name in known, "documented parameters alone", repr(name))
        for name in shape.required:
            self.expect(name in names, f"the parameter {name}", "none")
        return Unprintable(pairs)
