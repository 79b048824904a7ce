"""BLAS on one thread where ours are busy."""

from __future__ import annotations

import sys
from functools import lru_cache


def one_blas_thread():
    """A context in which BLAS runs on one thread: its own threads spin against ours and make small `eigh` calls slow.

    (121 x 121 on a busy two-core machine: 1.2 s with them, 6 ms without; faster on an idle one too.)
    """
    import scipy.linalg  # noqa: F401 - it brings a BLAS of its own, which must be there to be told

    return _blas(len(sys.modules)).limit(limits=1, user_api="blas")


@lru_cache(1)
def _blas(modules: int):
    """The BLAS libraries of the process, listed again (some ms) only when a module was imported since."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
