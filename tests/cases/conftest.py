"""Fixtures of the services' tests, for cases that need one of their databases."""

from tests.integration.conftest import charging_database, charging_schema, house

__all__ = ["charging_database", "charging_schema", "house"]
