"""The two questions that ``up`` and ``status`` ask the API server, with the standard library alone.

The full client is asynchronous and made for components; here a few milliseconds of start-up time matter more.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from halab.errors import ClusterError
from halab.settings import API_PORT, ClusterConfig


def get(config: ClusterConfig, path: str, *, timeout: float = 5.0) -> tuple[int, dict[str, Any]]:
    """GET as the administrator: the HTTP status and the body. Raises ``OSError`` when the API server cannot be reached."""
    connection = _connect(config, timeout)
    try:
        connection.request("GET", path, headers=_headers(config))
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body.startswith(b"{") else {}
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def delete(config: ClusterConfig, path: str, *, timeout: float = 5.0) -> int:
    """DELETE as the administrator: the HTTP status."""
    connection = _connect(config, timeout)
    try:
        connection.request("DELETE", path, headers=_headers(config))
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def watch(config: ClusterConfig, path: str, *, deadline: float) -> Iterator[dict[str, Any]]:
    """Watch events, the existing objects first, until ``deadline`` (``time.monotonic()``) or until the server ends the stream."""
    connection = _connect(config, max(0.1, deadline - time.monotonic()))
    try:
        connection.request("GET", path + ("&" if "?" in path else "?") + "watch=1", headers=_headers(config))
        response = connection.getresponse()
        if response.status != 200:
            raise ClusterError(f"cluster {config.name}", f"GET {path}: HTTP status {response.status}")
        while line := response.readline():
            yield json.loads(line)
    except (http.client.HTTPException, TimeoutError):
        return
    finally:
        connection.close()


def node_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def wait_for_nodes(config: ClusterConfig, nodes: list[str], *, timeout: float) -> list[str]:
    """Wait until these nodes are Ready; returns those that are still not after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    waiting = set(nodes)
    while waiting and time.monotonic() < deadline:
        try:
            for event in watch(config, "/api/v1/nodes", deadline=deadline):
                node = event.get("object", {})
                name = node.get("metadata", {}).get("name", "")
                (waiting.discard if node_ready(node) else _noop)(name)
                if not waiting:
                    break
        except OSError:
            time.sleep(0.05)  # the API server is restarting: nothing to wait on but time
    return [node for node in nodes if node in waiting]


def wait_for_pods_to_be_allowed(config: ClusterConfig, *, timeout: float) -> None:
    """Wait for the ServiceAccount ``default``: without it a first ``kubectl run`` would be refused."""
    path = "/api/v1/namespaces/default/serviceaccounts?fieldSelector=metadata.name%3Ddefault"
    with suppress(OSError):
        next(watch(config, path, deadline=time.monotonic() + timeout), None)


def _noop(_name: str) -> None:
    return None


def _headers(config: ClusterConfig) -> dict[str, str]:
    return {"Authorization": f"Bearer {config.tokens['admin']}", "Accept": "application/json"}


def _connect(config: ClusterConfig, timeout: float) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(config.ca_file))
    return http.client.HTTPSConnection(config.addresses.api, API_PORT, timeout=timeout, context=context)
