"""A call in a child process whose memory and time have limits."""

import json
import os
import resource
import signal
from pathlib import Path


def bounded(call, seconds=10, megabytes=512):
    """Run a call in a child of these limits; (the name of its exception or "", its message)."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (space + (megabytes << 20),) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        try:
            call()
            told = ("", "")
        except BaseException as error:
            told = (type(error).__name__, str(error)[:2000])
        os.write(sink, json.dumps(told).encode())
        os._exit(0)
    os.close(sink)
    status = os.waitpid(pid, 0)[1]
    told = os.read(source, 1 << 16)
    os.close(source)
    assert not os.WIFSIGNALED(status), f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return tuple(json.loads(told))
