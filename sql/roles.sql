-- Roles of the results database in PostgreSQL: a writer for the nights, an analyst for questions.
-- Run it once as the owner of the tables, after `routing init-db`:  psql DATABASE -f sql/roles.sql
-- and give a login one of them:  CREATE ROLE ann LOGIN PASSWORD '…' IN ROLE nightshift_analyst;
-- From then on `routing init-db` renews the rights together with the schema and the views.
DO $$
DECLARE
    one record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nightshift_writer') THEN
        CREATE ROLE nightshift_writer NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nightshift_analyst') THEN
        CREATE ROLE nightshift_analyst NOLOGIN;
    END IF;

    -- Nobody makes anything here but the owner, not even for a session.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO nightshift_writer, nightshift_analyst', current_schema());

    FOR one IN
        SELECT c.relname, c.relkind FROM pg_class AS c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v')
    LOOP
        -- The analyst reads views, which show current runs alone; tables are the writer's.
        EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, nightshift_writer, nightshift_analyst', one.relname);
        EXECUTE format('GRANT SELECT ON %I TO nightshift_writer', one.relname);
        IF one.relkind = 'v' THEN
            EXECUTE format('GRANT SELECT ON %I TO nightshift_analyst', one.relname);
        ELSIF one.relname <> 'alembic_version' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I TO nightshift_writer', one.relname);
        END IF;
    END LOOP;
END
$$;
