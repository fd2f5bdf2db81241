"""Run the command line: `python -m oauthkit`."""

from oauthkit.cli import main

if __name__ == "__main__":
    main()
