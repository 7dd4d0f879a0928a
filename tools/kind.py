"""The kind program for the tests, where this machine's release has no package of it: ``python tools/kind.py``.

A newer release's package is fetched by apt from the mirror that this machine already uses, its signature checked with the keys it already
has, and unpacked into ``.tools/kind``: nothing is installed, and nothing of apt's own state is changed. No privileges are needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".tools" / "kind"
PROGRAM = FOLDER / "usr" / "bin" / "kind"
SUITES = ("sid", "trixie")  # the newest kind first: node images are made for recent ones
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SECONDS = 300


def found() -> str | None:
    """Where it is: installed by somebody, or ours."""
    return shutil.which("kind") or (str(PROGRAM) if PROGRAM.exists() else None)


def mirror() -> str:
    """The address of the Debian mirror that apt is configured for; empty on another system."""
    words = ["indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Identifier: Packages"]
    lines = _apt(*words).stdout.splitlines()
    return next((line.split()[0] for line in lines if line.split()[1:] == ["Debian", "Debian"]), "")


def _apt(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["apt-get", *words], cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False)


def fetch() -> str:
    """Get it. What kept us from it, or nothing."""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))) or not KEYS.exists():
        return "this is not Debian"
    if not (address := mirror()):
        return "apt knows no Debian mirror"
    said = ""
    for suite in SUITES:
        with tempfile.TemporaryDirectory() as text:
            scratch = Path(text)
            (scratch / "lists" / "partial").mkdir(parents=True)
            (scratch / "sources.list").write_text(f"deb [signed-by={KEYS}] {address} {suite} main\n")
            options = {
                "Dir::Etc::SourceList": scratch / "sources.list",
                "Dir::Etc::SourceParts": "-",
                "Dir::State::Lists": scratch / "lists",
                "Dir::Cache::pkgcache": "",
                "Dir::Cache::srcpkgcache": "",
                "APT::Sandbox::User": os.environ.get("USER", "root") if os.geteuid() else "root",
                "Acquire::Languages": "none",
            }
            given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
            for command in (("update",), ("download", "kind")):
                done = _apt(*given, *command, cwd=scratch)
                if done.returncode:
                    said = (done.stderr or done.stdout).strip()[-300:]
                    break
            if packages := list(scratch.glob("kind_*.deb")):
                FOLDER.mkdir(parents=True, exist_ok=True)
                subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(FOLDER)], check=True)
                return "" if PROGRAM.exists() else "the package holds no /usr/bin/kind"
    return said or "no release has it"


def main() -> int:
    if found():
        return 0
    if why := fetch():
        print(f"kind: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
