"""The witness checks authors: since which entry they sign, and one more reason for an alarm."""

from shared.adapters.postgres.migrations import run_script

revision = "0003"
down_revision = "0002"

_SCRIPT = """
alter table national_platform.witness_alarm drop constraint witness_alarm_reason_check;
alter table national_platform.witness_alarm add constraint witness_alarm_reason_check
    check (reason in ('forked', 'smaller', 'not_consistent', 'author_not_proved'));
alter table national_platform.witnessed add column signed_from bigint check (signed_from >= 0);
comment on column national_platform.witnessed.signed_from is
    'Index of the first entry that its author signed; null while there is none. No unsigned entry may follow on it.';
"""


def upgrade() -> None:
    run_script(_SCRIPT)
