"""Times dsync beside the loops that one would write by hand, on generated data and real servers."""
