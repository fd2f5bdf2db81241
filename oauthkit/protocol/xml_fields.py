"""The fields of an XML answer, read by expat under guard.

Only what a data contract writes is understood: one root, its children as fields. There is no
document type, hence no entity and nothing to fetch; depth, elements and attributes are bounded.
"""

from typing import Any, Final, NoReturn
from xml.parsers import expat

import attrs

from oauthkit.protocol.secret import Unprintable

_LONGEST: Final = 262_144
_DEEPEST: Final = 32
_MOST_ELEMENTS: Final = 10_000
_MOST_ATTRIBUTES: Final = 64
_NIL: Final = "http://www.w3.org/2001/XMLSchema-instance nil"


def xml_fields(content: bytes) -> Unprintable:
    """Return the children of the root by local name: text, or a dict of their own children.

    An element with `xsi:nil` is left out.

    Raises:
        ValueError: It is not such a document; the message shows nothing of it.
    """
    if len(content) > _LONGEST:
        message = "it is longer than 256 KiB"
        raise ValueError(message)
    reader = _Reader()
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content, True)  # noqa: FBT003 - expat takes it by position only
    except expat.ExpatError as error:
        raise ValueError(expat.ErrorString(error.code)) from None
    return reader.fields


@attrs.define
class _Element:
    name: str
    nil: bool = False
    text: list[str] = attrs.field(factory=list[str], repr=False)
    children: Unprintable = attrs.field(factory=Unprintable)

    @property
    def value(self) -> Any:
        return self.children or "".join(self.text)


@attrs.define
class _Reader:
    fields: Unprintable = attrs.field(factory=Unprintable)
    elements: int = 0
    open: list[_Element] = attrs.field(factory=list[_Element])

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if len(self.open) >= _DEEPEST or self.elements > _MOST_ELEMENTS:
            message = "it is nested too deeply, or has too many elements"
            raise ValueError(message)
        if len(attributes) > _MOST_ATTRIBUTES:
            message = "an element has too many attributes"
            raise ValueError(message)
        nil = attributes.get(_NIL, "").strip() in {"true", "1"}
        self.open.append(_Element(name.rpartition(" ")[2], nil))

    def text(self, data: str) -> None:
        self.open[-1].text.append(data)

    def end(self, _name: str) -> None:
        element = self.open.pop()
        if not self.open:
            self.fields = element.children
            return
        siblings = self.open[-1].children
        if element.name in siblings:
            message = "an element stands there twice"
            raise ValueError(message)
        if not element.nil:
            siblings[element.name] = element.value


def _refuse_doctype(*_: object) -> NoReturn:
    message = "it has a document type, which no answer needs"
    raise ValueError(message)
