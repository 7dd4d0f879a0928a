"""``python -m halab.cluster.supervisor WISH FD``: the cluster's own daemon, in two processes.

The *keeper* is the root of the cluster's process tree. It does nothing but wait for the supervisor, its child, and when that ends, for
whatever reason, it kills every process that is left below it. Killing the keeper ends the supervisor, which then stops the cluster itself.
So no single SIGKILL leaves anything behind.

While it waits the keeper is a shell blocked in ``read``, because a sleeping Python costs 5 MB and a sleeping shell next to nothing: the
supervisor alone holds the other end of its standard input. Then it becomes Python again (``--sweep``).
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from pathlib import Path

from halab.aio import processes
from halab.cluster.supervisor.layout import MARK, RUNNING
from halab.cluster.supervisor.progress import Reporter

WAIT_THEN_SWEEP = 'read -r _; exec "$@"'


def main(arguments: list[str]) -> int:
    if arguments[0] == "--sweep":
        left = processes.kill_descendants(os.getpid())
        directory = Path(arguments[-1])
        if (directory / RUNNING).exists():  # the supervisor was killed: its containers are not ours by birth
            from halab.cluster.supervisor.engine import clear_directory

            clear_directory(directory)
        return 1 if left else 0
    text, descriptor = arguments
    if os.fork():
        os._exit(0)  # our parent waits for this process only; from here on the cluster is nobody's child
    processes.adopt_orphans()
    keeper = os.getpid()
    ends, held = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        os.close(ends)
        processes.die_with_parent(keeper, signal.SIGTERM)
        processes.adopt_orphans()
        processes.set_name("halab")
        return _supervise(text, Reporter(int(descriptor)), held)
    os.close(int(descriptor))
    os.dup2(ends, 0)
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for inherited in (1, 2):  # whoever reads our starter's output must not wait for the cluster's end
        os.dup2(null, inherited)
    sweep = [sys.executable, "-P", "-m", "halab.cluster.supervisor", "--sweep", os.environ[MARK]]
    os.execv("/bin/sh", ["halab-keeper", "-c", WAIT_THEN_SWEEP, "halab-keeper", *sweep])


def _supervise(text: str, reporter: Reporter, held: int) -> int:
    gc.disable()  # imports make thousands of objects and no garbage: a tenth of their time would go into looking for it
    from halab.cluster.supervisor import engine
    from halab.cluster.supervisor.daemon import Supervisor
    from halab.cluster.supervisor.prepare import Busy, Wish, prepare, undo
    from halab.errors import ClusterError, HalabError

    _raise_file_limit()
    os.umask(0o077)  # after the imports: compiled modules may serve other users of this installation
    try:
        prepared = prepare(Wish.load(text), reporter.step)
        try:
            engine.lay(prepared.config, reporter.step)
        except BaseException:
            undo(prepared)
            raise
    except Busy:
        reporter.busy()
        return 0
    except HalabError as error:
        reporter.error(error)
        return 1
    except Exception as error:
        reporter.error(ClusterError("supervisor", f"{type(error).__name__}: {error}"))
        raise
    _log_to(prepared.config.logs / "supervisor.log")
    return Supervisor(prepared, reporter, held).run()


def _raise_file_limit() -> None:
    """A watch is an open connection, and 1,024 of them are not many for an API server. More than 65,536 makes old programs slow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _log_to(path: os.PathLike[str]) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
