-- Roles that own what charging's SECURITY DEFINER functions touch, and nothing else. Runs after every migration.
--   danbao_charging_partitions: charging.entry with its partitions, and the functions that make, seal and drop them
--   danbao_charging_positions:  positions, and the one function that moves them on over lost events
--   danbao_archivist:           the login of `danbao archive`; it reads everything and moves whole partitions
do $$
declare
    role text;
    object text;
begin
    foreach role in array array['danbao_charging_partitions', 'danbao_charging_positions'] loop
        begin
            execute format('create role %I nologin', role);
        exception when duplicate_object or unique_violation then null;
        end;
        if not (select rolsuper from pg_roles where rolname = current_user) then
            execute format('grant %I to current_user with inherit true, set true', role);
        end if;
        execute format('grant usage on schema charging to %I', role);
    end loop;

    grant create on schema charging to danbao_charging_partitions;
    grant select on charging.archive, charging.archived_day to danbao_charging_partitions;
    grant execute on function charging.refuse_change() to danbao_charging_partitions;
    for object in
        select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'charging' and c.relkind in ('r', 'p') and c.relname ~ '^(entry|entry_\d{8})$'
            and c.relowner <> 'danbao_charging_partitions'::regrole
    loop
        execute format('alter table %s owner to danbao_charging_partitions', object);
    end loop;
    for object in
        select p.oid::regprocedure from pg_proc p where p.pronamespace = 'charging'::regnamespace
            and p.proname in ('make_partition', 'attach_partition', 'ensure_partitions', 'seal_partition', 'summarize_partition', 'restore_autovacuum')
    loop
        execute format('alter function %s owner to danbao_charging_partitions', object);
    end loop;

    alter table charging.position owner to danbao_charging_positions;
    alter table charging.moved_on owner to danbao_charging_positions;
    alter function charging.move_on owner to danbao_charging_positions;

    if exists (select from pg_roles where rolname = 'danbao_archivist') then
        grant usage on schema charging to danbao_archivist;
        grant danbao_charging_owner, danbao_charging_partitions to danbao_archivist with inherit true, set true;
        grant danbao_auditor to danbao_archivist with inherit true, set false;
        alter role danbao_archivist set default_transaction_read_only = off;
    end if;
end $$;
