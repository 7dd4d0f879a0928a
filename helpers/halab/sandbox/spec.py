"""What a container is to be: plain values, and their form for the launcher (see src/launch.h) and the shim (src/settings.c)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
# What containerd leaves to a container that asks for nothing.
_DEFAULT = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
]


def capability_mask(names: Sequence[str]) -> int:
    """The bit set of ``names`` (``NET_ADMIN`` or ``CAP_NET_ADMIN``; ``ALL``). Unknown names are ignored, as the kernel has none."""
    if any(name.upper() == "ALL" for name in names):
        return (1 << len(CAPABILITIES)) - 1
    known = {name: bit for bit, name in enumerate(CAPABILITIES)}
    return sum(1 << known[short] for name in set(names) if (short := name.upper().removeprefix("CAP_")) in known)


DEFAULT_CAPABILITIES = capability_mask(_DEFAULT)


@dataclass(frozen=True, slots=True)
class Mount:
    """``source`` (a file or directory of the host) shown at the absolute path ``target``, which is made if it is absent."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Numeric ids. Only a privileged sandbox can really become somebody; the others make believe."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Dns:
    """The name server's address (port 53, plus the sandbox's port shift) and what /etc/resolv.conf says beside it."""

    server: str
    search: tuple[str, ...] = ()
    ndots: int = 5


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One container.

    ``layers`` are image layers as directories, top first. With ``host_files`` they lie over the host's /usr, /etc, /bin ...; without,
    they are the whole root. ``upper`` keeps what the container writes (see ``upper_trees``); None forgets it.
    ``address`` is the pod's IPv4 address, ``local`` its private stand-in for 127.0.0.1 (default: ``address``).
    ``files`` maps absolute paths to contents that are laid over the layers (/etc/hosts ...).
    ``share_pid_with`` is the pid of a ``pause`` sandbox whose processes this one sees. ``tmpfs_size`` (bytes) bounds what an absent
    ``upper`` holds. ``limits`` maps RLIMIT_* numbers to values; ``cgroups`` are cgroup directories to start in.
    ``policy`` is the directory of the tables that say which pod may connect where (see src/policy.c).
    ``clock`` is a file of eight bytes: by how many nanoseconds the container's clock is ahead (see src/clock.c).
    ``survive`` lets the container outlive whoever started it.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: User = User()
    layers: Sequence[Path] = ()
    host_files: bool = True
    upper: Path | None = None
    mounts: Sequence[Mount] = ()
    hostname: str | None = None
    address: str | None = None
    local: str | None = None
    port_shift: int = 0
    dns: Dns | None = None
    policy: Path | None = None
    clock: Path | None = None
    host_names: tuple[str, ...] = ()  # names of the pod itself, beside what `files` has in /etc/hosts
    files: Mapping[str, str] = field(default_factory=dict)
    host_paths: Sequence[Path] = ()
    limits: Mapping[int, int] = field(default_factory=dict)
    cgroups: Sequence[Path] = ()
    share_pid_with: int | None = None
    read_only_root: bool = False
    no_new_privileges: bool = False
    capabilities: int = DEFAULT_CAPABILITIES
    tmpfs_size: int | None = None
    terminal: bool = False
    survive: bool = False


def settings_text(spec: SandboxSpec, *, fake_root: bool, paths: Iterable[str] = ()) -> str:
    """The shim's settings. ``paths`` are the lines for path rewriting, where there is no mount namespace."""
    lines = []
    if spec.address:
        lines += [f"address {spec.address}", f"local {spec.local or spec.address}", f"shift {spec.port_shift}"]
        if spec.dns:
            lines.append(f"dns {spec.dns.server}")
    if fake_root:
        lines += ["fakeroot 1", f"uid {spec.user.uid}", f"gid {spec.user.gid}"]
        lines += [f"group {group}" for group in sorted({spec.user.gid, *spec.user.groups})]
    return "\n".join([*lines, *paths]) + "\n"


def standard_files(spec: SandboxSpec) -> dict[str, str]:
    """/etc/hostname, /etc/hosts and /etc/resolv.conf as far as the specification names them and ``files`` does not."""
    files: dict[str, str] = {}
    if spec.hostname:
        files["/etc/hostname"] = spec.hostname + "\n"
    if spec.address:
        names = " ".join(dict.fromkeys((*spec.host_names, *([spec.hostname] if spec.hostname else []))))
        files["/etc/hosts"] = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{spec.address}\t{names}\n"
    if spec.dns:
        search = f"search {' '.join(spec.dns.search)}\n" if spec.dns.search else ""
        files["/etc/resolv.conf"] = f"{search}nameserver {spec.dns.server}\noptions ndots:{spec.dns.ndots}\n"
    return files | dict(spec.files)


def records(pairs: Sequence[tuple[str, ...]]) -> bytes:
    """The launcher's input: NUL-terminated strings. NUL inside a value cannot be said, nor could any program be given it."""
    return b"".join(part.replace("\0", "").encode(errors="surrogateescape") + b"\0" for pair in pairs for part in pair)
