"""What may happen next in a world, be it good or bad.

The store keeps its contract and nothing more; the server rotates refresh tokens and detects reuse.
What is one step here is one step in the real world too, as far as anybody else can see it. A token
request has three, for anything may happen between the last look at the lease and the first byte,
and between the server's exchange and the reading of its answer.
"""

from collections.abc import Callable, Iterator
from typing import Final

from oauthkit import Token
from oauthkit.renewal.effects import (
    Answered,
    Ask,
    Delete,
    Done,
    GiveBack,
    Leased,
    Look,
    LookAgain,
    NotHeld,
    Outcome,
    Overtaken,
    Revoke,
    Save,
    Stored,
    TakeLease,
)
from oauthkit.renewal.script import Wish
from oauthkit.renewal.state import TokenState

from .automaton import POLICY, Automaton, Node
from .invariants import check_deleted, check_presented, check_revoked, check_saved
from .world import (
    AWAY,
    AWAY_AND_HELD,
    CUT,
    DEAD,
    EXCUSED,
    FOREIGN,
    FOREIGN_EXPIRED,
    NEVER_SENT,
    NOBODY,
    ON_ITS_WAY,
    UNREVOKED,
    Bounds,
    Process,
    World,
    number_of,
    record_of,
    token_of,
    whole_token,
)

SAVES_IN_A_LEASE: Final = 3
"""A store that is away for so many saves in a row is away for longer than the lease."""

Step = tuple[str, World]


