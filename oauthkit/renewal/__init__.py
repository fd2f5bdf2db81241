"""How a token is renewed: the theory on one page.

**A call** that wants the token asks its `TokenSource`. A fresh token is handed out at once: no
lock, no I/O, no `await` that yields. Else the state says what to do (`TokenState.step`): use the
token at hand, use it and renew beside, or wait for the one renewal on its way. The states in
words, and what each event does to them, stand at the head of `state`.

**A renewal** is a sentence: look at the store; take its lease; look again; ask the server by the
best right there is; save; and only then let anybody use it. `script` tells it as a generator of
effects, and holds every decision: adopt or renew, which right next, what a refusal means, how
often to try, what to do about a lease that was lost or a save that failed. It does nothing
itself. `performer` carries the effects out, with an end to every wait, and decides nothing.
Because the two are apart, a test can carry a script out in any order of events: `tests/model`
explores them all, up to a bound.

**Who else is there.** `shared` has one state and one renewal for each key, for all sessions over
one store in this process. `turns` lets so many renewals be at work at one token endpoint.
`completion` sees a renewal to its end whoever is cancelled, and `watch` stands for all of them in
an event loop: it lets so many begin in one turn, and gives those that have long to wait no task
meanwhile. `spent` remembers which rights are used up. `keeping` renews whatever the traffic.
`status` says how it stands. `policy` has the numbers.

**The end of a login** (`AsyncTokenSession.revoke`) is a script of its own, `revocation`: take the
lease; look which token is the newest; delete it; and then ask the server. It takes the place of a
renewal while it drops the token, so that none begins meanwhile, and one on its way comes to its end
first. What it drops stays dropped, whatever the server says.

**What is promised**

1. One token request for an expiry in a process, and one at a time among all processes that share
   a store: before every try, retries included, the lease and the time are looked at.
2. From the moment it was read, an answer is never given up: it is saved under the lease, however
   often that takes while the lease can be kept; then it is kept at hand and offered again by
   itself, also when the session is closed or the event loop is shut down, for a bounded time. A
   save is refused only by somebody else's lease, login, logout or save, never by the time that
   passed.
3. A process never presents a refresh token that it knows to be spent. A store that was set back
   is given what this process got for it.
4. A login or a logout wins over whatever is on its way. A token in the store that another server
   gave, or another client got, is neither used nor spent nor replaced.
5. Whatever fails sets a pause, which grows. Nobody waits for ever.

**What cannot be promised.** Between the server's exchange and the save, the next refresh token
exists on its way alone: a process that is killed then, or a connection that is cut, takes it
along; and where the store stays away until the lease is over, another process may come first. And
a process may be stopped between its last look at the lease and the first byte of its request, for
longer than its lease: then two processes present one refresh token. No client can close these; a
server can, by a grace window.
"""

from oauthkit.renewal.policy import RenewalPolicy
from oauthkit.renewal.source import TokenSource

__all__ = ["RenewalPolicy", "TokenSource"]
