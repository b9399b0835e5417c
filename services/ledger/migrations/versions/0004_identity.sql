-- A remittance that is named by a citizen's number or a mobile number is refused for that reason.
alter table ledger.refused_message drop constraint refused_message_reason_check;
alter table ledger.refused_message add constraint refused_message_reason_check check (reason in (
    'undecodable', 'absurd', 'different_content', 'unexpected', 'foreign_enterprise', 'identity_in_clear'));
