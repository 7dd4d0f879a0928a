"""Runs one program as a container, with whatever isolation this machine allows; no Docker, no root needed.

Neighbours: ``halab.images`` runs RUN steps here, ``halab.cluster.node`` runs the containers of pods. Three levels, best first:

* *privileged*: root with CAP_SYS_ADMIN; own mount, pid and uts namespaces, real users and groups;
* *user namespace*: the same for a plain user, who is seen inside as root; other users and groups are make-believe;
* *none*: namespaces are forbidden (most container platforms, mybinder.org); a preloaded library rewrites paths instead.

At every level the preloaded library gives the program its pod's address on the shared loopback network. Static programs
(Go without cgo) do not load it: they see the host's network as it is.
"""

from .build import Programs, programs
from .capabilities import Capabilities, capabilities
from .launch import Sandbox, StartError, launch, pause
from .spec import DEFAULT_CAPABILITIES, Dns, Mount, SandboxSpec, User, capability_mask
from .upper import give, is_opaque, is_whiteout, remove_tree, upper_trees

__all__ = [
    "DEFAULT_CAPABILITIES",
    "Capabilities",
    "Dns",
    "Mount",
    "Programs",
    "Sandbox",
    "SandboxSpec",
    "StartError",
    "User",
    "capabilities",
    "capability_mask",
    "give",
    "is_opaque",
    "is_whiteout",
    "launch",
    "pause",
    "programs",
    "remove_tree",
    "upper_trees",
]
