"""Records as a pandas.DataFrame, where pandas is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from levelfield.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def data_frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One line a record, one column a key. Raises UserError where pandas is missing."""
    try:
        import pandas as pd
    except ImportError:
        raise UserError("to_pandas needs pandas, which is not installed\npip install pandas") from None
    return pd.DataFrame.from_records(list(records))
