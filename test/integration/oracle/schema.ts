/** What the corpus is about; `port` is the primary's own, for a foreign server that leads back. */
export const schema = (port: number, user: string, password: string) => `
  CREATE EXTENSION dblink;
  CREATE EXTENSION tablefunc;
  CREATE EXTENSION postgres_fdw;
  CREATE EXTENSION file_fdw;
  CREATE EXTENSION pgcrypto;
  CREATE EXTENSION citext;
  CREATE EXTENSION pg_stat_statements;

  CREATE TABLE users (id int PRIMARY KEY, name text, age int);
  INSERT INTO users SELECT n, 'user ' || n, n % 70 FROM generate_series(1, 50) AS n;
  CREATE TABLE staged (id int PRIMARY KEY, name text);
  INSERT INTO staged VALUES (1, 'one'), (2, 'two');
  CREATE TABLE locks (key text);
  CREATE TABLE log (at timestamptz DEFAULT now(), what text);
  CREATE SEQUENCE users_id_seq;
  SELECT nextval('users_id_seq');
  CREATE TABLE serials (id serial PRIMARY KEY, made int GENERATED ALWAYS AS IDENTITY, v int);
  INSERT INTO serials (v) VALUES (1), (2);
  CREATE TABLE generated (a int, doubled int GENERATED ALWAYS AS (a * 2) STORED);
  INSERT INTO generated VALUES (1), (2);

  CREATE FUNCTION user_immutable(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
  CREATE FUNCTION user_stable(int) RETURNS bigint LANGUAGE sql STABLE
    AS 'SELECT count(*) FROM users WHERE id < $1';
  CREATE FUNCTION user_volatile(int) RETURNS int LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('volatile'); RETURN $1; END $$;
  CREATE FUNCTION user_checks(text) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ($1); RETURN true; END $$;
  CREATE FUNCTION user_logs(text) RETURNS text LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ($1); RETURN $1; END $$;
  CREATE FUNCTION row_function(users) RETURNS text LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('row'); RETURN $1.name; END $$;
  CREATE PROCEDURE refresh_totals() LANGUAGE sql AS $$ INSERT INTO public.log (what) VALUES ('call') $$;
  CREATE FUNCTION takes_lock() RETURNS boolean LANGUAGE sql
    AS 'SELECT pg_try_advisory_xact_lock(7)';

  CREATE VIEW plain_view AS SELECT id, upper(name) AS name FROM users WHERE age > 18;
  CREATE VIEW clock_view AS SELECT clock_timestamp() AS at, random() AS chance, gen_random_uuid() AS id;
  CREATE VIEW volatile_view AS SELECT user_volatile(id) AS id FROM users WHERE id < 3;
  CREATE VIEW volatile_where AS SELECT id FROM users WHERE user_volatile(id) > 0 AND id < 3;
  CREATE VIEW nested_view AS SELECT * FROM (SELECT id FROM volatile_view) AS inner_view;
  CREATE VIEW sublink_view AS SELECT (SELECT max(id) FROM nested_view) AS id;
  CREATE VIEW cte_view AS WITH a AS (SELECT * FROM volatile_view) SELECT count(*) AS n FROM a;
  CREATE VIEW sequence_view AS SELECT nextval('users_id_seq') AS id;
  CREATE VIEW last_value_view AS SELECT last_value FROM users_id_seq;
  CREATE VIEW locking_view AS SELECT * FROM users WHERE id = 1 FOR UPDATE;
  CREATE VIEW activity_view AS SELECT pid FROM pg_stat_activity;
  CREATE VIEW recovery_view AS SELECT pg_is_in_recovery() AS standby;
  CREATE VIEW advisory_view AS SELECT pg_try_advisory_xact_lock(9) AS taken;
  CREATE VIEW lock_function_view AS SELECT takes_lock() AS taken;
  CREATE VIEW lateral_view AS SELECT u.id, v.v FROM users u, LATERAL user_volatile(u.id) AS v(v) WHERE u.id < 3;
  CREATE VIEW union_view AS SELECT id FROM users UNION ALL SELECT user_volatile(1);
  CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n, max(user_volatile(1)) AS m FROM users;
  CREATE TABLE ruled (id int);
  CREATE RULE ruled_insert AS ON INSERT TO ruled DO ALSO INSERT INTO public.log (what) VALUES ('rule');
  CREATE TABLE triggered (id int);
  CREATE FUNCTION trigger_function() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('trigger'); RETURN NEW; END $$;
  CREATE TRIGGER triggered_insert BEFORE INSERT ON triggered
    FOR EACH ROW EXECUTE FUNCTION trigger_function();

  CREATE UNLOGGED TABLE unlogged_users (id int PRIMARY KEY, name text);
  INSERT INTO unlogged_users VALUES (1, 'gone after a crash');
  CREATE VIEW unlogged_view AS SELECT * FROM unlogged_users;
  CREATE TABLE parted (id int, region text) PARTITION BY LIST (region);
  CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
  CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
  INSERT INTO parted VALUES (1, 'a'), (2, 'b');
  CREATE TABLE mixed (id int, region text) PARTITION BY LIST (region);
  CREATE TABLE mixed_a PARTITION OF mixed FOR VALUES IN ('a');
  CREATE UNLOGGED TABLE mixed_b PARTITION OF mixed FOR VALUES IN ('b');
  CREATE TABLE parent (id int);
  CREATE TABLE child () INHERITS (parent);
  CREATE UNLOGGED TABLE unlogged_grandchild () INHERITS (child);

  CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host '127.0.0.1', port '${port}', dbname 'postgres');
  CREATE USER MAPPING FOR CURRENT_USER SERVER loopback
    OPTIONS (user '${user}', password '${password}');
  CREATE FOREIGN TABLE remote_users (id int, name text) SERVER loopback
    OPTIONS (schema_name 'public', table_name 'users');
  CREATE VIEW remote_view AS SELECT * FROM remote_users;
  CREATE TABLE sharded (id int, region text) PARTITION BY LIST (region);
  CREATE TABLE sharded_a PARTITION OF sharded FOR VALUES IN ('a');
  CREATE FOREIGN TABLE sharded_b PARTITION OF sharded FOR VALUES IN ('b') SERVER loopback
    OPTIONS (schema_name 'public', table_name 'parted_b');
  CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
  CREATE FOREIGN TABLE version_file (line text) SERVER files OPTIONS (filename 'PG_VERSION');

  CREATE DOMAIN age AS int CHECK (VALUE >= 0);
  CREATE DOMAIN volatile_type AS text CHECK (user_checks(VALUE));
  CREATE DOMAIN nested_domain AS volatile_type;
  CREATE TYPE pair AS (a int, b text);
  CREATE TYPE volatile_pair AS (a int, b volatile_type);
  CREATE TYPE mood AS ENUM ('sad', 'happy');
  CREATE TABLE domained (a age, v volatile_type, m mood);
  ALTER TABLE domained DISABLE TRIGGER ALL;
  INSERT INTO domained VALUES (1, NULL, 'sad');
  CREATE TABLE paired (p pair);
  INSERT INTO paired VALUES (ROW(1, 'b'));
  CREATE FUNCTION from_domain(volatile_type) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';

  CREATE FUNCTION equal_volatile(int, int) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('operator'); RETURN $1 = $2; END $$;
  CREATE OPERATOR <=> (LEFTARG = int, RIGHTARG = int, FUNCTION = equal_volatile);
  CREATE FUNCTION add_stable(int, text) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 + length($2)';
  CREATE OPERATOR |+| (LEFTARG = int, RIGHTARG = text, FUNCTION = add_stable);
  CREATE TYPE money_pair AS (amount numeric, currency text);
  CREATE FUNCTION add_pairs(money_pair, money_pair) RETURNS money_pair LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('add'); RETURN $1; END $$;
  CREATE OPERATOR + (LEFTARG = money_pair, RIGHTARG = money_pair, FUNCTION = add_pairs);
  CREATE TABLE prices (price money_pair);
  INSERT INTO prices VALUES (ROW(1, 'EUR'));
  CREATE VIEW operator_view AS SELECT id <=> 1 AS same FROM users WHERE id < 3;
  CREATE FUNCTION pair_to_text(pair) RETURNS text LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('cast'); RETURN $1.b; END $$;
  CREATE CAST (pair AS text) WITH FUNCTION pair_to_text(pair) AS ASSIGNMENT;
  CREATE VIEW cast_view AS SELECT p::text FROM paired;

  CREATE FUNCTION log_sum(int, int) RETURNS int LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('sum'); RETURN $1 + coalesce($2, 0); END $$;
  CREATE AGGREGATE logged_sum(int) (SFUNC = log_sum, STYPE = int, INITCOND = '0');
  CREATE AGGREGATE plain_sum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
  CREATE VIEW aggregate_view AS SELECT logged_sum(id) AS s FROM users WHERE id < 3;
  CREATE VIEW window_view AS SELECT logged_sum(id) OVER (ORDER BY id) AS s FROM users WHERE id < 3;

  CREATE TABLE guarded (id int, owner text);
  INSERT INTO guarded VALUES (1, 'a');
  ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
  ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
  CREATE POLICY guard ON guarded USING (user_checks(owner));
  CREATE TABLE stably_guarded (id int, owner text);
  ALTER TABLE stably_guarded ENABLE ROW LEVEL SECURITY;
  CREATE POLICY guard ON stably_guarded USING (owner = current_setting('app.tenant', true));
  CREATE TABLE insert_guarded (id int);
  ALTER TABLE insert_guarded ENABLE ROW LEVEL SECURITY;
  CREATE POLICY guard ON insert_guarded FOR INSERT WITH CHECK (user_checks('insert'));

  CREATE SCHEMA shadow;
  CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('shadow'); RETURN $1; END $$;
  CREATE FUNCTION shadow.random() RETURNS float8 LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO public.log (what) VALUES ('shadow'); RETURN 4; END $$;
  CREATE VIEW shadow.twin AS SELECT user_volatile(1) AS id;
  CREATE TABLE public.twin (id int);
  SELECT lo_from_bytea(4711, 'content');
`;
