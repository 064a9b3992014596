"""Recipes as YAML files; `levelfield.spec.recipe_files` reads them."""
