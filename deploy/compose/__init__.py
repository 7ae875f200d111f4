"""Prepares the volumes of docker-compose.yml."""
