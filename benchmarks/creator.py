"""One client of the rate benchmark: connects, says so, waits for a line, creates its ConfigMaps, ends."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Api
from halab.settings import ClusterConfig


def main() -> None:
    directory, count, number = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    api = Api(ClusterConfig.load((directory / "cluster.json").read_text()))
    api.call("GET", "/version")
    print("ready", flush=True)
    sys.stdin.readline()
    for one in range(count):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"rate-{number}-{one}"}, "data": {"key": "value"}}
        api.call("POST", "/api/v1/namespaces/default/configmaps", body)


if __name__ == "__main__":
    main()
