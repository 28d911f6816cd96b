"""Where runs are executed. A launcher gets what is missing and yields records."""
