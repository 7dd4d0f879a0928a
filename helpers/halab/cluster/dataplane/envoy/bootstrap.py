"""What Envoy is started with: where its other files are, and everything that costs memory switched off."""

from __future__ import annotations

from pathlib import Path

from halab.cluster.dataplane.envoy.types import extension
from halab.cluster.kube.types import Obj

CLUSTERS_FILE, LISTENERS_FILE = "clusters.json", "listeners.json"
MOST_CONNECTIONS = 20_000
_PATIENT = {
    "miss_timeout": "60s",
    "megamiss_timeout": "300s",
}  # by default the watchdogs wake every thread several times a second


def file_source(path: Path) -> Obj:
    """A file that Envoy follows: it reads it again whenever another file is renamed over it."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def bootstrap(directory: Path, name: str) -> Obj:
    """No admin interface and no statistics: nobody on a shared machine gets a port to talk to, and idle means idle."""
    connections = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=MOST_CONNECTIONS,
    )
    return {
        "node": {"id": name, "cluster": "halab"},
        "dynamic_resources": {
            "cds_config": file_source(directory / CLUSTERS_FILE),
            "lds_config": file_source(directory / LISTENERS_FILE),
        },
        "overload_manager": {"resource_monitors": [connections]},
        "watchdogs": {"main_thread_watchdog": _PATIENT, "worker_watchdog": _PATIENT},
        "stats_flush_interval": "240s",
        "stats_config": {"use_all_default_tags": False, "stats_matcher": {"reject_all": True}},
    }
