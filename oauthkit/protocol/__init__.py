"""OAuth 2.0 as pure functions of values: no HTTP library, no event loop, no clock."""
