"""Any timm model, at any image size.

`rules.py` states the rules, `trace.py` finds where a network halves its map, `relax.py` takes reductions out of its
first layers, `timm_models.py` builds.
"""

from levelfield.models.adapt.relax import Change
from levelfield.models.adapt.timm_models import create_timm, fit_timm, timm_accepts, timm_file, timm_setting

__all__ = ["Change", "create_timm", "fit_timm", "timm_accepts", "timm_file", "timm_setting"]
