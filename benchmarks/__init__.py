"""Measurements: not part of the package, run by hand."""
