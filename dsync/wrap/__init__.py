"""Connectors around connectors: the same interface, one thing changed."""
