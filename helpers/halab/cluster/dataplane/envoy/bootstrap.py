"""What Envoy is started with: where its other files are, and everything that costs memory switched off."""

from __future__ import annotations

from pathlib import Path

from halab.cluster.kube.types import Obj

CLUSTERS_FILE, LISTENERS_FILE = "clusters.json", "listeners.json"


def file_source(path: Path) -> Obj:
    """A file that Envoy follows: it reads it again whenever another file is renamed over it."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def bootstrap(directory: Path, name: str) -> Obj:
    """No admin interface and no statistics: nobody on a shared machine gets a port to talk to, and idle means idle."""
    return {
        "node": {"id": name, "cluster": "halab"},
        "dynamic_resources": {
            "cds_config": file_source(directory / CLUSTERS_FILE),
            "lds_config": file_source(directory / LISTENERS_FILE),
        },
        "stats_config": {"use_all_default_tags": False, "stats_matcher": {"reject_all": True}},
    }
