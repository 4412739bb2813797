"""A load test that is a client and nothing else: it knows the wire protocol only."""
