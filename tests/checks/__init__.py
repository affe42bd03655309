"""Checks of the source that no linter has; `make check` runs them."""
