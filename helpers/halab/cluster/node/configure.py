"""From a container of a pod's specification to a ContainerSpec: command, environment, user, limits, mounts, files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj
from halab.sandbox import DEFAULT_CAPABILITIES, Mount, User, capability_mask

from .environment import ConfigError
from .expansion import expand
from .runtime import ContainerSpec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command_of(container: Obj, image: Any, variables: Mapping[str, str]) -> list[str]:
    """``command`` replaces the image's entry point and its CMD, ``args`` alone replaces the CMD."""
    command = [expand(part, variables) for part in container.get("command") or ()]
    args = [expand(part, variables) for part in container.get("args") or ()]
    if command:
        return command + args
    return list(image.entrypoint) + (args if container.get("args") else list(image.command))


def _entries(layers: list[Path], name: str) -> list[list[str]]:
    """The lines of /etc/passwd or /etc/group as the container sees them."""
    for root in (*layers, Path("/")):
        try:
            return [line.split(":") for line in (root / "etc" / name).read_text().splitlines() if line and line[0] != "#"]
        except OSError:
            continue
    return []


def user_of(pod: Obj, container: Obj, image: Any) -> tuple[User, str]:
    """Who the container runs as, and the home directory. Raises ConfigError where runAsNonRoot forbids it."""
    outer, inner = pod["spec"].get("securityContext") or {}, container.get("securityContext") or {}
    layers = list(image.layers)
    wanted, _, wanted_group = image.user.partition(":")
    uid = inner.get("runAsUser", outer.get("runAsUser"))
    gid = inner.get("runAsGroup", outer.get("runAsGroup"))
    users = _entries(layers, "passwd")
    name = wanted
    if uid is None:
        entry = next((item for item in users if len(item) > 3 and wanted in (item[0], item[2])), None) if wanted else None
        if wanted and entry is None and not wanted.isdecimal():
            raise ConfigError(
                f"failed to generate container spec: unable to find user {wanted}: no matching entries in passwd file"
            )
        uid = int(entry[2]) if entry else int(wanted or 0)
        if inner.get("runAsNonRoot", outer.get("runAsNonRoot")):
            _refuse_root(pod, container, uid, wanted)
    elif uid == 0 and inner.get("runAsNonRoot", outer.get("runAsNonRoot")):
        raise ConfigError(f"container's runAsUser breaks non-root policy ({_named(pod, container)})")
    entry = next((item for item in users if len(item) > 5 and item[2] == str(uid)), None)
    name = entry[0] if entry else ""
    if gid is None:
        groups = _entries(layers, "group")
        if wanted_group and uid == int(entry[2] if entry else uid):
            gid = next((int(item[2]) for item in groups if len(item) > 2 and wanted_group in (item[0], item[2])), 0)
        else:
            gid = int(entry[3]) if entry else 0
    extra = [int(group) for group in outer.get("supplementalGroups") or ()]
    if outer.get("fsGroup") is not None:
        extra.append(int(outer["fsGroup"]))
    if name and outer.get("supplementalGroupsPolicy", "Merge") == "Merge":
        extra += [int(item[2]) for item in _entries(layers, "group") if len(item) > 3 and name in item[3].split(",")]
    home = entry[5] if entry and entry[5] else "/"
    return User(int(uid), int(gid), tuple(dict.fromkeys(extra))), home


def _named(pod: Obj, container: Obj) -> str:
    meta = pod["metadata"]
    return f'pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})", container: {container["name"]}'


def _refuse_root(pod: Obj, container: Obj, uid: int, wanted: str) -> None:
    if wanted and not wanted.isdecimal():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({wanted}), cannot verify user is non-root "
            f"({_named(pod, container)})"
        )
    if uid == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root ({_named(pod, container)})")


def _capabilities(context: Obj) -> int:
    if context.get("privileged"):
        return capability_mask(["ALL"])
    asked = context.get("capabilities") or {}
    dropped = asked.get("drop") or []
    mask = 0 if any(name.upper() == "ALL" for name in dropped) else DEFAULT_CAPABILITIES & ~capability_mask(dropped)
    return mask | capability_mask(asked.get("add") or [])


def _limit(container: Obj, name: str) -> float:
    text = ((container.get("resources") or {}).get("limits") or {}).get(name)
    return float(parse(text)) if text is not None else 0.0


@lru_cache(maxsize=1)
def interpreter_paths() -> tuple[Path, ...]:
    """Prefixes outside /usr that borrowed programs need: the interpreter's own, and a conda environment's."""
    prefixes = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    return tuple(sorted(path for path in prefixes if not path.is_relative_to("/usr") and path != Path("/")))


def container_spec(
    pod: Obj,
    container: Obj,
    image: Any,
    variables: Mapping[str, str],
    mounts: list[Mount],
    files: Mapping[str, str],
    hostname: str,
    log: Path,
    message_file: Path,
) -> tuple[ContainerSpec, User]:
    """Raises ConfigError."""
    user, home = user_of(pod, container, image)
    env = {"PATH": DEFAULT_PATH, **image.environment, "HOSTNAME": hostname, **variables}
    env.setdefault("HOME", home)
    context = container.get("securityContext") or {}
    argv = command_of(container, image, variables)
    if not argv:
        raise ConfigError("no command specified")
    message_path = container.get("terminationMessagePath", "/dev/termination-log")
    all_mounts = [*mounts, Mount(message_file, message_path)] if message_path else mounts
    if container.get("tty"):
        env.setdefault("TERM", "xterm")
    return (
        ContainerSpec(
            name=container["name"],
            argv=argv,
            env=env,
            cwd=container.get("workingDir") or image.working_directory,
            user=user,
            layers=list(image.layers),
            host_files=bool(image.borrows) or not image.layers or not _is_root(list(image.layers)),
            host_paths=interpreter_paths(),
            mounts=all_mounts,
            files=files,
            log=log,
            stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            terminal=bool(container.get("tty")),
            read_only_root=bool(context.get("readOnlyRootFilesystem")),
            no_new_privileges=context.get("allowPrivilegeEscalation") is False,
            capabilities=_capabilities(context),
            memory=int(_limit(container, "memory")),
            cpu=_limit(container, "cpu"),
            storage=int(_limit(container, "ephemeral-storage")),
            image=image.config_digest,
            privileged=bool(context.get("privileged")),
            awaited=any(each.get("controller") for each in pod["metadata"].get("ownerReferences") or ()),
            stop_signal=(container.get("lifecycle") or {}).get("stopSignal") or image.stop_signal,
        ),
        user,
    )


def _is_root(layers: list[Path]) -> bool:
    """Do these layers make a whole root of their own (a loader and a shell), so that the host's files need not lie below?"""
    return any((layer / name).exists() for layer in layers for name in ("lib64/ld-linux-x86-64.so.2", "lib/ld-musl-x86_64.so.1"))
