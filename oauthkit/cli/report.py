"""What the demo found out, computed from what the servers saw and the calls returned."""

from collections.abc import Sequence
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import attrs

from oauthkit.testing.documented import Exchange, System
from oauthkit.version import __version__


@attrs.frozen(kw_only=True)
class Row:
    """One documented way to get a token, and how it fared; a line of the table.

    Attributes:
        fetched: Token requests by the grant itself.
        refreshed: Token requests with a refresh token that followed.
        expiries: How many times the token ended under the crowd, and was asked for anew.
        extra: Token requests beyond one for each expiry.
        slowest: Seconds that the slowest call took, waiting for a renewal included.
    """

    system: System
    grant: str
    format: str
    fetched: int
    refreshed: int
    expiries: int
    extra: int
    calls: int
    failed: int
    slowest: float

    @classmethod
    def of(
        cls, system: System, grant: str, format_: str, requests: Sequence[Exchange], *, life: float
    ) -> "Row":
        """Return the row of one way, with no calls yet.

        A token request that comes less than half a life after the one before it is not due to an
        expiry.

        Args:
            system: Which.
            grant: The grant_type that it began with.
            format_: What the format is called.
            requests: What the server's log has about its token endpoint.
            life: Seconds that a token lives.
        """
        moments = [request.at for request in requests]
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        extra = sum(gap < life / 2 for gap in gaps)
        refreshed = sum("refresh_token" in request.parameters for request in requests[1:])
        return cls(
            system=system,
            grant=grant,
            format=format_,
            fetched=len(requests) - refreshed,
            refreshed=refreshed,
            expiries=len(gaps) - extra,
            extra=extra,
            calls=0,
            failed=0,
            slowest=0.0,
        )

    @property
    def name(self) -> str:
        """What the way is called where something is said about it."""
        return f"{self.system}, {self.grant}, {self.format}"

    def problems(self, requests: Sequence[Exchange], *, expiries: int) -> list[str]:
        """Return what was not as it should be.

        Args:
            requests: What the server's log has about its token endpoint.
            expiries: How many times the token should have ended, at least.
        """
        found = [
            f"{self.name}: a token request was answered with {request.status_code}"
            for request in requests
            if request.status_code != HTTPStatus.OK
        ]
        if self.extra:
            found.append(
                f"{self.name}: {self.extra} more token requests than its {self.expiries} expiries"
            )
        if self.expiries < expiries:
            found.append(f"{self.name}: the token expired {self.expiries} times, not {expiries}")
        return found


@attrs.frozen(kw_only=True)
class Report:
    """What the demo found out.

    Attributes:
        rows: The table.
        answers: What the three documented functions returned, all through one session.
        requests: How many requests the servers compared with their documents.
        violations: How many differences they found.
        peak: How many calls were under way at once, at most.
        seconds: How long it all took.
        problems: What was not as documented or promised; none is what is wanted.
    """

    rows: tuple[Row, ...]
    answers: dict[str, Any]
    requests: int
    violations: int
    peak: int
    life: int
    seconds: float
    problems: tuple[str, ...]

    @property
    def calls(self) -> int:
        """How many calls were made over expiring tokens."""
        return sum(row.calls for row in self.rows)

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(row.failed for row in self.rows)

    @property
    def fetched(self) -> int:
        """How many tokens were fetched by the grants themselves."""
        return sum(row.fetched for row in self.rows)

    @property
    def refreshed(self) -> int:
        """How many tokens were refreshed."""
        return sum(row.refreshed for row in self.rows)

    @property
    def expiries(self) -> int:
        """How many times a token ended under the crowd."""
        return sum(row.expiries for row in self.rows)

    @property
    def extra(self) -> int:
        """How many token requests there were beyond one for each expiry."""
        return sum(row.extra for row in self.rows)

    @property
    def slowest(self) -> float:
        """Seconds that the slowest call of all took."""
        return max((row.slowest for row in self.rows), default=0.0)

    @property
    def ok(self) -> bool:
        """Whether everything was as documented and promised."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return it all as JSON values."""
        return {
            "oauthkit": __version__,
            "ok": self.ok,
            "problems": list(self.problems),
            "seconds": round(self.seconds, 3),
            "token_life": self.life,
            "requests_checked": self.requests,
            "violations": self.violations,
            "calls": self.calls,
            "failed": self.failed,
            "peak": self.peak,
            "expiries": self.expiries,
            "extra_token_requests": self.extra,
            "answers": self.answers,
            "rows": [attrs.asdict(row) | {"slowest": round(row.slowest, 4)} for row in self.rows],
        }
