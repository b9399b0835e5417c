"""Run by alembic; everything is in the adapter."""

from shared.adapters.migrations import run_env

run_env()
