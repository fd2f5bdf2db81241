"""A FastAPI application with a login, whose page shows what an API answers its visitor.

Its settings are environment variables. Run it by `uvicorn fastapi_app:app`.
"""

from base64 import urlsafe_b64decode
from html import escape
from os import environ
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from oauthkit import AsyncTokenSession, ClientSecretBasic, Discovered, MemoryStore
from oauthkit.integrations.fastapi import Login, Visitor

session = AsyncTokenSession(
    server=Discovered(environ["ISSUER"]),
    client_auth=ClientSecretBasic(environ["CLIENT_ID"], environ["CLIENT_SECRET"]),
    origins=[environ["API_URL"]],
    store=MemoryStore(),
    key="application",
)
keys = [urlsafe_b64decode(environ["COOKIE_KEY"])]
login = Login(session, scope="openid email", cookie_keys=keys, post_logout_redirect_path="/")
app = FastAPI(lifespan=login.lifespan, exception_handlers=login.exception_handlers)
app.include_router(login.router)
LOG_OUT = '<form method="post" action="/auth/logout"><button>Log out</button></form>'


@app.get("/", response_class=HTMLResponse)
async def home(visitor: Annotated[Visitor, Depends(login.visitor)]) -> str:
    """Show what the API says with the visitor's token."""
    answer = await visitor.session.get(environ["API_URL"])
    return f"<pre>{escape(answer.text)}</pre>{LOG_OUT}"
