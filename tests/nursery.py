"""Processes to be killed: forked by one that has loaded what they need, so that each begins at once."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pisolve as pi

PROGRAM = """
import os, sys
exec(sys.argv.pop(1))
for _ in sys.stdin:
    child = os.fork()
    if not child:
        code = 1
        try:
            main(*sys.argv[1:])
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """A process that loads `code` once; each child calls the `main` of it with `words`, one child at a time."""

    def __init__(self, code, *words):
        path = os.pathsep.join([str(Path(pi.__file__).parents[1]), str(Path(__file__).parent)])
        self.parent = subprocess.Popen([sys.executable, "-c", PROGRAM, code, *map(str, words)], bufsize=0,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env={**os.environ, "PYTHONPATH": path})
        self.pid = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.pid is not None and self.runs():
            self.kill()
        self.parent.stdin.close()
        self.parent.wait()
        self.parent.stdout.close()

    def begin(self) -> None:
        """A new child."""
        self.parent.stdin.write(b"\n")
        self.pid = int(self.parent.stdout.readline())

    def runs(self) -> bool:
        """Whether the child has not ended yet."""
        return not select.select([self.parent.stdout], [], [], 0)[0]

    def wait(self) -> int:
        """The exit code of the child, as `subprocess` has it."""
        self.pid = None
        return int(self.parent.stdout.readline())

    def kill(self) -> int:
        """Kill the child as nothing can be prepared for."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()
