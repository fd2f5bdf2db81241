"""What must hold in every world, and where nothing is left to happen."""

from typing import Final

from oauthkit import Token
from oauthkit.renewal.state import TokenState

from .world import EXCUSED, World, number_of

MOST_ASKS: Final = 2
"""A refresh token may be repeated once, where no answer came."""


class ViolationError(AssertionError):
    """An invariant does not hold."""


def check_presented(world: World, who: int, number: int, *, in_window: bool) -> None:
    """Refuse a refresh token that is presented again for no reason that nobody can help.

    The reasons are: who presented it before was killed, stopped beyond its lease or cut off after
    it had sent, the store was set back meanwhile, or who presents it again lost its lease between
    its last look at it and the first byte. None of them excuses a process that has read itself what
    came of it.

    Raises:
        ViolationError: There is no such reason.
    """
    if number < 0:
        message = f"{who} presents another server's refresh token"
        raise ViolationError(message)
    if (who, number) in world.known:
        message = f"{who} presents r{number} again, although it has read what came of it"
        raise ViolationError(message)
    for presented, what, by in world.presented:
        if presented == number and what != EXCUSED and by != who and not in_window:
            message = f"{who} presents r{number} again, which {by} had presented ({what})"
            raise ViolationError(message)


def check_saved(world: World, who: int) -> None:
    """Refuse a save over another server's token.

    Raises:
        ViolationError: It is one.
    """
    if world.record is not None and world.record[0] < 0:
        message = f"{who} replaces another server's token"
        raise ViolationError(message)


def check_deleted(seen: list[Token | None], who: int) -> None:
    """Refuse to delete another server's token that was seen.

    Raises:
        ViolationError: It is one.
    """
    if any(token is not None and number_of(token) < 0 for token in seen[-1:]):
        message = f"{who} deletes another server's token"
        raise ViolationError(message)


def check_revoked(world: World, who: int, login: int, known: TokenState) -> None:
    """Refuse a revocation that comes to a good end, and leaves the token where it was.

    What a login has put there since the revocation began may stay.

    Raises:
        ViolationError: It does.
    """
    if known.newest() is not None:
        message = f"{who} has revoked its token, and hands it out"
        raise ViolationError(message)
    of_old = not world.alive or world.first == login
    if of_old and not world.excused and world.record is not None and world.record[0] >= 0:
        message = f"{who} has ended the login, and a{world.record[0]} is still in the store"
        raise ViolationError(message)


def check(world: World, *, grace: bool) -> None:
    """Refuse a world that no events may lead to.

    Raises:
        ViolationError: It is such a world.
    """
    if world.out and world.record is not None:
        message = "what the user has logged out of is back in the store"
        raise ViolationError(message)
    if grace and not world.alive and not world.ended:
        message = "a login was lost although the server forgives"
        raise ViolationError(message)
    for who, process in enumerate(world.processes):
        node = process.node
        if node is None:
            continue
        if node.held is not None and number_of(node.held) < 0:
            message = f"{who} hands out another server's token"
            raise ViolationError(message)
        if node.fetched and node.held is not None and node.unsaved != node.held:
            number = number_of(node.held)
            if number not in world.stored:
                message = f"{who} hands out a{number}, which the store never had"
                raise ViolationError(message)
        if node.asks > MOST_ASKS:
            message = f"{who} presents one refresh token {node.asks} times in one renewal"
            raise ViolationError(message)


def check_end(world: World) -> None:
    """Refuse a world in which nothing is left to happen, and something is missing.

    Raises:
        ViolationError: It is.
    """
    for who, process in enumerate(world.processes):
        if process.node is not None:
            message = f"{who} waits for ever: {type(process.node.effect).__name__}"
            raise ViolationError(message)
    if not world.alive or world.excused:
        return
    of_login = world.record is None and world.before == (world.newest, True)
    if world.owed and (of_login or world.reader is not None):
        message = f"a{world.newest} was deleted, lives on at the server, and nobody was told"
        raise ViolationError(message)
    if world.out:
        return
    if world.reader is not None and world.record != (world.newest, True):
        message = f"a{world.newest} was read by {world.reader}, and the store has not got it"
        raise ViolationError(message)
    if world.record is None or not world.record[1]:
        message = "the store has no refresh token, although the login is alive"
        raise ViolationError(message)
