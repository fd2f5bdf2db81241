"""How renewal behaves, in numbers."""

import attrs

from oauthkit.errors import ConfigurationError


def _positive(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not value > 0:
        message = f"RenewalPolicy.{attribute.name} must be above 0, not {value!r}"
        raise ConfigurationError(message)


def _not_negative(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not value >= 0:
        message = f"RenewalPolicy.{attribute.name} must not be negative, it is {value!r}"
        raise ConfigurationError(message)


def _positive_integer(instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if not value > 0:
        message = f"RenewalPolicy.{attribute.name} must be above 0, not {value!r}"
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True)
class RenewalPolicy:
    """Say when a token is renewed and how long anything may take; all in seconds.

    Example:
        >>> RenewalPolicy(leeway=60.0).timeout
        30.0

    Attributes:
        leeway: How long before its expiry a token is renewed, at most half of its life. Until it
            expires it is still used, while one task renews it beside.
        jitter: The share of the leeway by which a fleet's renewals are spread.
        timeout: How long one renewal may wait for the lease, and then ask the server, retries
            included. A store's leases must live longer.
        save_timeout: How long the store may take for one answer, and how long a save that fails is
            tried again after the server has answered.
        recheck: How long a token is used before the store is looked at again: so long may another
            process's login or logout go unnoticed.
        default_life: How long a token lives whose expiry is unknown; None is until an API says 401.
        longest_pause: The growing pause between tries after failures ends growing here.
        without_store: Renew even when the store cannot be asked. Two processes may then spend one
            refresh token, and a server that detects reuse signs everybody out.
        capacity: How many keys' tokens are kept at hand in the process for one store.
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
    without_store: bool = False
    capacity: int = attrs.field(default=10_000, validator=_positive_integer)
