"""Any timm model, at any image size: `size_rules.py` states the rules, `timm_models.py` builds by them."""

from levelfield.models.adapt_timm.remove_downsampling import Change
from levelfield.models.adapt_timm.timm_models import fit_timm, timm_accepts, timm_file, timm_setting

__all__ = ["Change", "fit_timm", "timm_accepts", "timm_file", "timm_setting"]
