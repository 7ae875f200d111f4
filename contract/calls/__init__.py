"""schemathesis against the served API, as one role after the other: `make schemathesis`."""
