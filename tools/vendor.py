"""Write, or verify, the one third-party file that the widgets carry: uPlot, the chart library, bundled so that no page needs the network.
And fetch, for the browser tests alone, axe-core, which looks for what keeps people out.

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

AXE = "axe-core@4.14.1"  # MPL-2.0; kept out of the tree
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


def axe() -> Path:
    """The pinned axe-core script, fetched with npm once. Raises RuntimeError if what came is not that."""
    file = FOLDER.parents[3] / ".tools" / "axe.min.js"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(["npm", "pack", "--silent", AXE], cwd=scratch, check=True, capture_output=True, text=True)
            with tarfile.open(Path(scratch) / done.stdout.split()[-1]) as archive:
                found = archive.extractfile("package/axe.min.js")
                assert found is not None
                new = file.with_suffix(f".{os.getpid()}")
                new.write_bytes(found.read())
                new.replace(file)
    if hashlib.sha256(file.read_bytes()).hexdigest() != AXE_SHA256:
        raise RuntimeError(f"{file} is not the script of {AXE}; remove it")
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