class Physics:
    """Say what may happen next."""

    def __init__(self, automaton: Automaton, bounds: Bounds) -> None:
        """Take the scripts, and how much may go wrong."""
        self.automaton = automaton
        self.bounds = bounds
        self._to_processes: dict[str, Callable[[World, int, Process], Iterator[Step]]] = {
            "crash": self._killed,
            "stop": self._stopped,
            "cancel": self._cancelled,
            "torn down": self._torn_down,
            "failing save": self._badly_saved,
            "revoke": self._logged_out_there,
        }
        self._to_all: dict[str, Callable[[World], Iterator[Step]]] = {
            "store away": self._gone,
            "store set back": self._set_back,
            "logout": self._logged_out,
            "login": self._logged_in,
            "foreign login": self._logged_in_elsewhere,
        }

    def beginning(self, processes: int) -> World:
        """Return a world in which so many processes find the stored token expired."""
        return World((Process(None, self.automaton.blank),) * processes)

    def steps(self, world: World) -> Iterator[Step]:
        """Yield what may happen next, and the world after it."""
        for who, process in enumerate(world.processes):
            if process.node is None:
                yield from self._begun(world, who, process)
            elif process.phase == "sending":
                yield from self._sent(world, who, process, process.node)
            elif process.phase == "reading":
                yield self._read(world, who, process)
            else:
                yield from self._moved(world, who, process, process.node)
        yield from self._mended(world)
        if world.faults < self.bounds.faults:
            yield from self._failed(world._replace(faults=world.faults + 1))

    # A process begins a renewal, because a call wants a token, or to offer what is unsaved

    def _begun(self, world: World, who: int, process: Process) -> Iterator[Step]:
        known = self.automaton.state(process.state)
        if known.unsaved is not None:
            yield self._begin(world, who, process, "offers", Wish(only_offer=True))
        if process.runs < self.bounds.runs and not _is_content(world, known):
            wanting = process._replace(runs=process.runs + 1)
            yield self._begin(world, who, wanting, "looks", Wish())
        if known.held is not None and world.again < self.bounds.again and world.alive:
            more = world._replace(again=world.again + 1)
            wish = Wish(unwanted=known.held.token.access_token)
            yield self._begin(more, who, process, "renews", wish)

    def _begin(self, world: World, who: int, process: Process, what: str, wish: Wish) -> Step:
        # A script begins with a look, and nobody sees it before that.
        begun = process._replace(node=self.automaton.start(process.state, wish))
        stored = Stored(token_of(world.record)) if world.up else AWAY
        return f"{who} {what}", self._tell(world, who, begun, stored)

    # A process does what its script wants done

    def _moved(self, world: World, who: int, process: Process, node: Node) -> Iterator[Step]:
        match node.effect:
            case Look() | LookAgain():
                stored = Stored(token_of(world.record)) if world.up else AWAY
                yield f"{who} looks again", self._tell(world, who, process, stored)
            case TakeLease():
                yield from self._took(world, who, process)
            case Ask(leased=leased):
                if leased and not world.held_by(who):
                    yield f"{who} finds no lease", self._tell(world, who, process, NotHeld())
                else:
                    sending = process._replace(phase="sending", looked=world.held_by(who))
                    yield f"{who} goes to ask", world.put(who, sending)
            case Save(token):
                yield self._saved(world, who, process, token)
            case Delete(leased=leased):
                yield self._deleted(world, who, process, leased=leased)
            case Revoke(text):
                yield from self._revoked(world, who, process, text)
            case GiveBack():
                yield f"{who} gives back", self._tell(_freed(world, who), who, process, Done())
            case _:
                raise AssertionError(node.effect)

    def _took(self, world: World, who: int, process: Process) -> Iterator[Step]:
        if not world.up:
            yield f"{who} cannot have the lease", self._tell(world, who, process, AWAY)
        elif world.holder is None or world.lapsed:
            taken = world._replace(holder=who, lapsed=False)
            yield f"{who} takes the lease", self._tell(taken, who, process, Leased(held=True))
        elif world.record != world.before and world.record is not None:
            # A store may answer who waits once what is stored has changed.
            told = self._tell(world, who, process, Leased(held=False))
            yield f"{who} waits no more", told

    def _saved(self, world: World, who: int, process: Process, token: Token) -> Step:
        if not world.up:
            lasts = world.held_by(who) and process.away + 1 < SAVES_IN_A_LEASE
            after = world if lasts or world.holder != who else world.lapse()
            told = AWAY_AND_HELD if lasts else AWAY
            waiting = process._replace(away=process.away + 1)
            return f"{who} saves in vain", self._tell(after, who, waiting, told)
        if world.holder != who:
            return f"{who} is overtaken", self._tell(world, who, process, Overtaken())
        check_saved(world, who)
        after = world.store(who, record_of(token))
        return f"{who} saves", self._tell(after, who, process, Done())

    # A process ends a login

    def _deleted(self, world: World, who: int, process: Process, *, leased: bool) -> Step:
        if not world.up:
            return f"{who} deletes in vain", self._tell(world, who, process, AWAY)
        if leased and world.holder != who:
            return f"{who} deletes nothing", self._tell(world, who, process, Overtaken())
        assert process.node is not None
        told = [outcome for outcome, _ in process.node.told]
        check_deleted([outcome.token for outcome in told if isinstance(outcome, Stored)], who)
        owed = world.owed or world.record is not None
        before = world.before if world.record is None else world.record
        after = world._replace(record=None, before=before, holder=None, out=True, owed=owed)
        return f"{who} deletes", self._tell(after, who, process, Done())

    def _revoked(self, world: World, who: int, process: Process, text: str) -> Iterator[Step]:
        number, after = int(text[1:]), world
        if text == f"r{world.newest}":
            others = [entry for entry in world.presented if entry[0] != number]
            presented = tuple(sorted([*others, (number, EXCUSED, who)]))
            after = world._replace(alive=False, ended=True, owed=False, presented=presented)
        elif any(entry[:2] == (number, EXCUSED) for entry in world.presented):
            after = world._replace(owed=False)  # what came of it nobody could know
        yield f"{who} revokes {text}", self._tell(after, who, process, Done())
        for kind, reached in (("lost request", world), ("lost answer", after)):
            if self._may_fail(world, kind):
                told = self._tell(_fault(reached), who, process, UNREVOKED)
                yield f"{who}'s revocation: {kind}", told

    # A token request, in three steps

    def _sent(self, world: World, who: int, process: Process, node: Node) -> Iterator[Step]:
        yield f"{who} presents", self._presented(world, who, process, node)
        unsent = process._replace(phase="")
        if self._may_fail(world, "refused connection"):
            refused = self._tell(_fault(world), who, unsent, NEVER_SENT)
            yield f"{who} is refused a connection", refused
        if self._may_fail(world, "lost request"):
            yield f"{who}'s request is lost", self._tell(_fault(world), who, unsent, CUT)
        if self._may_fail(world, "lost answer"):
            after = self._presented(_fault(world), who, process, node).excuse(who)
            cut = after.processes[who]._replace(phase="", answer=None)
            told = self._tell(after._replace(reader=None), who, cut, CUT)
            yield f"{who}'s answer is lost", told

    def _presented(self, world: World, who: int, process: Process, node: Node) -> World:
        """Return the world after the server has worked on a request."""
        number = int(node.effect.right.presents[1:])
        # Its lease ran out, or was lost, between its last look at it and the first byte: nobody but
        # the server can close this window.
        in_window = process.looked and not world.held_by(who)
        check_presented(world, who, number, in_window=in_window)
        answer, after = self._exchanged(world, number)
        others = [entry for entry in world.presented if entry[0] != number]
        # Once it is dead for a reason that nobody can help, it stays so for who comes after.
        still = answer is DEAD and any(e[0] == number and e[1] == EXCUSED for e in world.presented)
        what = EXCUSED if in_window or still else ON_ITS_WAY
        after = after._replace(presented=tuple(sorted([*others, (number, what, who)])))
        reading = process._replace(phase="reading", answer=(answer, number), looked=False)
        return after.put(who, reading)

    def _exchanged(self, world: World, number: int) -> tuple[Outcome, World]:
        """Return the server's answer to a refresh token, and what became of the login."""
        if number == world.newest and world.alive:
            newest = world.newest + 1
            return Answered(whole_token(newest)), world._replace(newest=newest, reader=None)
        if number < world.first:
            return DEAD, world
        if self.bounds.grace and world.alive:
            return Answered(whole_token(world.newest)), world
        return DEAD, world._replace(alive=False)

    def _read(self, world: World, who: int, process: Process) -> Step:
        assert process.answer is not None
        answer, number = process.answer
        after = world
        if isinstance(answer, Answered):
            after = world._replace(known=world.known | {(who, number)})
            if number_of(answer.token) == world.newest:
                after = after._replace(reader=who)
        read = process._replace(phase="", answer=None, away=0)
        return f"{who} reads the answer", self._tell(after, who, read, answer)

    # What goes wrong, and what is mended by itself sooner or later

    def _mended(self, world: World) -> Iterator[Step]:
        if not world.up:
            yield "the store is back", world._replace(up=True)
        if world.holder == NOBODY and not world.lapsed:
            yield "the lease of a dead process runs out", world._replace(lapsed=True)

    def _may_fail(self, world: World, kind: str) -> bool:
        return kind in self.bounds.kinds and world.faults < self.bounds.faults

    def _failed(self, world: World) -> Iterator[Step]:
        for kind in self.bounds.kinds:
            if kind in self._to_all:
                yield from self._to_all[kind](world)
            elif kind in self._to_processes:
                for who, process in enumerate(world.processes):
                    if (process.node is None) == (kind == "revoke"):
                        yield from self._to_processes[kind](world, who, process)

    def _killed(self, world: World, who: int, process: Process) -> Iterator[Step]:
        reader = None if world.reader == who else world.reader
        known = frozenset(entry for entry in world.known if entry[0] != who)
        after = _left(world, who)._replace(reader=reader, known=known)
        if _is_revocation(process):
            after = after._replace(owed=False)  # who is no more tells nobody
        fresh = Process(None, self.automaton.blank, runs=process.runs)
        yield f"{who} is killed, and started again", after.put(who, fresh)

    def _stopped(self, world: World, who: int, process: Process) -> Iterator[Step]:
        if world.held_by(who):
            yield f"{who} is stopped beyond its lease", world.lapse()

    def _cancelled(self, world: World, who: int, process: Process) -> Iterator[Step]:
        """Cancel a renewal that has no answer yet: it gives its lease back."""
        node = process.node
        if _is_revocation(process):  # who is cancelled there only stops waiting
            return
        if node is not None and not process.phase and node.unsaved is None:
            idle = Process(None, node.state, runs=process.runs)
            yield f"{who} is cancelled", _freed(world, who).put(who, idle)

    def _torn_down(self, world: World, who: int, process: Process) -> Iterator[Step]:
        """End an event loop in the middle, and let its process live on."""
        if process.node is not None:
            idle = Process(None, process.node.state, runs=process.runs)
            after = _left(world, who).put(who, idle)
            if _is_revocation(process):
                after = after._replace(owed=False)  # its caller is told
            yield f"the event loop of {who} is torn down", after

    def _badly_saved(self, world: World, who: int, process: Process) -> Iterator[Step]:
        node = process.node
        if node is None or not world.up or not isinstance(node.effect, Save):
            return
        told = AWAY_AND_HELD if world.held_by(who) else AWAY
        yield f"{who}'s save fails", self._tell(world, who, process, told)
        if world.holder == who:
            done = world.store(who, record_of(node.effect.token))
            yield f"{who}'s save is done, and not confirmed", self._tell(done, who, process, told)

    def _gone(self, world: World) -> Iterator[Step]:
        if world.up:
            yield "the store goes away", world._replace(up=False)

    def _set_back(self, world: World) -> Iterator[Step]:
        """Let a replica that lagged behind take over: with what was before, without leases."""
        if world.before is not None and world.record is not None:
            presented = tuple((number, EXCUSED, by) for number, _, by in world.presented)
            yield (
                "the store is set back",
                world._replace(
                    record=world.before,
                    before=None,
                    holder=None,
                    excused=True,
                    presented=presented,
                ),
            )

    def _logged_out(self, world: World) -> Iterator[Step]:
        if world.record is not None:
            yield (
                "the user logs out",
                world._replace(record=None, before=world.record, holder=None, out=True),
            )

    def _logged_out_there(self, world: World, who: int, process: Process) -> Iterator[Step]:
        """Have a process end the login, here and at the server."""
        node = self.automaton.start(process.state, Wish(revoke=True))
        begun = process._replace(node=node, login=world.first)
        yield f"{who} begins to revoke", world.put(who, begun)

    def _logged_in(self, world: World) -> Iterator[Step]:
        newest = world.newest + 1
        yield (
            "the user logs in",
            world._replace(
                record=(newest, True),
                before=world.record,
                holder=None,
                newest=newest,
                first=newest,
                alive=True,
                stored=world.stored | {newest},
                reader=None,
                excused=False,
                out=False,
                ended=False,
                owed=False,
            ),
        )

    def _logged_in_elsewhere(self, world: World) -> Iterator[Step]:
        """Let a session of another server save its token under this key."""
        for number, what in ((FOREIGN, "a fresh"), (FOREIGN_EXPIRED, "an expired")):
            yield (
                f"another server's session saves {what} token",
                world._replace(
                    record=(number, True),
                    before=world.record,
                    holder=None,
                    excused=True,
                    out=False,
                ),
            )

    def _ended_login(self, world: World, who: int, process: Process, node: Node) -> World:
        if node.error:
            return world._replace(owed=False)  # its caller is told
        check_revoked(world, who, process.login, self.automaton.state(node.state))
        return world

    def _tell(self, world: World, who: int, process: Process, outcome: Outcome) -> World:
        """Return the world after a script was told an outcome."""
        assert process.node is not None
        late = process.away * POLICY.save_timeout
        node = self.automaton.tell(process.node, outcome, at=late)
        if node.effect is None:
            if _is_revocation(process):
                world = self._ended_login(world, who, process, node)
            return world.put(who, Process(None, node.state, runs=process.runs))
        return world.put(who, process._replace(node=node))


def _is_revocation(process: Process) -> bool:
    return process.node is not None and process.node.start.wish.revoke


def _is_content(world: World, known: TokenState) -> bool:
    """Tell whether a process holds what is stored."""
    return known.held is not None and known.held.token == token_of(world.record)


def _freed(world: World, who: int) -> World:
    return world._replace(holder=None) if world.holder == who else world


def _left(world: World, who: int) -> World:
    """Return the world in which a process leaves its lease to run out."""
    after = world.excuse(who)
    return after._replace(holder=NOBODY) if world.holder == who else after


def _fault(world: World) -> World:
    return world._replace(faults=world.faults + 1)
