"""The command `spineps-pacs`, also as `python -m spineps_pacs`; a node that only starts already survives SIGHUP."""

import signal
import sys


def start() -> None:
    """Runs one command. What runs on hears of a change (SIGHUP) when it can: until then the signal waits."""
    if sys.argv[1:2] in (["serve"], ["worker"]):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from spineps_pacs.cli.main import main

    main()


if __name__ == "__main__":
    start()
