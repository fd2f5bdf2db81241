"""A store, a server and some processes, as one value."""

from typing import Any, Final, NamedTuple

import attrs

from oauthkit import InvalidGrant, StoreError, Token, TransportError
from oauthkit.renewal.effects import Failed, Lost, NotSent, Outcome, Refused, Unrevoked

from .automaton import FUTURE, ISSUER, PAST, Node

OTHER_ISSUER: Final = "https://other.example"

AWAY: Final = Failed(StoreError("away"))
AWAY_AND_HELD: Final = Failed(StoreError("away"), held=True)
CUT: Final = Lost(TransportError("cut"))
UNREVOKED: Final = Unrevoked(TransportError("cut"))
NEVER_SENT: Final = NotSent(TransportError("refused", sent=False))
DEAD: Final = Refused(InvalidGrant("invalid_grant", status_code=400))

FOREIGN: Final = -1
"""The number of a fresh token of another server; the next one is of an expired token there."""
FOREIGN_EXPIRED: Final = -2

NOBODY: Final = -1
"""Who holds the lease of a process that is no more."""

# What became of who presented a refresh token last
ON_ITS_WAY: Final = "on its way"
EXCUSED: Final = "excused"
SAVED: Final = "saved"

Record = tuple[int, bool] | None
"""What the store has: the number of a token, and whether its refresh token is still with it."""


@attrs.frozen
class Bounds:
    """How much may go wrong, and how often what is wanted.

    Attributes:
        faults: How many faults there are, of all kinds together.
        kinds: Which kinds there are.
        runs: How many renewals a process begins by itself.
        again: How many renewals are wanted beyond the first.
        grace: Whether the server answers a spent refresh token with its successor again.
    """

    faults: int
    kinds: frozenset[str]
    runs: int = 2
    again: int = 1
    grace: bool = False


# Named tuples, where the rest of the house has attrs: millions of these are compared and hashed.


class Process(NamedTuple):
    """One process.

    Attributes:
        node: Where its script is; None while none is at work.
        state: What it knows, as a number, while none is.
        phase: How far its token request is: "", "sending" or "reading".
        answer: What it will read, and for which refresh token.
        runs: How many renewals it has begun by itself.
        away: How many saves in a row found the store away.
        looked: Whether it saw that it had the lease before it went to ask.
        login: The first token of the login that was there as it began to revoke.
    """

    node: Node | None
    state: int
    phase: str = ""
    answer: tuple[Outcome, int] | None = None
    runs: int = 0
    away: int = 0
    looked: bool = False
    login: int = 0


class World(NamedTuple):
    """Everything there is.

    Attributes:
        processes: All of them.
        record: What the store has.
        before: What it had before that.
        holder: Whose lease is the latest; nothing came after it.
        lapsed: Whether that lease has run out.
        up: Whether the store can be asked.
        newest: The newest token that the server gave.
        first: The first one of the login that is alive; earlier ones are of logins before it.
        alive: Whether that login is.
        presented: What became of who presented each refresh token last: token, what, who.
        known: Which process has read the successor of which refresh token.
        stored: Which tokens the store has had.
        reader: Who has read the newest token, and lives; None where nobody does.
        excused: Whether the store may have another one than the newest: it was set back.
        out: Whether the user has logged out, and not in again.
        ended: Whether a process had the server revoke the login.
        owed: Whether a process has deleted a token, and neither revoked it nor told anybody.
        faults: How many faults there were.
        again: How many further renewals were wanted.
    """

    processes: tuple[Process, ...]
    record: Record = (0, True)
    before: Record = None
    holder: int | None = None
    lapsed: bool = False
    up: bool = True
    newest: int = 0
    first: int = 0
    alive: bool = True
    presented: tuple[tuple[int, str, int], ...] = ()
    known: frozenset[tuple[int, int]] = frozenset()
    stored: frozenset[int] = frozenset({0})
    reader: int | None = None
    excused: bool = False
    out: bool = False
    ended: bool = False
    owed: bool = False
    faults: int = 0
    again: int = 0

    def held_by(self, who: int) -> bool:
        """Tell whether a process has the lease now."""
        return self.holder == who and not self.lapsed

    def put(self, who: int, process: Process) -> "World":
        """Return the world with another process in the place of one."""
        processes = list(self.processes)
        processes[who] = process
        return self._replace(processes=tuple(processes))

    def store(self, who: int, record: tuple[int, bool]) -> "World":
        """Return the world after a process has saved a token."""
        presented = tuple(
            (number, SAVED if by == who and number < record[0] else what, by)
            for number, what, by in self.presented
        )
        return self._replace(
            record=record,
            before=self.record if self.record != record else self.before,
            stored=self.stored | {record[0]},
            presented=presented,
        )

    def lapse(self) -> "World":
        """Return the world after a lease ran out while its holder lives: stopped, or cut off."""
        assert self.holder is not None
        return self.excuse(self.holder)._replace(lapsed=True)

    def excuse(self, who: int) -> "World":
        """Return the world in which a process is no more expected to save what it asked for."""
        presented = tuple(
            (number, EXCUSED if by == who and what != SAVED else what, by)
            for number, what, by in self.presented
        )
        return self._replace(presented=presented)

    def canonical(self) -> "World":
        """Return the same world with its processes in order: which is which does not matter."""
        processes = self.processes
        order = sorted(range(len(processes)), key=lambda who: _rank(processes[who]))
        if order == list(range(len(processes))):
            return self
        name = {old: new for new, old in enumerate(order)} | {NOBODY: NOBODY}
        return self._replace(
            processes=tuple(processes[who] for who in order),
            holder=None if self.holder is None else name[self.holder],
            presented=tuple((number, what, name[who]) for number, what, who in self.presented),
            known=frozenset((name[who], number) for who, number in self.known),
            reader=None if self.reader is None else name[self.reader],
        )


def _rank(process: Process) -> tuple[Any, ...]:
    node = 0 if process.node is None else id(process.node)
    answer = (-1, "")
    if process.answer is not None:
        answer = process.answer[1], type(process.answer[0]).__name__
    counted = process.runs, process.away, process.looked, process.login
    return node, process.state, process.phase, answer, counted


def token_of(record: Record) -> Token | None:
    """Return a token; number 0 has expired, and so has one of the two of another server."""
    return None if record is None else whole_token(*record)


def whole_token(number: int, whole: bool = True) -> Token:  # noqa: FBT001, FBT002 - a record's parts
    """Return a token, with its refresh token or without."""
    if (number, whole) not in _TOKENS:
        _TOKENS[number, whole] = Token(
            f"a{number}",
            issued_at=PAST - 100,
            expires_at=PAST if number in {0, FOREIGN_EXPIRED} else FUTURE,
            refresh_token=f"r{number}" if whole else None,
            issuer=OTHER_ISSUER if number < 0 else ISSUER,
        )
    return _TOKENS[number, whole]


_TOKENS: Final[dict[tuple[int, bool], Token]] = {}


def number_of(token: Token) -> int:
    """Return the number of a token."""
    return int(token.access_token[1:])


def record_of(token: Token) -> tuple[int, bool]:
    """Return a token as the store has it."""
    return number_of(token), token.refresh_token is not None
