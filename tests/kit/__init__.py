"""Servers, fakes and oracles that tests, benches and the demo share; nothing here imports dsync."""
