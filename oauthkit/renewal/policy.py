"""How renewal behaves, in numbers."""

import attrs

from oauthkit.errors import ConfigurationError
from oauthkit.kinds import Checked


def _positive(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not value > 0:
        message = f"RenewalPolicy.{attribute.name} must be above 0, not {value!r}"
        raise ConfigurationError(message)


def _not_negative(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not value >= 0:
        message = f"RenewalPolicy.{attribute.name} must not be negative, it is {value!r}"
        raise ConfigurationError(message)


def _some(instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if not value > 0:
        message = f"RenewalPolicy.{attribute.name} must be above 0, not {value!r}"
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True)
class RenewalPolicy(Checked):
    """Say when a token is renewed and how long anything may take; all in seconds.

    Example:
        >>> RenewalPolicy(leeway=60.0).timeout
        30.0

    Attributes:
        leeway: How long before its expiry a token is renewed, at most half of its life. Until it
            expires it is still used, while one task renews it beside.
        jitter: The share of the leeway by which a fleet's renewals are spread.
        timeout: How long one renewal may wait for its turn, then for the lease, and then ask the
            server, retries included. A store's leases must live longer.
        save_timeout: How long the store may take for one answer, and how long calls wait for a
            save that fails after the server has answered; the renewal goes on offering it.
        recheck: How long a token is used before the store is looked at again: so long may another
            process's login or logout go unnoticed.
        default_life: How long a token lives whose expiry is unknown; None is until an API says 401.
        longest_pause: The most seconds between two tries after failures, also where the server asks
            for more; until then each pause is longer than the last.
        idle_life: How long the server keeps a refresh token that is not used; None is unknown. A
            `keeper` renews before it ends.
        concurrency: How many token requests one event loop has on their way to one token endpoint
            at most; further renewals wait their turn, so that keys that expire together are no
            storm. Event loops in several threads have so many each.
        renew_without_lease: Renew even when the store cannot be asked, and so without its lease.
            **Danger**: two processes may then spend one refresh token, and a server that detects
            reuse signs the resource owner out everywhere. It is for grants that spend nothing,
            such as client credentials, and for servers that do not rotate refresh tokens.
        capacity: How many keys' tokens are kept at hand in the process for one store; what has
            expired is forgotten before. Each costs about 2 kB; a key beyond them costs a look at
            the store at each use.
    """

    leeway: float = attrs.field(default=30.0, validator=_not_negative)
    jitter: float = attrs.field(default=0.2, validator=_not_negative)
    timeout: float = attrs.field(default=30.0, validator=_positive)
    save_timeout: float = attrs.field(default=3.0, validator=_positive)
    recheck: float = attrs.field(default=5.0, validator=_not_negative)
    default_life: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_positive)
    )
    longest_pause: float = attrs.field(default=60.0, validator=_positive)
    idle_life: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_positive)
    )
    concurrency: int = attrs.field(default=16, validator=_some)
    renew_without_lease: bool = False
    capacity: int = attrs.field(default=100_000, validator=_some)
