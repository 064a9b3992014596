"""Recipes as YAML files; `levelfield.spec.library` reads them."""
