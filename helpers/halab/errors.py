"""Every error that halab raises on purpose.

A message names the object, the fact and the next step, in that order, so that a learner knows what to type:
``lab 08-survive-a-node: task spread: needs 3 nodes, this cluster has 1; run: halab up --nodes 3``.

Kubernetes API errors (a ``Status`` object) live in ``halab.cluster.kube.status``: those speak Kubernetes' own words.
"""

from __future__ import annotations


class HalabError(Exception):
    """The base of all deliberate errors.

    ``subject`` is the object concerned, ``fact`` what is the case, ``remedy`` what to do next (may be empty).
    ``exit_status`` is what the command line ends with: 1 a check or the run failed, 2 wrong usage or environment.
    """

    exit_status = 2

    def __init__(self, subject: str, fact: str, remedy: str = "") -> None:
        self.subject, self.fact, self.remedy = subject, fact, remedy
        super().__init__(f"{subject}: {fact}" + (f"; {remedy}" if remedy else ""))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the message says what to do, the way through our code does not."""
        return [f"✘ {self}"]


class UsageError(HalabError):
    """What was asked for makes no sense: an unknown name, a value out of range, a malformed file."""


class MachineError(HalabError):
    """The machine lacks something: a program, a port, an address range, permission, disk."""


class ClusterError(HalabError):
    """The cluster is not in the state that the call needs."""


class ImageError(HalabError):
    """An image cannot be built, found, read or pushed."""


class CheckFailed(HalabError):
    """A check of a lab, or a whole run, did not pass."""

    exit_status = 1
