"""What a process beside this one begins with: its share of the cores, and an end together with ours."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading


def begin(threads: int) -> None:
    """The first act of another process: it takes no more than its share of the cores.

    Ctrl-C is for the process that began it, which ends this one.
    """
    for name in ("PISOLVE_THREADS", "OMP_NUM_THREADS"):  # the second for torch, should it be loaded later
        os.environ[name] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent) -> None:
    """End this process with the one that began it, however that ended: nobody holds the folder any more."""
    parent.join()
    os._exit(1)
