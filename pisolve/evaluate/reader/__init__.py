"""Blinded reader studies."""
