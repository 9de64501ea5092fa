"""For authors of connectors: the conformance suite (it needs pytest), a store in memory, and faults."""
