/** Few enough to meet each other often, many enough not to wait for each other's locks always. */
export const registerCount = 16;

/**
 * The registers, and a log of their writes that only grows: what a promotion keeps of it is what
 * survived. served_by() tells the port, negative on a replica: which function it is makes no
 * difference to a router that knows it as stable.
 */
export const schema = `
  create table registers (id int primary key, v int not null, w int not null)
    with (fillfactor = 25);
  insert into registers select id, 0, 0 from generate_series(0, ${registerCount - 1}) id;
  create table log (register int, version int, writer int, port int);
  create function log_write() returns trigger language plpgsql as $$
    begin
      insert into log values (new.id, new.v, new.w, inet_server_port());
      return null;
    end $$;
  create trigger log_write after update on registers for each row execute function log_write();
  create function served_by() returns int stable language plpgsql as $$
    begin
      return case when pg_is_in_recovery() then -inet_server_port() else inet_server_port() end;
    end $$;`;

const columns = 'id, v, w, served_by()';

export const readSql = (register: number | '$1') =>
  `select ${columns} from registers where id = ${register}`;
export const readAllSql = `select ${columns} from registers`;
export const readRangeSql = (from: number, to: number) =>
  `select ${columns} from registers where id >= ${from} and id < ${to}`;
export const writeSql = (register: number | '$1', writer: number | '$2') =>
  `update registers set v = v + 1, w = ${writer} where id = ${register} returning ${columns}`;

export const readLogSql = 'select register, version, writer, port from log';
