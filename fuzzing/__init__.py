"""Requests that nobody meant to send, at the service as it is served."""
