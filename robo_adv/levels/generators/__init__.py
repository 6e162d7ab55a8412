"""Generators of levels, one file each."""
