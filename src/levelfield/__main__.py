"""`python -m levelfield` and the command `levelfield`."""

from __future__ import annotations

import signal
import sys
import traceback

from levelfield.errors import INTERNAL_ERROR


def main() -> None:
    """Run the command line. Until it is loaded Ctrl-C ends the process at once: there is nothing to tidy up or say."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from levelfield.cli.app import main as run
    except Exception:  # a broken installation; Python's own exit code, 1, would be an answer of the gate
        traceback.print_exc()
        sys.exit(INTERNAL_ERROR)
    run()


if __name__ == "__main__":
    main()
