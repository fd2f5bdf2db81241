"""`oauthkit serve`."""

import json
import os
import time
from contextlib import suppress

import anyio
import click

from oauthkit.cli.outcomes import run
from oauthkit.cli.usage import Command
from oauthkit.testing.server import FakeAuthorizationServer


@click.command(
    cls=Command,
    examples=[
        "oauthkit serve --port 8400",
        "oauthkit login --issuer http://127.0.0.1:8400 --client-id client --save test",
    ],
)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Which port; any free one.")
@click.option("--client-id", default="client", show_default=True, help="The client it knows.")
@click.option(
    "--client-secret-env", metavar="VARIABLE", help="Which variable has its secret; none is needed."
)
@click.option("--person", "people", multiple=True, help="Who can log in; ada and bob.")
@click.option("--scope", default="openid read", show_default=True, help="What it grants.")
@click.option("--life", type=click.IntRange(1), default=60, show_default=True, help="Seconds.")
@click.option("--page/--no-page", default=True, help="Ask who logs in, or agree at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as a line of JSON.")
def serve(
    *,
    port: int,
    client_id: str,
    client_secret_env: str | None,
    people: tuple[str, ...],
    scope: str,
    life: int,
    page: bool,
    as_json: bool,
) -> None:
    """Be an authorization server for tests, with a login page, until Ctrl-C.

    It serves this machine alone, and is for tests alone: whoever comes may log in as anybody.
    """
    secret = _secret(client_secret_env)
    fake = FakeAuthorizationServer(
        client_id=client_id,
        client_secret=secret,
        scope=scope,
        expires_in=life,
        people=(people or ("ada", "bob")) if page else (),
        clock=time,
    )
    with suppress(KeyboardInterrupt):  # it is how it ends, and no failure
        run(_serve, fake, port, as_json)


def _secret(variable: str | None) -> str | None:
    """Return the client's secret; None for a public client.

    Raises:
        UsageError: The variable has none.
    """
    found = None if variable is None else os.environ.get(variable)
    if variable is not None and not found:
        message = f"the environment variable {variable!r} is empty or not set"
        raise click.UsageError(message)
    return found


async def _serve(fake: FakeAuthorizationServer, port: int, as_json: bool) -> None:  # noqa: FBT001
    async with fake.serve(port=port) as url:
        if as_json:
            click.echo(json.dumps({"issuer": url, "client_id": fake.client_id}))
        else:
            click.echo(f"{url} is an authorization server, for tests alone; Ctrl-C ends it")
        await anyio.sleep_forever()
