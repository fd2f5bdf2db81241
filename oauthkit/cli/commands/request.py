"""`oauthkit request`."""

import json
import os
import re
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final, cast

import anyio.to_thread
import attrs
import click
import httpx

from oauthkit.cli.access import Access
from oauthkit.cli.options import access_to, profile_options
from oauthkit.cli.outcomes import Ended, Exit, run
from oauthkit.cli.usage import Command
from oauthkit.errors import ConfigurationError, printable
from oauthkit.origins import checked_origins
from oauthkit.protocol.messages import Origin

_FORM: Final = "application/x-www-form-urlencoded"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_OURS: Final = frozenset({"authorization", "host", "content-length", "transfer-encoding"})
_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_FAILED: Final = 400


@attrs.frozen(kw_only=True)
class Wanted:
    """What is sent, and what is shown of the answer."""

    method: str
    url: str
    headers: list[tuple[str, str]] = attrs.field(repr=False)
    content: bytes | None = attrs.field(repr=False)
    include: bool


@click.command(
    cls=Command,
    examples=[
        "oauthkit request GET https://api.example/report",
        'oauthkit request POST https://api.example/reports --json \'{"title": "Spring"}\'',
    ],
)
@click.argument("method")
@click.argument("url")
@profile_options
@click.option("-H", "--header", "lines", multiple=True, metavar="'NAME: VALUE'", help="A header.")
@click.option("-d", "--data", help="A body: a form, or @FILE, or @- for standard input.")
@click.option("--json", "json_data", help="A body that is JSON; @FILE and @- likewise.")
@click.option("-i", "--include", is_flag=True, help="Show status and headers before the body.")
@click.option(
    "-o", "--output", type=click.File("wb", lazy=True), default="-", help="Where the body goes."
)
def request(
    *,
    method: str,
    url: str,
    profile_name: str | None,
    config: Path | None,
    lines: tuple[str, ...],
    data: str | None,
    json_data: str | None,
    include: bool,
    output: IO[bytes],
) -> None:
    """Send a request that carries the token, and print the answer's body.

    The token goes to the origins of the profile and to the server's own, and nowhere else. It is
    renewed where that is needed. Exit status 1 means that the answer is an error, 4 that it is 429
    or 503.
    """
    _check_target(method, url)
    headers, content = _headers(lines), None
    if data is not None and json_data is not None:
        message = "--data and --json are two bodies, and a request has one"
        raise click.UsageError(message)
    if json_data is not None:
        content = _body(json_data)
        _check_json(content)
        headers = _with_default(headers, "application/json")
    elif data is not None:
        content = _body(data)
        headers = _with_default(headers, _FORM)
    wanted = Wanted(
        method=method.upper(), url=url, headers=headers, content=content, include=include
    )
    access = access_to(profile_name, config)
    status = run(partial(_send, access, wanted, output))
    if status >= _FAILED:
        message = f"the answer is {_status_line(status)}"
        raise Ended(message, Exit.TRY_LATER if status in _BUSY else Exit.FAILED)


def _check_target(method: str, url: str) -> None:
    """Check what no request can be sent to.

    Raises:
        UsageError: The method or the URL is none.
    """
    if not _TOKEN.fullmatch(method):
        message = f"{printable(method)} is no method (RFC 9110 §9.1)"
        raise click.UsageError(message)
    try:
        _origin_of(url)
    except (ConfigurationError, UnicodeError, httpx.InvalidURL) as error:
        raise click.UsageError(printable(str(error))) from None


def _origin_of(url: str) -> Origin:
    return Origin.of(str(httpx.URL(url)))


def _headers(lines: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the headers; a name may come again.

    Raises:
        UsageError: A line is none, or is not the caller's to set.
    """
    found: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            message = "a header is 'NAME: VALUE', in ASCII (RFC 9110 §5)"
            raise click.UsageError(message)
        if name.lower() in _OURS:
            message = f"{name} is set by the request itself; leave it out"
            raise click.UsageError(message)
        found.append((name.lower(), value))
    return found


def _with_default(headers: list[tuple[str, str]], content_type: str) -> list[tuple[str, str]]:
    """Say what the body is, unless that is said."""
    said = any(name == "content-type" for name, _ in headers)
    return headers if said else [("content-type", content_type), *headers]


def _body(text: str) -> bytes:
    """Return the body that an option gives or names.

    Raises:
        UsageError: The file cannot be read.
    """
    if not text.startswith("@"):
        return os.fsencode(text)
    try:
        with click.open_file(text[1:], "rb") as file:
            return cast("bytes", file.read())
    except (OSError, RuntimeError) as error:  # click's own, where standard input is closed
        why = error.strerror if isinstance(error, OSError) else error
        message = f"the body in {printable(text[1:])} cannot be read: {why}"
        raise click.UsageError(message) from None


def _check_json(content: bytes) -> None:
    try:
        json.loads(content)
    except (RecursionError, ValueError) as error:
        message = f"the body of --json is no JSON: {printable(str(error))}"
        raise click.UsageError(message) from None


async def _send(access: Access, wanted: Wanted, output: IO[bytes]) -> int:
    """Send the request, print the answer as it comes, and return its status."""
    options: dict[str, Any] = {"headers": wanted.headers, "content": wanted.content}
    try:
        async with (
            access.session() as session,
            session.stream(wanted.method, wanted.url, **options) as response,
        ):
            if wanted.include:
                await _write(output, _head(response))
            async for chunk in response.aiter_bytes():
                await _write(output, chunk)
            await _write(output, b"")  # a file of an earlier answer ends
            return response.status_code
    except ConfigurationError as error:
        origin = _origin_of(wanted.url)
        if origin in checked_origins(access.server, access.profile.origins):
            raise
        raise Ended(_refusal(origin, access.profile.name)) from error
    except httpx.HTTPError as error:
        message = f"no answer came: {printable(str(error)) or type(error).__name__}"
        raise Ended(message, Exit.TRY_LATER) from error


def _refusal(origin: Origin, name: str) -> str:
    """Return why a place may not have the token, in the words of who sits before the terminal."""
    if not origin.confidential:
        return f"{origin} is plain http, where the token can be read on the way; use https"
    return f"{origin} may not have the token; if it may, name it in origins of the profile {name!r}"


async def _write(output: IO[bytes], content: bytes) -> None:
    """Write in a thread: who reads may be slow, and does not keep a command from ending."""
    await anyio.to_thread.run_sync(_write_at_once, output, content, abandon_on_cancel=True)


def _write_at_once(output: IO[bytes], content: bytes) -> None:
    output.write(content)  # the file opens with the first byte
    output.flush()


def _head(response: httpx.Response) -> bytes:
    lines = [_status_line(response.status_code)]
    lines += [f"{name}: {value}" for name, value in response.headers.multi_items()]
    return "\n".join([*(printable(line, len(line)) for line in lines), "", ""]).encode()


def _status_line(status: int) -> str:
    phrase = next((known.phrase for known in HTTPStatus if known == status), "")
    return f"{status} {phrase}".strip()
