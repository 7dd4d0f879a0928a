"""The gateway's image, built from this machine's own programs: no base image has to be pulled, and it is the very code that runs here.

A Python and its libraries, Envoy, this package, and exactly those packages that the data plane imports.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from halab.errors import MachineError
from halab.images import api
from halab.images.bases.languages import interpreter

REFERENCE = "halab-gateway:1"
ENTRY = "halab.cluster.dataplane.pod"
SKIPPED = shutil.ignore_patterns("__pycache__", "tests", "*.pyi", "widgets", "static")
# What is loaded decides what is copied. Packages with a ``.libs`` folder beside them bring it along.
ASK = f"""
import json, sys, {ENTRY}
tops = {{name.partition(".")[0] for name in sys.modules}}
print(json.dumps(sorted(tops - sys.stdlib_module_names - {{"__main__", "_distutils_hack"}})))
"""
DOCKERFILE = """FROM python:{version}
COPY site /halab/site
COPY envoy /usr/local/bin/envoy
ENV PYTHONPATH=/halab/site PYTHONDONTWRITEBYTECODE=1 HALAB_HOME=/tmp/halab
USER 65532
EXPOSE 8080 8443
CMD ["python3", "-m", "{entry}"]
"""


def build(folder: Path, report: Callable[[str], None]) -> Path:
    """The image's archive, made in ``folder``. Raises ImageError, MachineError."""
    report("building the gateway's image")
    context = folder / "context"
    site = context / "site"
    site.mkdir(parents=True)
    for package in packages():
        _copy(package, site)
    (context / "envoy").write_bytes(_envoy().read_bytes())
    (context / "envoy").chmod(0o755)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (context / "Dockerfile").write_text(DOCKERFILE.format(version=version, entry=ENTRY))
    # The packages fit one minor version of Python. Where the machine's own Python is another, a real base image has to be pulled.
    engine = api.engine("embedded" if interpreter()[1].startswith(f"{version}.") else "docker")
    engine.build(api.Request(context, tags=(REFERENCE,)), lambda _event: None)
    archive = folder / "gateway.tar"
    engine.save([REFERENCE], archive)
    return archive


def packages() -> list[Path]:
    """Files and folders of the packages that the data plane imports."""
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise MachineError("the gateway's image", f"its code cannot be imported: {done.stderr.strip()[-300:]}")
    found: list[Path] = []
    for name in json.loads(done.stdout):
        for base in map(Path, sys.path):
            there = [path for path in (base / name, base / f"{name}.py", *base.glob(f"{name}.*.so")) if path.exists()]
            if there and base.name != "lib-dynload":
                found += [*there, *(path for path in (base / f"{name}.libs",) if path.exists())]
                break
        else:
            if name == "halab":
                found.append(Path(__file__).parents[1])
    return found


def _copy(source: Path, site: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, site / source.name, ignore=SKIPPED)
    else:
        shutil.copy2(source, site / source.name)


def _envoy() -> Path:
    from halab.cluster.dataplane.proxy import program

    return program()
