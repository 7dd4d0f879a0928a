"""Images of halab's own programs, built from what is on this machine: no base image has to be pulled, and it is the very code that runs here.

A Python and its libraries, this package, and exactly those packages that the program imports; for the gateway Envoy as well.
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
from halab.images.elf import libraries

REFERENCE = "halab-gateway:1"
ENTRY = "halab.cluster.dataplane.pod"
REGISTRY, REGISTRY_ENTRY = "halab-registry:1", "halab.images.registry.__main__"
SKIPPED = shutil.ignore_patterns("__pycache__", "tests", "*.pyi", "widgets", "static")
# What is loaded decides what is copied. Packages with a ``.libs`` folder beside them bring it along.
ASK = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
tops = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted(tops - sys.stdlib_module_names - {"__main__", "_distutils_hack"})))
"""
DOCKERFILE = """FROM python:{version}
COPY site /halab/site
COPY envoy /usr/local/bin/envoy
ENV PYTHONPATH=/halab/site PYTHONDONTWRITEBYTECODE=1 HALAB_HOME=/tmp/halab
USER 65532
EXPOSE 8080 8443
CMD ["python3", "-m", "{entry}"]
"""
REGISTRY_DOCKERFILE = """FROM python:{version}
COPY site /halab/site
ENV PYTHONPATH=/halab/site PYTHONDONTWRITEBYTECODE=1 HALAB_HOME=/tmp/halab
EXPOSE 5000
CMD ["python3", "-m", "{entry}", "/data", "0.0.0.0", "5000"]
"""


def build(folder: Path, report: Callable[[str], None]) -> Path:
    """The gateway's archive, made in ``folder``. Raises ImageError, MachineError."""
    report("building the gateway's image")
    envoy = folder / "context" / "envoy"
    envoy.parent.mkdir(parents=True)
    envoy.write_bytes(_envoy().read_bytes())
    envoy.chmod(0o755)
    return _build(folder, REFERENCE, DOCKERFILE, ENTRY)


def build_registry(folder: Path, report: Callable[[str], None]) -> Path:
    """The archive of halab's own registry. Raises ImageError, MachineError."""
    report("building the registry's image")
    return _build(folder, REGISTRY, REGISTRY_DOCKERFILE, REGISTRY_ENTRY)


def _build(folder: Path, reference: str, dockerfile: str, entry: str) -> Path:
    context = folder / "context"
    site = context / "site"
    site.mkdir(parents=True)
    for package in packages(entry):
        _copy(package, site)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = dockerfile.format(version=version, entry=entry)
    # The packages fit one minor version of Python. Where the machine's own Python is another, a real base image has to be pulled.
    borrowed = interpreter()[1].startswith(f"{version}.")
    if borrowed:  # a base that was pulled is complete; ours has what its Python needs, not what these packages need
        _copy_libraries(context)
        text = text.replace("\n", "\nCOPY libraries /\n", 1)
    (context / "Dockerfile").write_text(text)
    engine = api.engine("embedded" if borrowed else "docker")
    engine.build(api.Request(context, tags=(reference,)), lambda _event: None)
    archive = folder / "image.tar"
    engine.save([reference], archive)
    return archive


def packages(entry: str = ENTRY) -> list[Path]:
    """Files and folders of the packages that the module ``entry`` imports."""
    done = subprocess.run([sys.executable, "-c", ASK, entry], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise MachineError(f"the image of {entry}", f"its code cannot be imported: {done.stderr.strip()[-300:]}")
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


def _copy_libraries(context: Path) -> None:
    """The shared libraries of the packages' extensions, and of Envoy, each where the loader finds it here."""
    programs = [path for path in context.rglob("*") if path.is_file() and (path.suffix == ".so" or ".so." in path.name)]
    programs += [path for path in (context / "envoy",) if path.exists()]
    for library in libraries(programs):
        if library.is_relative_to(context):
            continue  # a package that brings its own
        target = context / "libraries" / str(library.parent.resolve() / library.name).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, target)


def _copy(source: Path, site: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, site / source.name, ignore=SKIPPED)
    else:
        shutil.copy2(source, site / source.name)


def _envoy() -> Path:
    from halab.cluster.dataplane.proxy import program

    return program()
