"""The composition of the service as a Django app: it has no models, only start-up."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
