"""What a browser asks, and what it is answered, between `aiohttp.web` and `LoginFlow`."""

from string import punctuation
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from oauthkit.login import LoginReply
from oauthkit.login.messages import LONGEST_BODY


def target(request: web.Request) -> str:
    """Return path and query, byte for byte: `rel_url` has them in a spelling of its own."""
    raw = request.raw_path
    path = raw if raw.startswith("/") else request.rel_url.raw_path_qs  # of an absolute URL
    return quote(path.encode(errors="surrogateescape"), safe=punctuation)


async def body(request: web.Request) -> bytes:
    """Return the body.

    Raises:
        aiohttp.web.HTTPRequestEntityTooLarge: It is longer than any that is meant for us.
        aiohttp.web.HTTPBadRequest: It is not what its header says, or the client has left.
    """
    if request.can_read_body:  # nobody else has read it
        request = request.clone(client_max_size=LONGEST_BODY)
    try:
        return await request.read()
    except (web.RequestPayloadError, ConnectionError) as error:
        raise web.HTTPBadRequest from error


def response(reply: LoginReply) -> web.Response:
    """Return an answer in aiohttp's words, its header fields one by one."""
    return web.Response(status=reply.status, headers=CIMultiDict(reply.fields), body=reply.body)


def raised(reply: LoginReply) -> web.HTTPException:
    """Return the answer to a request without a visitor as what ends the handling of it."""
    headers = CIMultiDict(reply.fields)
    if reply.location is None:
        return web.HTTPUnauthorized(headers=headers, text=reply.body.decode())
    return web.HTTPSeeOther(URL(reply.location, encoded=True), headers=headers)
