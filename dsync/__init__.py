"""Migrates data between stores and keeps it in sync."""
