"""The command line; it needs the extra `cli`."""

import sys


def main() -> None:
    """Run `oauthkit`, or say how to install what it needs."""
    if not sys.stdout:  # closed by the caller: what is printed would be lost, and nobody told
        sys.exit("Error: standard output is closed; what nobody needs goes to /dev/null")
    try:
        from oauthkit.cli.commands import oauthkit  # noqa: PLC0415 - an extra

        reconfigure = getattr(sys.stdout, "reconfigure", None)  # not of what stands in for it
        if reconfigure is not None:  # what a terminal cannot show is escaped
            reconfigure(errors="backslashreplace")
        oauthkit(prog_name="oauthkit")
    except ModuleNotFoundError as error:
        if error.name not in {"click", "h11", "platformdirs", "rich"}:
            raise
        sys.exit("oauthkit's command line needs its extra: pip install 'oauthkit[cli]'")
    except OSError as error:  # of its help, which comes before any command
        sys.exit(f"Error: {error.strerror}")
