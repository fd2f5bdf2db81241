"""Logins of applications with pages, in no framework's words.

A `LoginFlow` takes what a browser asks (`LoginRequest`) and returns what it is answered
(`LoginReply`); the integrations hand both on. `flow` decides; `pending` keeps logins on their way
and `visitor` the visits, both in `cookies`; `messages` are the values.
"""

from oauthkit.login.cookies import Cookie
from oauthkit.login.flow import LoginFlow
from oauthkit.login.messages import LoginReply, LoginRequest, Notice
from oauthkit.login.settings import LoginSettings
from oauthkit.login.visitor import Visitor

__all__ = [
    "Cookie",
    "LoginFlow",
    "LoginReply",
    "LoginRequest",
    "LoginSettings",
    "Notice",
    "Visitor",
]
