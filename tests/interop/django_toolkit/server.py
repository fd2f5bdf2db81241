"""An authorization server of django-oauth-toolkit on the loopback address, for the tests beside it.

Its first line of input is a JSON object: `applications`, as the fields of its own model, `people`
with their passwords, and whether it speaks `openid` connect. Its first line of output says where it
is. It ends when its input does, so that none is left behind by a test run that was killed.

Django has no types that could be checked, so all of it comes by name.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

LOGIN_PAGE: Final = "<form method=post>{% csrf_token %}{{ form }}<button>Log in</button></form>"


class Server(WSGIServer):
    """One that lets a crowd wait in front of it."""

    request_queue_size = 128


def settings_of(issuer: str, *, openid: bool) -> Mapping[str, Any]:
    """Return Django's settings, and within them the toolkit's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    templates = {"registration/login.html": LOGIN_PAGE}
    loaders = [
        ("django.template.loaders.locmem.Loader", templates),
        "django.template.loaders.app_directories.Loader",
    ]
    return {
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "INSTALLED_APPS": [
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "oauth2_provider",
        ],
        "LOGIN_URL": "/login/",
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "ROOT_URLCONF": __name__,
        "SECRET_KEY": os.urandom(32).hex(),
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"loaders": loaders},
            }
        ],
        "USE_TZ": True,
        "OAUTH2_PROVIDER": {
            "ACCESS_TOKEN_EXPIRE_SECONDS": 60,
            "ALLOWED_SCHEMES": ["http", "https"],
            "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
            "DCR_ENABLED": True,
            "DCR_REGISTRATION_PERMISSION_CLASSES": ["oauth2_provider.dcr.AllowAllDCRPermission"],
            "DEVICE_FLOW_INTERVAL": 1,
            "OAUTH_DEVICE_VERIFICATION_URI": f"{issuer}/device/",
            "OIDC_ENABLED": openid,
            "OIDC_RP_INITIATED_LOGOUT_ENABLED": openid,
            "OIDC_RSA_PRIVATE_KEY": key.decode("ascii"),
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "SCOPES": {"openid": "Know who you are", "read": "Read", "write": "Write"},
        },
    }


def end_with_the_input() -> None:
    """Wait for the end of the input, and end the process."""
    sys.stdin.read()
    os._exit(0)


def fill(applications: Iterable[Mapping[str, Any]], people: Mapping[str, str]) -> None:
    """Make the tables, and put in who there is."""
    import_module("django.core.management").call_command("migrate", verbosity=0)
    models = import_module("django.apps").apps
    for application in applications:
        models.get_model("oauth2_provider", "Application").objects.create(
            hash_client_secret=False, **application
        )
    for name, password in people.items():
        models.get_model("auth", "User").objects.create_user(name, password=password)


def api(request: Any) -> Any:
    """Answer who has a token with the scope `read`."""
    names = {"user": request.resource_owner and request.resource_owner.username}
    return import_module("django.http").JsonResponse(names)


def main() -> None:
    """Serve, one request after the other, which is how a database in memory can be shared."""
    given = json.loads(sys.stdin.readline())
    logging.basicConfig()
    with Server(("127.0.0.1", 0), WSGIRequestHandler) as server:
        issuer = f"http://127.0.0.1:{server.server_port}/o"
        import_module("django.conf").settings.configure(
            **settings_of(issuer, openid=given.pop("openid"))
        )
        import_module("django").setup()
        path, include = (getattr(import_module("django.urls"), n) for n in ("path", "include"))
        views = import_module("django.contrib.auth.views")
        protected = import_module("oauth2_provider.decorators").protected_resource(scopes=["read"])
        global urlpatterns  # noqa: PLW0603 - where Django looks for them
        metadata = import_module("oauth2_provider.urls").metadata_urlpatterns
        urlpatterns = [
            path("", include((metadata, "metadata"))),
            path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
            path("login/", views.LoginView.as_view()),
            path("api", protected(api)),
        ]
        fill(**given)
        server.set_app(import_module("django.core.wsgi").get_wsgi_application())
        Thread(target=end_with_the_input, daemon=True).start()
        sys.stdout.write(json.dumps({"issuer": issuer}) + "\n")
        sys.stdout.flush()
        server.serve_forever()


urlpatterns: list[Any] = []

if __name__ == "__main__":
    main()
