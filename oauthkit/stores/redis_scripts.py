"""What a Redis server does for the store, each script as one step.

KEYS are the record and the lease of one store key, which Redis Cluster keeps in one slot, so that a
script may touch both. The lease is a string with its owner's name that Redis forgets when the lease
runs out; whoever finds it with another name waits. An owner's name is random and never used twice.

The record is a hash: the token, a version that each save makes anew, and, while somebody is at
work, `holder` and `base`: who had the lease last, and what version that was based on. They are the
fence, and outlive the lease. A holder who was stopped until the lease was forgotten may still save
where `holder` is its own name and `base` is still the version: then nobody has had the lease since,
and nobody has saved. What others do cannot pass unseen:

- a lease had by somebody else puts their name there, and takes it away when it is given back,
- a login makes another version, also one by an oauthkit that knows neither field,
- a logout deletes the hash with both, also where there was no token yet, and nothing puts them back
  but a lease of its own. So nothing is resurrected.

A deletion under a lease goes by the same fence: what it deletes is what its holder has looked at.

A save moves `base` along, so that the same holder can save again: a driver may send a script twice,
and a store is asked again after an answer was lost.

Whoever waits is told of every change by an empty message on a channel with the name of the lease.
Where the server forbids that, nothing else changes (`pcall`); so that nobody then waits for
messages that never come, a holder tries it out, and `tells` has its name if it worked.
"""

import hashlib
from typing import Final, Self

import attrs


@attrs.frozen
class Script:
    """A Lua script; the server runs it as one step.

    Attributes:
        source: The text; it touches only the keys it is given, as Redis Cluster wants.
        digest: What the server calls it once it has seen it.
    """

    source: str
    digest: str

    @classmethod
    def of(cls, source: str) -> Self:
        """Return a script of the given text."""
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


# Where there is no token beside it, the fence of a holder that died must be forgotten some day; and
# a token that is about to be forgotten must not take the fence of a living holder along. So both
# last for a day beyond the lease: nobody is stopped for longer in the middle of a renewal.
ACQUIRE: Final = Script.of(
    """
local owner, lease_ms, seen = ARGV[1], ARGV[2], ARGV[3]
local stored = redis.call('HMGET', KEYS[1], 'version', 'token', 'tells')
local version, token = stored[1] or 'none', stored[2]
if seen ~= '' and token and version ~= seen then
  return {0, version, token, 0} -- renewed while this one waited
end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= owner then -- its own name: the driver sent this twice
  -- a token that is as it was seen is not worth the bytes
  return {0, version, version ~= seen and token, stored[3] == holder and 1 or 0}
end
redis.call('SET', KEYS[2], owner, 'PX', lease_ms)
local tried = redis.pcall('PUBLISH', KEYS[2] .. ':tried', '') -- where nobody listens
local tells = type(tried) == 'number' and owner or ''
redis.call('HSET', KEYS[1], 'holder', owner, 'base', version, 'tells', tells)
local lasts_ms = lease_ms + 24 * 3600 * 1000
local left_ms = redis.call('PTTL', KEYS[1])
if not token or (left_ms >= 0 and left_ms < lasts_ms) then
  redis.call('PEXPIRE', KEYS[1], lasts_ms)
end
return {1, version, token, 0}
"""
)
# A lease that ran out is not taken up again, though nobody may have come: whoever looked at `held`
# may have acted on it, and whoever waits was told when it ends.
EXTEND: Final = Script.of(
    """
local owner, lease_ms = ARGV[1], ARGV[2]
if redis.call('GET', KEYS[2]) ~= owner then
  return 0
end
return redis.call('PEXPIRE', KEYS[2], lease_ms)
"""
)
_OVERTAKEN: Final = """
local function overtaken(owner)
  local holder = redis.call('GET', KEYS[2])
  if not holder then -- it ran out
    local fence = redis.call('HMGET', KEYS[1], 'holder', 'base', 'version')
    holder = fence[2] == (fence[3] or 'none') and fence[1]
  end
  return holder ~= owner
end
"""
SAVE: Final = Script.of(
    f"""{_OVERTAKEN}
local owner, version, life_ms, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if owner == '' then
  redis.call('DEL', KEYS[2]) -- a login: whoever renews is too late
else
  if overtaken(owner) then
    return 0
  end
  redis.call('HSET', KEYS[1], 'base', version)
end
redis.call('HSET', KEYS[1], 'version', version, 'token', token)
if life_ms == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], life_ms)
end
redis.pcall('PUBLISH', KEYS[2], '')
return 1
"""
)
RELEASE: Final = Script.of(
    """
local owner = ARGV[1]
if redis.call('HGET', KEYS[1], 'holder') == owner then
  redis.call('HDEL', KEYS[1], 'holder', 'base', 'tells') -- the last fields take the hash along
end
if redis.call('GET', KEYS[2]) ~= owner then
  return 0
end
redis.call('DEL', KEYS[2])
redis.pcall('PUBLISH', KEYS[2], '')
return 1
"""
)
DELETE: Final = Script.of(
    f"""{_OVERTAKEN}
local owner = ARGV[1]
if owner ~= '' and overtaken(owner) then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.pcall('PUBLISH', KEYS[2], '')
return 1
"""
)
