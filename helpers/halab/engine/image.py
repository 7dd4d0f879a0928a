"""The image of a pod's own container: one small program, compiled here, imported into the engine. No registry is asked."""

from __future__ import annotations

import hashlib
import io
import platform
import subprocess
import tarfile
import tempfile
from pathlib import Path

from halab.engine.client import Engine
from halab.errors import MachineError
from halab.images.elf import libraries
from halab.sandbox.build import compiler

SOURCES = sorted(Path(__file__).parent.glob("*.[ch]"))
PROGRAM = "/pod"
REPOSITORY = "localhost/halab-pod"  # Podman takes names without a place for Docker Hub's


def reference() -> str:
    """Named by its source, so that a newer halab makes a newer one."""
    made_of = b"".join(map(Path.read_bytes, SOURCES)) + platform.machine().encode()
    return f"{REPOSITORY}:{hashlib.sha256(made_of).hexdigest()[:12]}"


def compiled(folder: Path) -> Path:
    """The program: static where the compiler can. Raises MachineError."""
    made = folder / "pod"
    command, said = compiler(), ""
    programs = [str(path) for path in SOURCES if path.suffix == ".c"]
    for linking in (["-static"], []):
        done = subprocess.run(
            [*command, *linking, "-std=gnu17", "-Os", "-o", str(made), *programs], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return made
        said = done.stderr.strip()
    raise MachineError("the pods' image", f"{command[0]} failed: {said[-500:]}", "run: pip install ziglang")


def archive() -> bytes:
    """The image's files as a tar: the program, the libraries that it needs if it could not be linked statically, and mount points."""
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(Path(folder))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for source, name in ((program, PROGRAM), *((path, str(path)) for path in sorted(libraries([program])))):
                entry = tarfile.TarInfo(name.lstrip("/"))
                data = source.read_bytes()
                entry.size, entry.mode = len(data), 0o755
                tar.addfile(entry, io.BytesIO(data))
        return out.getvalue()


def ensure(client: Engine) -> str:
    """The image's name in this engine, where it is made at first use. Raises MachineError."""
    from docker.errors import APIError, ImageNotFound

    name = reference()
    try:
        client.inspect_image(name)
    except ImageNotFound:
        repository, tag = name.split(":")
        changes = [f'ENTRYPOINT ["{PROGRAM}"]', 'CMD ["hold"]', "LABEL io.halab=pod"]
        try:
            client.import_image_from_data(archive(), repository=repository, tag=tag, changes=changes)
            if not client.images(name):
                client.tag(f"{repository}:latest", repository, tag)  # Podman's imports do not heed the tag
        except APIError as error:
            raise MachineError("the pods' image", f"is refused by the engine: {error.explanation or error}") from error
    return name
