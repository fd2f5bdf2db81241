"""An aiohttp application with a login, whose page shows what an API answers its visitor.

Its settings are environment variables. Run it by `python aiohttp_app.py`.
"""

from base64 import urlsafe_b64decode
from html import escape
from os import environ

from aiohttp import web

from oauthkit import AsyncTokenSession, ClientSecretBasic, Discovered, MemoryStore
from oauthkit.integrations.aiohttp import Login

session = AsyncTokenSession(
    server=Discovered(environ["ISSUER"]),
    client_auth=ClientSecretBasic(environ["CLIENT_ID"], environ["CLIENT_SECRET"]),
    origins=[environ["API_URL"]],
    store=MemoryStore(),
    key="application",
)
keys = [urlsafe_b64decode(environ["COOKIE_KEY"])]
login = Login(session, scope="openid email", cookie_keys=keys, post_logout_redirect_path="/")
LOG_OUT = '<form method="post" action="/auth/logout"><button>Log out</button></form>'


async def home(request: web.Request) -> web.Response:
    """Show what the API says with the visitor's token."""
    visitor = await login.visitor(request)
    answer = await visitor.session.get(environ["API_URL"])
    page = f"<pre>{escape(answer.text)}</pre>{LOG_OUT}"
    return web.Response(text=page, content_type="text/html")


app = web.Application()
app.router.add_get("/", home)
login.setup(app)

if __name__ == "__main__":
    web.run_app(app, host="localhost", port=8000)
