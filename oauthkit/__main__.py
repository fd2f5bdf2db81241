"""Run the command line: `python -m oauthkit`."""

from oauthkit.cli import main

main()
