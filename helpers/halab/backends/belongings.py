"""What belongs to ``$HALAB_HOME`` as a whole, not to one of its clusters: ``halab image`` containers and registries. They end with its last cluster."""

from __future__ import annotations

from pathlib import Path

from halab.backends import choice
from halab.cluster.supervisor import manage
from halab.errors import ImageError
from halab.images.containers.manage import Containers
from halab.images.registry.manage import Registries
from halab.images.store import ImageStore
from halab.settings import halab_home


def end_with_the_last_cluster() -> list[str]:
    """If this home has no cluster left, of whatever backend: remove every container (killed if it runs) and stop every registry.

    Images stay, those in registries too. Returns what has ended, such as ``container web``.
    """
    return [] if manage.clusters() or choice.names() else end(halab_home())


def end(home: Path) -> list[str]:
    """The same for ``home``, whatever clusters it has. Nothing is made where nothing was."""
    ended = []
    if (home / "containers").exists():
        containers = Containers(ImageStore(home / "images"), home)
        for container in containers.containers(everything=True):
            try:
                ended.append(f"container {containers.remove(container.id, force=True)}")
            except ImageError:
                continue  # somebody else removed it meanwhile
    if (home / "registries").exists():
        registries = Registries(home)
        for registry in registries.registries():
            if registry.pid:
                registries.stop(registry.name)
                ended.append(f"registry {registry.name}")
    return ended
