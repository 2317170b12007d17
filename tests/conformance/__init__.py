"""Other people's test suites, against the whole application."""
