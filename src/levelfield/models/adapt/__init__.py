"""Any timm model, at any image size."""

from levelfield.models.adapt.timm_models import create_timm, timm_accepts, timm_setting

__all__ = ["create_timm", "timm_accepts", "timm_setting"]
