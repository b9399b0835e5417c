"""Fixtures of the attacks: charging's database, as its own tests have it."""

from tests.integration.conftest import charging_database, charging_schema, house

__all__ = ["charging_database", "charging_schema", "house"]
