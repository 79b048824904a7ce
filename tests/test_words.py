"""One word, one meaning: what has another name now says so, and files that have the old names are read as before."""

from dataclasses import dataclass

import pytest

import pisolve as pi
from pisolve import _check


@_check.renamed(method="by")
@dataclass(frozen=True)
class Part:
    """Something with an argument that was called `method`."""

    by: str = "svd"


@_check.renamed(method="criterion")
def told(data, *, criterion="holdout"):
    return data, criterion


def test_old_words_say_the_new_ones():
    assert told(3) == (3, "holdout") and told(3, criterion="sure") == (3, "sure")
    assert (told.former, told.__name__) == ({"method": "criterion"}, "told")
    assert (Part("gcc"), Part.former) == (Part(by="gcc"), {"method": "by"})
    with pytest.raises(TypeError, match=r"^method is called criterion now: criterion='sure'$"):
        told(3, method="sure")
    with pytest.raises(TypeError, match=r"^method is called by now: by='gcc'$"):
        Part(method="gcc")
    with pytest.raises(AttributeError, match=r"^method is called by now$"):
        assert Part().method
    with pytest.raises(AttributeError, match="'Part' object has no attribute 'other'"):
        assert Part().other
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        told(3, other=1)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: pi.tune(None, pi.TV(), method="holdout"), "method is called criterion now: criterion='holdout'"),
    (lambda: pi.evaluate.uncertainty(None, None, method="sure"), "method is called by now: by='sure'"),
    (lambda: pi.evaluate.stability(None, None, method="search"), "method is called by now: by='search'"),
])
def test_public_arguments_of_old(call, message):
    with pytest.raises(TypeError, match=message):
        call()
