"""kubeconfig files as kubectl reads them: a list of them in $KUBECONFIG, merged, with paths that are relative to their own file.

The first file that names a context, cluster or user, or sets a value, wins. What is given by name must be there; of a list, files that are
not there are passed over.
"""

from __future__ import annotations

import base64
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from halab.errors import UsageError

Document = dict[str, Any]
NAMED = {"clusters": "cluster", "contexts": "context", "users": "user"}
PATHS = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
}  # relative to the file
INLINED = ("certificate-authority", "client-certificate", "client-key")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # of a pod: a notebook may run inside the cluster


def read(given: Path | str = "") -> Document:
    """The merged document of ``given`` (a file, or several with ``:`` between them), else of $KUBECONFIG, else ~/.kube/config, else the
    ServiceAccount of the pod that this is. Raises UsageError."""
    paths = places(given)
    alone = bool(str(given)) and len(paths) == 1
    merged: Document = {"apiVersion": "v1", "kind": "Config", **{kind: [] for kind in NAMED}}
    found = False
    for path in paths:
        try:
            document = _document(path)
        except FileNotFoundError as error:
            if alone:
                raise UsageError(
                    f"kubeconfig {path}", f"cannot be read: {error.strerror}", "give another --kubeconfig"
                ) from error
            continue
        found = True
        _merge(merged, document)
    if not found:
        inside = in_cluster()
        if inside is None:
            fact = f"is not there: {', '.join(map(str, paths))}"
            raise UsageError("kubeconfig", fact, "give one: --kubeconfig FILE, or KUBECONFIG")
        return inside
    return merged


def places(given: Path | str = "") -> list[Path]:
    """The files that are looked for, as absolute paths."""
    listed = str(given) or os.environ.get("KUBECONFIG", "")
    return [Path(part).absolute() for part in listed.split(os.pathsep) if part] or [Path.home() / ".kube" / "config"]


def _document(path: Path) -> Document:
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"kubeconfig {path}", f"cannot be read: {error.strerror}", "give another --kubeconfig") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"kubeconfig {path}", f"is not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(document, dict) or not all(isinstance(document.get(kind) or [], list) for kind in NAMED):
        raise UsageError(f"kubeconfig {path}", "is not a kubeconfig", "look at: kubectl config view --kubeconfig FILE")
    for kind, what in NAMED.items():
        for entry in document.get(kind) or []:
            if isinstance(entry, dict) and isinstance(entry.get(what), dict):
                _resolve(entry[what], PATHS.get(kind, ()), path.absolute().parent)
    return document


def _resolve(values: Document, keys: tuple[str, ...], folder: Path) -> None:
    for key in keys:
        if values.get(key):
            values[key] = str(folder / str(values[key]))
    plugin = values.get("exec")
    if isinstance(plugin, dict) and os.sep in str(plugin.get("command") or ""):  # one without a slash is found on PATH
        plugin["command"] = str(folder / str(plugin["command"]))


def _merge(merged: Document, more: Document) -> None:
    for kind in NAMED:
        names = {entry.get("name") for entry in merged[kind]}
        merged[kind] += [entry for entry in more.get(kind) or [] if isinstance(entry, dict) and entry.get("name") not in names]
    if not merged.get("current-context") and more.get("current-context"):
        merged["current-context"] = more["current-context"]


def minified(document: Document, context: str = "") -> Document:
    """One context (empty: the current one) with its cluster and user alone, certificates included: what can be written down elsewhere.

    Tokens in files and programs that give credentials stay references, since they change. Raises UsageError.
    """
    name, chosen = context_of(document, context)
    user = str(chosen.get("user") or "")
    cluster = deepcopy(entry_of(document, "clusters", str(chosen.get("cluster") or "")))
    person = deepcopy(entry_of(document, "users", user)) if user else {}
    for values in (cluster, person):
        for key in INLINED:
            if path := values.pop(key, None):
                values.setdefault(f"{key}-data", base64.b64encode(content(path)).decode())
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": dict(chosen)}],
        "clusters": [{"name": chosen.get("cluster"), "cluster": cluster}],
        "users": [{"name": user, "user": person}] if user else [],
    }


def context_of(document: Document, name: str = "") -> tuple[str, Document]:
    wanted = name or str(document.get("current-context") or "")
    if not wanted:
        have = ", ".join(str(entry.get("name")) for entry in document["contexts"]) or "none"
        raise UsageError("kubeconfig", f"has no current context; its contexts: {have}", "name one: --context NAME")
    return wanted, entry_of(document, "contexts", wanted)


def entry_of(document: Document, kind: str, name: str) -> Document:
    for entry in document.get(kind) or []:
        if entry.get("name") == name:
            found: Document = entry.get(NAMED[kind]) or {}
            return found
    have = ", ".join(str(entry.get("name")) for entry in document.get(kind) or []) or "none"
    raise UsageError("kubeconfig", f"has no {NAMED[kind]} named {name!r}; it has: {have}", "look at: kubectl config view")


def content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"kubeconfig: {path}", f"cannot be read: {error.strerror}", "correct the path, or get a new one"
        ) from error


def in_cluster() -> Document | None:
    """What a pod's ServiceAccount can reach; None outside of a cluster."""
    account = ACCOUNT
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (account / "token").exists():
        return None
    try:
        namespace = (account / "namespace").read_text().strip()
    except OSError:
        namespace = "default"
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    cluster = {"server": f"https://{authority}", "certificate-authority": str(account / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "in-cluster",
        "contexts": [{"name": "in-cluster", "context": {"cluster": "own", "user": "own", "namespace": namespace}}],
        "clusters": [{"name": "own", "cluster": cluster}],
        "users": [{"name": "own", "user": {"tokenFile": str(account / "token")}}],
    }
