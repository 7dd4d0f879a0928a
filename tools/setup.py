"""Everything that halab needs on this machine: uv, the locked Python packages in ``.venv``, and the host programs that images borrow.

``python3 tools/setup.py [--dev] [--into PYTHON]``, on nothing but Python >= 3.11 and its standard library. It does what it can without
privileges, uses apt where it is root, and otherwise says what to type. Run again, it finds that nothing has changed and is done.

``--dev`` adds what the tests need. ``--into PYTHON`` installs into that interpreter's environment (Binder's) instead of ``.venv``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
OLDEST_UV = (0, 6)  # the first to read locks of this form


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the host. ``package``: Debian's and Ubuntu's name for it; ``why`` completes "needed to ..."."""

    name: str
    package: str
    why: str


LEARNER = (
    Program("kubectl", "kubernetes-client", "talk to the cluster as one talks to any Kubernetes"),
    Program("nginx", "nginx", "run the images that are built on nginx"),
    Program("busybox", "busybox", "run the busybox and alpine images"),
)
TESTS = (
    Program("chromium", "chromium", "test the widgets in a real browser"),
    Program("skopeo", "skopeo", "test that images are what other tools expect"),
    Program("dockerd", "docker.io iptables", "test that Docker loads our images"),
    Program("podman", "podman", "test that pods run as its containers, too"),
)
COMPILERS = ("cc", "gcc", "clang", "zig")  # of C, for the sandbox's two small programs; else a wheel brings one
KUBECTL_ELSEWHERE = (
    "or (Ubuntu): sudo snap install kubectl --classic, or put the program of https://kubernetes.io/docs/tasks/tools/ on PATH"
)


class Impossible(Exception):
    """The set-up cannot go on; the text says what the person can do."""


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def run(command: list[str], **options: object) -> bool:
    """True if the command succeeded; what it prints goes to standard error."""
    return subprocess.run(command, stdout=sys.stderr.fileno(), stdin=subprocess.DEVNULL, check=False, **options).returncode == 0  # type: ignore[call-overload, no-any-return]


