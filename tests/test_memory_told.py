"""How much memory a method takes: a number where it grew, and none where what the process had was enough."""

import numpy as np
import pytest

from pisolve.evaluate import memory


def test_growth_is_told_and_none_is_not_zero():
    with memory.peak_growth() as small:
        pass
    assert small.mb is None  # before, 0.0: as if it needed no memory
    with memory.peak_growth() as large:
        held = np.ones(8 << 20)  # 64 MiB
    if large.mb is None:
        pytest.skip("this system does not tell")
    assert large.mb == pytest.approx(held.nbytes / 2**20, rel=0.2)
