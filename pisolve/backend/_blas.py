"""BLAS on one thread where ours are busy."""

from __future__ import annotations

import sys
from functools import lru_cache


def one_blas_thread():
    """A context in which BLAS runs on one thread, where no other Python thread has set its threads.

    BLAS's own threads spin against ours for some 60 ms after each call, also after a dot product of 10,000 numbers,
    and make small `eigh` calls slow. On two cores, with and without them: `eigh` of 121 x 121 on a busy machine 1.2 s
    and 6 ms; wavelets with 12 coils of 320 x 320 0.21 s and 0.16 s.
    """
    import scipy.linalg  # noqa: F401 - it brings a BLAS of its own, which must be there to be told

    return _blas(len(sys.modules)).limit(limits=1, user_api="blas")


@lru_cache(1)
def _blas(modules: int):
    """The BLAS libraries of the process, listed again (some ms) only when a module was imported since."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
