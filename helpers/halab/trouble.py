"""What a notebook shows when a cell fails: one line that says what to do, where the way through our code would tell a learner nothing.

Our own errors render themselves (``HalabError``, ``NotPassed``). Here are those of others: a name that an earlier cell makes, an API server that
says no, a cluster that does not answer. Everything else, a fault in the learner's own code above all, keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from halab.backends.access import ApiError
from halab.traffic.probe import reason

HERE = str(Path(__file__).parent)
HANDLED = (NameError, IndexError, ApiError, OSError, TimeoutError)


def told(value: BaseException, tb: TracebackType | None) -> list[str] | None:
    """The lines to show in place of the traceback; None where that says more."""
    files, lines = [], []
    while tb is not None:
        files.append(tb.tb_frame.f_code.co_filename)
        lines.append(tb.tb_lineno)
        tb = tb.tb_next
    ours = any(file.startswith(HERE) for file in files)
    # IPython's own frames come first, then the cell's.
    within_cell = bool(files) and not ours and "ipykernel" in files[-1]
    match value:
        case NameError(name=str(name)) if within_cell:
            return [
                f"✘ {value} (line {lines[-1]} of this cell)",
                f"  If a cell further up makes {name}, run that one first: cells are made to be run in order, from the top.",
            ]
        case IndexError() if within_cell:
            return [
                f"✘ {value} (line {lines[-1]} of this cell)",
                "  A list from the cluster is empty while what it lists is not there: see what the cells above said, or ask lab.hint().",
            ]
        case ApiError() if ours:
            return [f"✘ the API server says: {value}"]
        case TimeoutError() | OSError() if ours and not isinstance(value, FileNotFoundError):
            return [
                f"✘ the cluster does not answer: {reason(value)}",
                "  Look with: !halab status. Bring it up again by running the notebook's first cell.",
            ]
        case _:
            return None


def _shell() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def in_a_kernel() -> bool:
    """Whether this is a notebook's process, where a picture can change after it was shown."""
    return getattr(_shell(), "kernel", None) is not None


def install() -> None:
    """In this kernel, from now on; nothing where there is none."""
    if (shell := _shell()) is not None:
        install_in(shell)


def install_in(shell: Any) -> None:
    """In an IPython shell."""

    def show(
        shell: Any, kind: type[BaseException], value: BaseException, tb: TracebackType, tb_offset: int | None = None
    ) -> list[str]:
        if (lines := told(value, tb)) is None:
            shell.showtraceback((kind, value, tb), tb_offset=tb_offset, running_compiled_code=True)
            return []
        shell._showtraceback(kind, value, lines)
        return lines

    shell.set_custom_exc(HANDLED, show)
