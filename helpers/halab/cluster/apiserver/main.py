"""Starting an API server from a cluster's configuration."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable

from halab.aio import http
from halab.cluster.apiserver.app import Application
from halab.cluster.apiserver.audit import Audit
from halab.cluster.apiserver.bootstrap import bootstrap
from halab.cluster.apiserver.context import Context, describe
from halab.cluster.apiserver.definitions import Definitions
from halab.cluster.apiserver.policy_status import PolicyStatus
from halab.cluster.apiserver.registry import Registry
from halab.cluster.apiserver.signer import Signer
from halab.cluster.kube import kinds
from halab.cluster.store.peers import Peers
from halab.cluster.store.store import Store
from halab.settings import API_PORT, ClusterConfig

log = logging.getLogger("halab.apiserver")


def raise_file_limit() -> None:
    """A watch is a connection: take as many files as the machine gives."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def shared_socket(host: str, port: int) -> socket.socket:
    """A socket whose address a second API server of the same user can share, as behind a load balancer. Raises OSError if it is taken."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind((host, port))
    except OSError:
        found.close()
        raise
    return found


async def run(config: ClusterConfig, *, ready: Callable[[], None] = lambda: None, host: str = "", port: int = API_PORT) -> None:
    """Serve the API of a cluster until cancelled. ``ready`` is called once requests are answered.

    ``host`` is the cluster's API address unless given (a second server over the same directory listens elsewhere).
    Raises OSError if the address is taken.
    """
    raise_file_limit()
    registry = Registry()
    by_storage = {kind.storage: kind for kind in reversed(kinds.BUILTIN)}
    store = Store(config.database, describe(by_storage.get))
    peers = Peers(config.database, store.catch_up)
    store.wake_peers = peers.wake
    bootstrap(store, config)
    definitions = Definitions(store, registry)
    signer = Signer(store, config)
    policies = PolicyStatus(store)
    context = Context(config, store, registry)
    audit = Audit(config.logs / "audit.log")
    app = Application(context, audit)
    try:
        first = host or config.addresses.api
        more = [] if host else [place for place in (config.addresses.api_in_pods,) if place != first]
        others = [
            http.serve(
                app,
                place,
                port,
                config.certificate,
                config.key,
                client_ca=config.ca_file.read_text(),
                sock=shared_socket(place, port),
            )
            for place in more
        ]
        main = http.serve(
            app,
            first,
            port,
            config.certificate,
            config.key,
            client_ca=config.ca_file.read_text(),
            on_ready=ready,
            sock=shared_socket(first, port),
        )
        await asyncio.gather(main, *others)
    finally:
        definitions.close()
        signer.close()
        policies.close()
        context.flows.close()
        app.close()
        peers.close()
        store.close()
