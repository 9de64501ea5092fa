"""The built-in connectors, one package a store."""
