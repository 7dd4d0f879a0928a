"""/etc/passwd, /etc/group and their like, as small images have them."""

from __future__ import annotations

from halab.images.layers import Entry, directory, link, text

_SYSTEM = {"root": 0, "daemon": 1, "bin": 2, "sys": 3, "mail": 8, "www-data": 33}


def accounts(
    extra: dict[str, int] | None = None, shell: str = "/bin/sh", nobody: int = 65534, nogroup: str = "nogroup"
) -> list[Entry]:
    """Users with a group of the same name and number; ``extra`` maps further names to numbers."""
    users = _SYSTEM | (extra or {})
    passwd = "".join(
        f"{name}:x:{number}:{number}:{name}:{'/root' if not number else '/nonexistent'}:{shell if not number else '/usr/sbin/nologin'}\n"
        for name, number in users.items()
    )
    passwd += f"nobody:x:{nobody}:{nobody}:nobody:/nonexistent:/usr/sbin/nologin\n"
    group = "".join(f"{name}:x:{number}:\n" for name, number in users.items()) + f"{nogroup}:x:{nobody}:\n"
    return [text("etc/passwd", passwd), text("etc/group", group), text("etc/shadow", "root:*:::::::\n", 0o640)]


def places() -> list[Entry]:
    """Directories that every image has."""
    return [
        directory("root", 0o700),
        directory("tmp", 0o1777),
        directory("var/tmp", 0o1777),
        directory("home"),
        directory("run"),
        link("var/run", "/run"),
    ]
