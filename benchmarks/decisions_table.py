"""Write the rates that benchmarks/decisions.py measured into docs/explanation/statistics.md, between its two marks.

python benchmarks/decisions_table.py benchmarks/decisions.json docs/explanation/statistics.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

BEGIN: Final = "<!-- rates: written by benchmarks/decisions_table.py -->"
END: Final = "<!-- end of rates -->"
RULES: Final = {"model-assisted": "model-assisted", "welch": "Welch", "paired": "paired t"}


def tables(content: dict[str, Any]) -> str:
    """All rates, as Markdown."""
    rates = content["rates"]
    studies = max(rate["studies"] for rate in rates)
    false = [rate for rate in rates if not rate["world"]["gap"]]
    true = [rate for rate in rates if rate["world"]["gap"]]
    columns = sorted({(rate["world"]["rows"], rate["world"]["seeds"]) for rate in false})
    lines = [
        f"Tables with any false claim, in percent of {studies:,} simulated studies a cell (more than 5 in bold; one "
        "standard error is 0.5 at 5). By number of rows, then of seeds:",
        "",
        *_grid(false, "model-assisted", columns),
        "",
        "The same studies, decided by Welch's test with each row's own variance, and by the paired t of levelfield's "
        "first tables: the highest rate over all numbers of rows and seeds.",
        "",
        *_worst(false),
        "",
        "Rows of unequal numbers of seeds, of which the baseline, the first, varies five times as much as the others:",
        "",
        "| seeds of the rows | |",
        "|---|---|",
        *(f"| {name} | {_cell(rate)} |" for name, rate in content["unequal seeds"].items()),
        "",
        "Found: a row of ten that is one point better.",
        "",
        *_power(true),
        "",
        "A row called equivalent to the baseline within 0.5 points, ten seeds, standard deviation 0.3:",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {one['last row']:.1f} |" for name, one in content["equivalence"].items()),
        "",
        "Rows that are equally good on all images of a kind, but not on the 10,000 at hand; tables that claim a "
        "difference:",
        "",
        "| | on these images | on other images |",
        "|---|---|---|",
        *(
            f"| {name} | {one['on these images']:.1f} | {one['on other images']:.1f} |"
            for name, one in content["other images"].items()
        ),
    ]
    return "\n".join(lines)


def _name(world: dict[str, Any]) -> str:
    few = world["images"] not in (0, 10_000)
    return f"{world['kind']}, {world['images']} images" if few else str(world["kind"])


def _cell(rate: float) -> str:
    return f"**{rate:.1f}**" if rate > 5 else f"{rate:.1f}"


def _grid(rates: list[dict[str, Any]], rule: str, columns: list[tuple[int, int]]) -> list[str]:
    found: dict[str, dict[tuple[int, int], float]] = {}
    for rate in rates:
        if rate["rule"] == rule:
            world = rate["world"]
            found.setdefault(_name(world), {})[world["rows"], world["seeds"]] = rate["rate"]
    return [
        "| | " + " | ".join(f"{rows}×{seeds}" for rows, seeds in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(_cell(cells[c]) if c in cells else "" for c in columns) + " |"
            for name, cells in found.items()
        ),
    ]


def _worst(rates: list[dict[str, Any]]) -> list[str]:
    worst: dict[str, dict[str, float]] = {}
    for rate in rates:
        cells = worst.setdefault(_name(rate["world"]), {})
        cells[rate["rule"]] = max(cells.get(rate["rule"], 0.0), rate["rate"])
    return [
        "| | " + " | ".join(RULES.values()) + " |",
        "|---" * (len(RULES) + 1) + "|",
        *(f"| {name} | " + " | ".join(_cell(cells[rule]) for rule in RULES) + " |" for name, cells in worst.items()),
    ]


def _power(rates: list[dict[str, Any]]) -> list[str]:
    found: dict[str, dict[str, float]] = {}
    for rate in rates:
        world = rate["world"]
        name = f"{world['seeds']} seeds, sd {world['sd']:g}, overdispersion {world['overdispersion']:g}"
        found.setdefault(name, {})[rate["rule"]] = rate["rate"]
    return [
        "| | " + " | ".join(RULES.values()) + " |",
        "|---" * (len(RULES) + 1) + "|",
        *(f"| {name} | " + " | ".join(f"{cells[rule]:.0f}" for rule in RULES) + " |" for name, cells in found.items()),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rates", type=Path, help="as benchmarks/decisions.py --json writes them")
    parser.add_argument("page", type=Path, help="the page with the two marks")
    options = parser.parse_args()
    before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{options.page} lacks the marks {BEGIN} and {END}")
    content = tables(json.loads(options.rates.read_text(encoding="utf-8")))
    options.page.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
