"""The MongoDB connector, mostly against a real server."""
