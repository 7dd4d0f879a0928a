"""The learner's own kubectl, for what it does best: reading kubeconfigs with all their rules, and applying files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from halab.errors import ClusterError, MachineError, UsageError

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


def flattened(kubeconfig: str, context: str) -> tuple[str, str]:
    """One context alone, certificates included, as kubectl reads it (empty: as it would by itself); and that context's name."""
    words = ["config", "view", "--minify", "--flatten", "--raw", *(["--context", context] if context else [])]
    done = run(kubeconfig, *words)
    if done.returncode:
        raise UsageError(f"kubeconfig {kubeconfig or 'of kubectl'}", done.stderr.strip(), "look: kubectl config get-contexts")
    config: dict[str, Any] = yaml.safe_load(done.stdout) or {}
    if not config.get("contexts"):
        raise UsageError(
            "kubeconfig", "names no cluster", "give one: halab up --backend existing --kubeconfig FILE --context NAME"
        )
    return done.stdout, str(config["contexts"][0]["name"])
