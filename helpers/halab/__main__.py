"""``halab`` and ``python -m halab``: the command line, where Ctrl-C during the first imports ends the process without a traceback."""

from __future__ import annotations

import signal


def main() -> None:
    """The console script."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else whoever started us has it ignored
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is begun yet that would have to be undone
    from halab.cli import main as run

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
