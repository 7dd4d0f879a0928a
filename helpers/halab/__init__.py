"""halab: learn high availability with Docker and Kubernetes, by doing.

``lab = halab.lab("02-deploy")`` is where every notebook begins. The command line is ``halab --help``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halab.session import LabSession, lab

__all__ = ["LabSession", "lab"]


def __getattr__(name: str) -> Any:
    # The command line and the cluster's processes import this package too: the session is loaded only when it is asked for.
    if name in __all__:
        from halab import session

        return getattr(session, name)
    raise AttributeError(f"module 'halab' has no attribute {name!r}")
