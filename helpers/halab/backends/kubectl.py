"""The learner's own kubectl, for what it does best: applying files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from halab.errors import ClusterError, MachineError

Done = subprocess.CompletedProcess[str]
SECONDS = 120.0


def program() -> str:
    found = shutil.which("kubectl")
    if found is None:
        raise MachineError("kubectl", "is not on PATH", "sudo apt-get install kubernetes-client")
    return found


def run(kubeconfig: Path | str, *words: str, text: str | None = None, seconds: float = SECONDS) -> Done:
    """``kubectl WORDS`` with ``text`` on its standard input; whatever its exit status."""
    command = [program(), *(["--kubeconfig", str(kubeconfig)] if kubeconfig else []), *words]
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"kubectl {words[0]}", f"has not ended in {seconds:.0f} s", "does the cluster answer? kubectl get nodes"
        ) from error


def apply(kubeconfig: Path, manifests: str) -> None:
    done = run(kubeconfig, "apply", "--server-side", "--force-conflicts", "--field-manager=halab", "-f", "-", text=manifests)
    if done.returncode:
        raise ClusterError("kubectl apply", done.stderr.strip()[-600:])
