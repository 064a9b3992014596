"""Any timm model, at any image size: `size_rules.py` states the rules, `timm_models.py` builds by them.

timm takes longer to import than torch: `timm_models.py` alone imports it, and is itself imported where timm is needed.
"""
