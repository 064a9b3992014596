"""What is said of a row's images under corruption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NOT_COMPARED: Final = "not compared with"
"""How the reason begins for which a row that sees other images than its baseline has no verdict."""


def corrupted_images(answer: Mapping[str, Any]) -> str:
    """How many images were corrupted: "all", or where a test set had fewer than were asked for, those."""
    if answer["images"] is None:
        return "all"
    drawn = {run["images"] for row in answer["rows"] for run in row["runs"] if "images" in run} or {answer["images"]}
    return " or ".join(f"{count:,}" for count in sorted(drawn))


def titles_with_size(answer: Mapping[str, Any]) -> dict[str, str]:
    """The title of each row by its name, and with it how it sees its images, where it is not compared for that."""
    sides = {row["row"]: {run["side_px"] for run in row["runs"] if "side_px" in run} for row in answer["rows"]}
    found = {}
    for row in answer["rows"]:
        name, title = row["row"], row["title"]
        if NOT_COMPARED in answer["left_out"].get(name, ""):
            other = sides[name] != sides.get(answer["baselines"].get(row["panel"]))
            title += f" ({', '.join(map(str, sorted(sides[name])))} px)" if other else " (other images)"
        found[name] = title
    return found


def sizes_without_parameters(answer: Mapping[str, Any]) -> str:
    """What is said of images that are neither of 32 nor of 64 px; "" where there are none."""
    odd = [f"{side} px" for side in answer["side_px"] if side not in (32, 64)]
    return f"Images of {', '.join(odd)}: the parameters are those for 32 or 64 px." if odd else ""
