"""Challenges of an API: the `WWW-Authenticate` header (RFC 9110 §11.6.1, RFC 6750 §3)."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from oauthkit.kinds import checked

_LONGEST: Final = 16_384  # characters of all header values that are looked at
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_PARAMETER: Final = re.compile(
    rf'({_TOKEN})[ \t]*+=[ \t]*+(?:"((?:[^"\\]++|\\.)*+)"|({_TOKEN}))(?=[ \t]*+(?:,|$))', re.DOTALL
)
_SCHEME: Final = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,|$))")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))")
_GAP: Final = re.compile(r"[ \t,]+")
_SKIP: Final = re.compile(r'(?:"(?:[^"\\]++|\\.)*+(?:"|\\?$)|[^,"]++)++', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def _read_only(parameters: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(parameters))


@attrs.frozen
class Challenge:
    """What one authentication scheme asks for.

    Attributes:
        scheme: The scheme in lower case; empty where a server left it out.
        parameters: Its parameters by name in lower case.
        token68: What stands in place of parameters, in schemes such as Negotiate.
        malformed: Whether a parameter stood there twice (RFC 6750 §3); the first one is kept.
    """

    scheme: str
    parameters: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_read_only)
    token68: str | None = None
    malformed: bool = False

    @property
    def error(self) -> str | None:
        """The error code of a Bearer challenge (RFC 6750 §3.1)."""
        return None if self.malformed else self.parameters.get("error")

    @property
    def scope(self) -> str | None:
        """The scope that is needed (RFC 6750 §3)."""
        return None if self.malformed else self.parameters.get("scope")


@checked
def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all `WWW-Authenticate` header values, in order.

    What cannot be understood is passed over; no input is an error. Only the first 16 KiB are
    looked at.

    Args:
        values: The header's values, one or several challenges each.
    """
    drafts: list[_Draft] = []
    room = _LONGEST
    for value in values:
        _read(value[:room], drafts)
        room = max(room - len(value), 0)
    return tuple(draft.challenge() for draft in drafts)


def _read(text: str, drafts: "list[_Draft]") -> None:
    named = False
    position = 0
    while position < len(text):
        if gap := _GAP.match(text, position):
            position = gap.end()
        elif parameter := _PARAMETER.match(text, position):
            if not named:  # servers exist that leave the scheme out
                drafts.append(_Draft(""))
                named = True
            drafts[-1].add(parameter)
            position = parameter.end()
        elif scheme := _SCHEME.match(text, position):
            drafts.append(_Draft(scheme[1].lower()))
            named = True
            position = drafts[-1].take_token68(text, scheme.end())
        else:
            skipped = _SKIP.match(text, position)
            position = skipped.end() if skipped else len(text)


@attrs.define
class _Draft:
    scheme: str
    parameters: dict[str, str] = attrs.field(factory=dict[str, str])
    token68: str | None = None
    malformed: bool = False

    def add(self, parameter: re.Match[str]) -> None:
        name, quoted, plain = parameter[1].lower(), parameter[2], parameter[3]
        if name in self.parameters:
            self.malformed = True
        else:
            self.parameters[name] = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)

    def take_token68(self, text: str, position: int) -> int:
        if _PARAMETER.match(text, position):
            return position
        token68 = _TOKEN68.match(text, position)
        if token68 is None:
            return position
        self.token68 = token68[0]
        return token68.end()

    def challenge(self) -> Challenge:
        return Challenge(self.scheme, self.parameters, self.token68, self.malformed)
