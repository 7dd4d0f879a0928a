"""Write, or verify, the one third-party file that the widgets carry: uPlot, the chart library, bundled so that no page needs the network.
And fetch, for the browser tests alone, what they look with.

python tools/vendor.py build      fetch the pinned release with npm and write helpers/halab/widgets/vendor/
python tools/vendor.py verify     fail if a file there is not the pinned one (by its SHA-256)
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "helpers" / "halab" / "widgets" / "vendor"
PACKAGE = "uplot@1.6.32"  # MIT
FILES = {
    "uplot.js": ("dist/uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
    "uplot.css": ("dist/uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
    "uplot.LICENSE": ("LICENSE", "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"),
}

# For the browser tests alone, kept out of the tree: (package, member, SHA-256).
AXE = ("axe-core@4.14.1", "axe.min.js", "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c")  # MPL-2.0
REQUIRE = ("requirejs@2.3.8", "require.js", "c1fc6b1d53af7522f78d664922abb32acac64ed0ecccb8f907f1e6fc7262563a")  # MIT
# What VS Code's Jupyter extension shows widgets with; MIT.
VSCODE = (
    "@vscode/jupyter-ipywidgets8@1.0.9",
    "dist/ipywidgets.js",
    "a76235308552fc3ef3fe3e6d801422172ac7252a89498df7d2b8f35276b92120",
)


def axe() -> Path:
    """axe-core, which looks for what keeps people out."""
    return fetched(*AXE)


def fetched(package: str, member: str, digest: str) -> Path:
    """One file of a pinned npm package, fetched once. Raises RuntimeError if what came is not that."""
    file = FOLDER.parents[3] / ".tools" / "npm" / package.replace("/", "-") / Path(member).name
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(["npm", "pack", "--silent", package], cwd=scratch, check=True, capture_output=True, text=True)
            with tarfile.open(Path(scratch) / done.stdout.split()[-1]) as archive:
                found = archive.extractfile(f"package/{member}")
                assert found is not None
                new = file.with_suffix(f".{os.getpid()}")
                new.write_bytes(found.read())
                new.replace(file)
    if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        raise RuntimeError(f"{file} is not the script of {package}; remove it")
    return file


def build() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=scratch, check=True, capture_output=True, text=True)
        with tarfile.open(Path(scratch) / done.stdout.split()[-1]) as archive:
            for name, (member, _) in FILES.items():
                found = archive.extractfile(f"package/{member}")
                assert found is not None, member
                (FOLDER / name).write_bytes(found.read())


def verify() -> list[str]:
    return [name for name, (_, digest) in FILES.items() if hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() != digest]


def main() -> int:
    if sys.argv[1:] == ["build"]:
        build()
    elif sys.argv[1:] != ["verify"]:
        print(__doc__, file=sys.stderr)
        return 2
    wrong = verify()
    for name in wrong:
        print(f"{FOLDER / name} is not the file of {PACKAGE}; run: python tools/vendor.py build", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
