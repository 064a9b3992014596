"""The script that draws the charts of a page: Vega, Vega-Lite and Vega-Embed, bundled once and kept in the cache."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from levelfield.data.cache_folder import cache_dir, replacing
from levelfield.errors import UserError

SNIPPET: Final = "window.vegaEmbed = vegaEmbed;"


@cache
def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that sets `vegaEmbed`, fit to stand in a page."""
    kept = cache_dir() / f"vega-{version('vl-convert-python')}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except OSError:
        return _bundled_into(kept)


def _bundled_into(kept: Path) -> str:
    """Bundling takes a second; where the cache folder cannot be written, it is done again next time."""
    import vl_convert

    script: str = vl_convert.javascript_bundle(SNIPPET).replace("</script", "<\\/script")
    with suppress(OSError, UserError), replacing(kept) as path:
        path.write_text(script, encoding="utf-8")
    return script
