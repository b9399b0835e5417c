"""Run by alembic; everything is in the adapter."""

from shared.adapters.postgres.migrations import run_env

run_env()
