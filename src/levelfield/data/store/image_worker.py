"""A process that works on images for another one: `python -m levelfield.data.store.image_worker`.

On stdin come pickled pairs: what is to be done, a function with its arguments, and some images (`read_images.Item`).
The result, or the exception instead, goes back on stdout for each. It ends with its stdin; Ctrl-C is for the process
that it works for.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from contextlib import suppress


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as answers, suppress(EOFError, BrokenPipeError):
        os.dup2(2, 1)  # stdout is for answers, whatever prints
        while True:
            work, items = pickle.load(sys.stdin.buffer)
            answer: object
            try:
                answer = work(items)
            except Exception as error:
                answer = error
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()


if __name__ == "__main__":
    main()
