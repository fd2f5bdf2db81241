"""What oauthkit tests itself with, for the tests of its users."""

from oauthkit.testing.clock import FakeClock
from oauthkit.testing.documented import DocumentedSystems
from oauthkit.testing.server import FakeAuthorizationServer
from oauthkit.testing.sockets import LoopbackServer

__all__ = ["DocumentedSystems", "FakeAuthorizationServer", "FakeClock", "LoopbackServer"]
