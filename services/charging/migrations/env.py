"""Alembic's entry for the schema `charging`."""

from shared.adapters.postgres.migrations import run_env

run_env()
