"""`python -m levelfield` and the command `levelfield`."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line. Until it is loaded Ctrl-C ends the process at once: there is nothing to tidy up or say."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from levelfield.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
