"""For authors of connectors: the conformance suite (it needs pytest), a store in memory, faults, and a bench."""

import sys

if (
    "pytest" in sys.modules
):  # the suite's assertions say as much as those of a test file; it has to be told before the import
    import pytest

    SUITES = ("subject", "suite_info", "suite_source", "suite_sink", "suite_staging", "suite_updates")
    pytest.register_assert_rewrite(*(f"dsync.testing.{module}" for module in SUITES))