def quiet(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


# uv


def find_uv() -> str:
    """A uv that is new enough: on PATH, or one of our own below ``.tools``, fetched with venv or pip."""
    for candidate in (shutil.which("uv"), *_own_uv_places()):
        if candidate and _uv_version(str(candidate)) >= OLDEST_UV:
            return str(candidate)
    say("fetching uv, which installs the packages")
    failures = []
    for way in (_uv_by_venv, _uv_by_pip, _uv_by_apt):
        failure = way()
        for candidate in _own_uv_places():
            if _uv_version(str(candidate)) >= OLDEST_UV:
                return str(candidate)
        failures.append(f"  {failure}")
    raise Impossible(
        "uv is not here and cannot be fetched:\n"
        + "\n".join(failures)
        + "\nOne of these helps: sudo apt-get install python3-venv; or a uv on PATH; or conda env create -f environment.yml "
        "and conda activate halab. Then the command again."
    )


def _own_uv_places() -> list[Path]:
    return [TOOLS / "uv" / "bin" / "uv", TOOLS / "uv-target" / "bin" / "uv"]


def _uv_version(path: str) -> tuple[int, ...]:
    try:
        found = re.match(r"uv (\d+)\.(\d+)", quiet([path, "--version"]).stdout)
    except OSError:
        return ()
    return tuple(int(part) for part in found.groups()) if found else ()


def _uv_by_venv() -> str:
    made = quiet([sys.executable, "-m", "venv", "--clear", str(TOOLS / "uv")])
    if made.returncode:
        shutil.rmtree(TOOLS / "uv", ignore_errors=True)
        return "python3 -m venv: " + _last_line(made, "it is not installed")
    installed = quiet([str(TOOLS / "uv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"])
    return "pip in a venv: " + _last_line(installed, "it installed no uv")


def _uv_by_pip() -> str:
    target = ["--target", str(TOOLS / "uv-target"), "--upgrade"]
    return "pip --target: " + _last_line(
        quiet([sys.executable, "-m", "pip", "install", "--quiet", *target, "uv"]), "it installed no uv"
    )


def _uv_by_apt() -> str:
    if not can_apt():
        return "apt-get: only root may install python3-venv"
    apt_install(["python3-venv"])
    return _uv_by_venv()


def _last_line(done: subprocess.CompletedProcess[str], otherwise: str) -> str:
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1].strip() if lines else otherwise


# Python packages


def uv_environment() -> dict[str, str]:
    """uv's settings: the package index that pip is configured for, where uv itself is not; a cache that can be written."""
    settings = dict(os.environ)
    index = settings.get("PIP_INDEX_URL", "")
    if not index and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & settings.keys():
        index = quiet([sys.executable, "-m", "pip", "config", "get", "global.index-url"]).stdout.strip()
    if index:
        settings.setdefault("UV_DEFAULT_INDEX", index)
    if not os.access(settings.get("HOME", "/nonexistent"), os.W_OK):
        settings.setdefault("UV_CACHE_DIR", str(TOOLS / "cache"))
    return settings


def install_packages(uv: str, *, dev: bool, into: str | None) -> None:
    """The locked packages, hashes verified, and halab itself (editable: notebooks and labs are read from this folder)."""
    stamp = (VENV if into is None else TOOLS) / ".halab-setup"
    compiler = any(shutil.which(name) for name in COMPILERS)
    inputs = b"".join(path.read_bytes() for path in (ROOT / "uv.lock", ROOT / "pyproject.toml", Path(__file__)))
    wanted = hashlib.sha256(inputs + f"{into} {compiler}".encode()).hexdigest()
    have = stamp.read_text().split() if stamp.exists() else []
    if have[:1] == [wanted] and (not dev or "dev" in have):
        return
    dev = dev or "dev" in have
    environment = uv_environment()
    if into is None:
        say(f"making .venv with Python {sys.version.split()[0]}")
        if not run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(VENV)], env=environment):
            raise Impossible(f"uv could not make {VENV}: see above")
    python = into or str(VENV / "bin" / "python")
    TOOLS.mkdir(exist_ok=True)
    requirements = TOOLS / "requirements.txt"
    names = ["build", *(["dev"] if dev else []), *([] if compiler else ["compiler"])]
    groups = ["--no-default-groups", *(word for name in names for word in ("--group", name))]
    export = [uv, "export", "--quiet", "--frozen", "--no-emit-project", *groups, "--output-file", str(requirements)]
    say("installing the locked packages" + (" and the tests'" if dev else ""))
    # In an environment of our own, what is not locked is removed; in somebody else's, it is none of our business.
    place = ["sync", str(requirements)] if into is None else ["install", "-r", str(requirements)]
    packages = [uv, "pip", *place, "--require-hashes", "--compile-bytecode", "--python", python]
    halab = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    for command in (export, packages, halab):
        if not run(command, env=environment, cwd=ROOT):
            raise Impossible("the packages could not be installed: see above; a mirror in reach can be named by UV_DEFAULT_INDEX")
    run([python, "-m", "compileall", "-q", str(ROOT / "helpers")])  # or the first start would pay for it
    say("building the sandbox's programs")
    if not run([python, "-c", "from halab.sandbox.build import programs; programs()"], env=environment, cwd=ROOT):
        raise Impossible("the programs that start containers could not be compiled: see above")
    stamp.write_text(f"{wanted} {'dev' if dev else ''}\n")


# host programs


def can_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str]) -> bool:
    """Install Debian packages without questions, and without starting the servers that they bring."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        if run(install, env=environment):
            return True
        return run(["apt-get", "update", "-qq"], env=environment) and run(install, env=environment)
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def find_program(name: str) -> str | None:
    """On PATH, or where Debian keeps servers, which is not on every user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def host_programs(programs: tuple[Program, ...]) -> None:
    """Install what is missing, or say how; nothing here stops the set-up, because the cluster runs without them."""
    missing = [program for program in programs if not find_program(program.name)]
    if missing and can_apt():
        names = [name for program in missing for name in program.package.split()]
        say("installing " + ", ".join(names))
        if not apt_install(names):
            for program in missing:  # one unknown package must not cost the others
                apt_install(program.package.split())
        missing = [program for program in missing if not find_program(program.name)]
    for program in missing:
        elsewhere = f", {KUBECTL_ELSEWHERE}" if program.name == "kubectl" else ""
        say(f"missing: {program.name}, needed to {program.why}; get it with: sudo apt-get install {program.package}{elsewhere}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Set halab up on this machine.")
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    parser.add_argument("--into", metavar="PYTHON", help="install into this interpreter's environment instead of .venv")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        install_packages(find_uv(), dev=options.dev, into=options.into)
        host_programs(LEARNER + (TESTS if options.dev else ()))
        if options.dev and not run([sys.executable, str(ROOT / "tools" / "kind.py")]):
            say("missing: kind, needed to test the kind backend against the real program; see https://kind.sigs.k8s.io")
    except Impossible as error:
        say(str(error))
        return 2
    if time.monotonic() - began > 2:
        say(f"done in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
