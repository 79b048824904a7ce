"""Small comparisons for the tests of the report, and a strict reader of the page."""

from html.parser import HTMLParser

import numpy as np

from pisolve.evaluate.comparison import Comparison, Outcome, Setting

VOID = {"meta", "input", "img", "br", "link", "hr"}
ODD = """<b>"A" & 'B'</b></script><script>alert(1)</script>"""


def psnr(truth, image):
    return float(-10 * np.log10(np.mean((truth - abs(image)) ** 2)))


def made(methods=3, slices=2, size=(24, 20), settings=1, *, reference=True, names=None, noise=0.02, seed=0,
         pixel=(1.0, 1.0), **about):
    """A comparison of images with more and more noise; the first method is the best."""
    rng = np.random.default_rng(seed)
    names = names or [f"method {k}" for k in range(methods)]
    places, outcomes = [], {}
    for s in range(settings):
        truth = np.pad(rng.uniform(0.3, 1, (slices, size[0] - 8, size[1] - 8)), ((0, 0), (4, 4), (4, 4)))
        for k, name in enumerate(names):
            error = noise * (k + 1) * rng.standard_normal((slices, *size))
            image = ((truth + error) * np.exp(0.3j)).astype(np.complex64)
            own = {"psnr": [psnr(t, x) for t, x in zip(truth, image)]} if reference else {}
            tuning = {"method": "holdout", "kind": "lam", "label": "error of withheld samples", "strength": 0.01,
                      "curve": [[0.001, 2.0], [0.01, 1.0 + k], [0.1, None]], "warnings": [], "seconds": 1.0}
            history = [{"k": n, "residual": 0.5**n, "seconds": 0.1 * n, "value": 3.0 + 0.5**n} for n in range(1, 9)]
            outcomes[s, name] = Outcome(s, name, image, "converged", (8,) * slices, (0.5 + k,) * slices, 10.0 + k,
                                        {m: float(np.mean(v)) for m, v in own.items()}, own, "lam = 0.01",
                                        tuning if k else None, history, "FISTA()")
        places.append(Setting(f"scan {s}", 4.0, "random", 0, rng.random(size) < 0.3, truth if reference else None,
                              "simulated" if reference else "", (slices, 4, *size), 1.0, pixel=pixel))
    about = {"pisolve": "0.0", "tune": "holdout", "trials": 13, "plan": {"scans": ["a.h5"]},
             "definitions": {"psnr": "10 log10(range^2 / mse)"}, **about}
    return Comparison(tuple(places), {n: f"what {n} is" for n in names}, outcomes, about)


class Page(HTMLParser):
    """The elements of a page: every one is closed where it was opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append({"tag": tag, "attrs": dict(attrs), "text": ""})
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        if tag not in VOID:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "attrs": dict(attrs), "text": ""})

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.texts.append(data)
        for _, k in self.open:
            self.elements[k]["text"] += data

    def all(self, tag, **attrs):
        wanted = {k.rstrip("_").replace("_", "-"): v for k, v in attrs.items()}
        return [e for e in self.elements if e["tag"] == tag and all(e["attrs"].get(k) == v for k, v in wanted.items())]

    def has_class(self, name):
        return [e for e in self.elements if name in (e["attrs"].get("class") or "").split()]
