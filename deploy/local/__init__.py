"""Runs the service on a developer's machine: its own PostgreSQL, Valkey and certificate authority."""
