"""The model card of a stored network, as Markdown."""

from __future__ import annotations

# what a card has to say
CARD = ("data", "licence", "noise_range", "intensity_range", "seed", "figures")


def markdown(name: str, about: dict, size: int) -> str:
    """The model card as Markdown."""
    config = ", ".join(f"{k}={v}" for k, v in about["config"].items())
    noise, intensity = about["noise_range"], about["intensity_range"]
    lines = [f"# {about.get('title', name)}", "", f"`pisolve.nets.load({name!r})`", "",
             f"* Network: {about['architecture']}({config}), {size:,} parameters",
             f"* Training data: {about['data']}", f"* Licence of the data: {about['licence']}",
             f"* Noise: sigma {noise[0]:g} to {noise[1]:g}, the standard deviation of the real and of the imaginary "
             "part each", f"* Intensity: {intensity}", f"* Seed: {about['seed']}"]
    lines += [f"* Training: {about['training']}"] if "training" in about else []
    lines += [f"* Limits: {about['limits']}"] if "limits" in about else []
    lines += [f"* Note: {about['note']}"] if about.get("note") else []
    rows = about["figures"]
    if rows:
        head = list(rows[0])
        lines += ["", about["caption"]] if about.get("caption") else []
        lines += ["", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(str(row.get(key, "")) for key in head) + " |" for row in rows]
    return "\n".join(lines) + "\n"
