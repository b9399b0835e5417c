-- The role that owns reporting's SECURITY DEFINER functions, and nothing else. Runs after every migration.
--   danbao_reporting_access: sessions, keys, accounts and the trail for danbao_portal (docs/decisions/0021); of the
--   tables it has the columns that the functions touch, granted by the migrations
do $$
declare
    called text;
begin
    if not (select rolsuper from pg_roles where rolname = current_user) then
        grant danbao_reporting_access to current_user with inherit true, set true;
    end if;
    -- PostgreSQL wants a new owner to be able to create in the schema.
    grant create on schema reporting to danbao_reporting_access;
    for called in
        select p.oid::regprocedure from pg_proc p where p.pronamespace = 'reporting'::regnamespace and p.prosecdef
            and p.proowner <> 'danbao_reporting_access'::regrole
    loop
        execute format('alter function %s owner to danbao_reporting_access', called);
    end loop;
    revoke create on schema reporting from danbao_reporting_access;
end $$;
