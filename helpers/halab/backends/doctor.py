"""What this machine can do for halab, and what to type where it cannot: ``halab doctor``.

Each finding is one fact that was tried, not guessed. ``fail`` means that a cluster cannot come up; ``warn`` that a part of the
course is less than it could be.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from halab import backends
from halab.backends import choice, preflight, rights
from halab.backends.access import Api
from halab.backends.findings import Finding, Level
from halab.cluster.supervisor import manage
from halab.errors import HalabError
from halab.settings import Addresses, halab_home

SERVER_PATH = "/usr/sbin:/sbin:/usr/local/sbin"


def findings() -> Iterator[Finding]:
    """All of them, in the order in which a person would ask. A probe that breaks is itself a finding."""
    for probe in PROBES:
        try:
            yield from probe()
        except Exception as error:  # whatever it was, the other findings are still wanted
            ours = isinstance(error, HalabError)
            fact = str(error) if ours else f"{type(error).__name__}: {error}"
            yield Finding(probe.__name__.strip("_"), "fail", fact, "" if ours else "this is a fault of halab: please report it")


def _system() -> Iterator[Finding]:
    name = f"Python {platform.python_version()} on {platform.system()} {platform.release()} ({platform.machine()})"
    if sys.platform != "linux":
        yield Finding("system", "fail", name, "halab's own cluster needs Linux; use a Linux machine, WSL2, or Binder")
    else:
        yield Finding("system", "ok", name)


def _resources() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    available = _meminfo().get("MemAvailable", 0) >> 10
    level: Level = "ok" if available >= 600 else "warn"
    yield Finding(
        "memory",
        level,
        f"{available} MB available, {cores} cores",
        "" if level == "ok" else "close something: the course likes 600 MB",
    )
    home = halab_home()
    existing = next(path for path in (home, *home.parents) if os.path.lexists(path))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        yield Finding("state", "fail", f"{home} cannot be written", "set HALAB_HOME to a directory that you own")
        return
    free = shutil.disk_usage(existing).free >> 20
    yield Finding("state", "ok" if free >= 200 else "fail", f"{home}, {free} MB free", "" if free >= 200 else "free some space")


def _meminfo() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)}


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1024:
        yield Finding("open files", "warn", f"at most {hard} a process", "ulimit -n 4096")
    else:
        yield Finding("open files", "ok", f"{soft} a process")
    instances = Path("/proc/sys/fs/inotify/max_user_instances")
    if instances.exists() and (count := int(instances.read_text())) < 128:
        yield Finding("inotify", "warn", f"{count} instances a user", "sudo sysctl fs.inotify.max_user_instances=512")


def _addresses() -> Iterator[Finding]:
    probe = Addresses(250)
    with socket.socket() as server:
        try:
            server.bind((probe.api, 0))
        except OSError as error:
            yield Finding(
                "loopback",
                "fail",
                f"{probe.api} cannot be bound ({error.strerror})",
                "the cluster lives on 127.0.0.0/8: is lo up?",
            )
            return
    yield Finding("loopback", "ok", "127.0.0.0/8 is ours")
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.255.255.254", 80))  # no cluster's address
            server.listen(1)
            yield Finding("low ports", "ok", "port 80 can be bound: Services and Ingress use their own ports")
        except PermissionError:
            yield Finding("low ports", "ok", "not for this user: ports under 1024 are served 20000 higher (80 is 20080)")
        except OSError:
            fact = "a server of this machine has port 80 at every address: ports under 1024 are served 20000 higher"
            yield Finding("low ports", "warn", fact, "see which: ss -ltnp 'sport = :80'")


def _sandbox() -> Iterator[Finding]:
    from halab.sandbox.capabilities import capabilities

    found = capabilities()
    if found.mode == "none":
        fact = "no user namespaces: containers share the machine's file system view; images' files are reached by path rewriting"
        yield Finding("isolation", "warn", fact, "where it is your machine: sudo sysctl kernel.unprivileged_userns_clone=1")
    else:
        yield Finding("isolation", "ok", f"containers get namespaces of their own ({found.mode})")
    limits = f"cgroup v{found.cgroup_version}" if found.cgroup else "setrlimit (no writable cgroup)"
    yield Finding("limits", "ok", f"memory limits by {limits}")


def _programs() -> Iterator[Finding]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        remedy = "sudo apt-get install kubernetes-client, or see https://kubernetes.io/docs/tasks/tools/"
        yield Finding("kubectl", "warn", "not on PATH: the notebooks use it", remedy)
    else:
        done = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True, timeout=20, check=False)
        version = re.search(r"v\d+\.\d+\.\d+", done.stdout + done.stderr)
        yield Finding("kubectl", "ok", f"{version[0] if version else 'present'} ({kubectl})")
    for name, why in (("nginx", "images built on nginx cannot run"), ("busybox", "busybox images cannot run")):
        path = shutil.which(name) or shutil.which(name, path=SERVER_PATH)
        yield (
            Finding(name, "ok", path) if path else Finding(name, "warn", f"not installed: {why}", f"sudo apt-get install {name}")
        )


def _envoy() -> Iterator[Finding]:
    beside = str(Path(sys.executable).parent)  # where the wheel's program is
    path = shutil.which("envoy", path=beside) or shutil.which("envoy")
    if path is None:
        yield Finding("envoy", "fail", "not installed: Services and Ingress need it", "make setup")
        return
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    version = re.search(r"/(\d+\.\d+\.\d+)/", done.stdout)
    if done.returncode == 0:
        yield Finding("envoy", "ok", f"version {version[1] if version else 'unknown'}")
    else:
        yield Finding("envoy", "fail", f"does not run ({(done.stderr or done.stdout).strip()[:200]})", "make setup")


def _docker() -> Iterator[Finding]:
    """Docker and kind: nothing of the course needs them, so what is wrong with them is never worse than a warning."""
    if shutil.which("docker") is None:
        yield Finding("docker", "ok", "not here, and not needed")
        return
    for found in preflight.kind_findings():
        yield Finding(found.subject, "warn" if found.level == "fail" else found.level, found.fact, found.remedy)


def _clusters() -> Iterator[Finding]:
    for name in manage.clusters():
        found = manage.status(name)
        level: Level = "warn" if found.state == "degraded" else "ok"
        yield Finding(
            f"cluster {name}", level, found.state, f"see {found.config.logs}" if level == "warn" and found.config else ""
        )


def _other_clusters() -> Iterator[Finding]:
    """kind's and somebody's: whether they answer, and whether one may do there what the labs need."""
    for name in choice.names():
        known = choice.read(name)
        if known is None:
            continue
        cluster = backends.make(name, known.backend)
        try:
            found = cluster.summary()
            lacks = rights.lacking(Api(cluster.kubeconfig()), cluster.namespace("")) if known.backend == choice.EXISTING else []
        except HalabError as error:
            yield Finding(f"cluster {name}", "warn", error.fact, error.remedy)
            continue
        except (OSError, TimeoutError) as error:
            yield Finding(
                f"cluster {name}", "warn", f"does not answer ({error or type(error).__name__})", "halab up names what it tries"
            )
            continue
        level: Level = "ok" if found.state == "running" and not lacks else "warn"
        remedy = "" if level == "ok" else f"halab up --name {name}"
        if lacks:
            remedy = rights.remedy(cluster.namespace(""))
        fact = f"{known.backend}, {found.state}" + (f"; you may not: {'; '.join(lacks)}" if lacks else "")
        yield Finding(f"cluster {name}", level, fact, remedy)


PROBES: tuple[Callable[[], Iterator[Finding]], ...] = (
    _system,
    _resources,
    _limits,
    _addresses,
    _sandbox,
    _programs,
    _envoy,
    _docker,
    _clusters,
    _other_clusters,
)
