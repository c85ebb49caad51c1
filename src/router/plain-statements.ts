import type { WriteReason } from './statement.ts';

/** A statement whose class is its node type. */
export interface PlainStatement {
  readonly tag: string;
  readonly reason: WriteReason;
  /**
   * A READ ONLY transaction refuses it with 25006 on any server. ClassifyUtilityCommandAsReadOnly
   * (tcop/utility.c) says so of all DDL, temporary objects included.
   */
  readonly refusedReadOnly?: boolean;
  /** DDL that cannot change what the router knows of the catalog: functions and what calls them. */
  readonly changesCatalog?: boolean;
}

const ddl = (tag: string): PlainStatement => ({ tag, reason: 'ddl' });
const quietDdl = (tag: string): PlainStatement => ({ tag, reason: 'ddl', changesCatalog: false });

export const plainStatements: ReadonlyMap<string, PlainStatement> = new Map([
  // Statements that may do anything.
  ['CallStmt', { tag: 'CALL', reason: 'call-or-do' }],
  ['DoStmt', { tag: 'DO', reason: 'call-or-do' }],
  ['LockStmt', { tag: 'LOCK TABLE', reason: 'lock-table' }],
  // Allowed in a READ ONLY transaction of the primary, refused or node-local on a standby.
  ['VacuumStmt', { tag: 'VACUUM', reason: 'maintenance' }],
  ['ClusterStmt', { tag: 'CLUSTER', reason: 'maintenance' }],
  ['ReindexStmt', { tag: 'REINDEX', reason: 'maintenance' }],
  ['CheckPointStmt', { tag: 'CHECKPOINT', reason: 'maintenance' }],
  ['AlterSystemStmt', { tag: 'ALTER SYSTEM', reason: 'administration' }],
  ['TruncateStmt', { tag: 'TRUNCATE TABLE', reason: 'write', refusedReadOnly: true }],
  [
    'RefreshMatViewStmt',
    { tag: 'REFRESH MATERIALIZED VIEW', reason: 'write', refusedReadOnly: true },
  ],
  // Tables, and what hangs on them.
  ['CreateStmt', ddl('CREATE TABLE')],
  ['CreateTableAsStmt', ddl('CREATE TABLE AS')],
  ['CreateForeignTableStmt', ddl('CREATE FOREIGN TABLE')],
  ['AlterTableStmt', ddl('ALTER TABLE')],
  ['AlterTableMoveAllStmt', quietDdl('ALTER TABLE')],
  ['AlterTableSpaceOptionsStmt', quietDdl('ALTER TABLESPACE')],
  ['CreateTableSpaceStmt', quietDdl('CREATE TABLESPACE')],
  ['DropTableSpaceStmt', quietDdl('DROP TABLESPACE')],
  ['CreateSeqStmt', quietDdl('CREATE SEQUENCE')],
  ['AlterSeqStmt', quietDdl('ALTER SEQUENCE')],
  ['IndexStmt', quietDdl('CREATE INDEX')],
  ['CreateStatsStmt', quietDdl('CREATE STATISTICS')],
  ['AlterStatsStmt', quietDdl('ALTER STATISTICS')],
  ['CreateTrigStmt', quietDdl('CREATE TRIGGER')],
  ['CreatePolicyStmt', ddl('CREATE POLICY')],
  ['AlterPolicyStmt', ddl('ALTER POLICY')],
  ['RuleStmt', ddl('CREATE RULE')],
  ['ViewStmt', ddl('CREATE VIEW')],
  // Functions and types.
  ['CreateFunctionStmt', ddl('CREATE FUNCTION')],
  ['AlterFunctionStmt', ddl('ALTER FUNCTION')],
  ['CreatePLangStmt', ddl('CREATE LANGUAGE')],
  ['CreateCastStmt', ddl('CREATE CAST')],
  ['CreateTransformStmt', ddl('CREATE TRANSFORM')],
  ['CreateConversionStmt', ddl('CREATE CONVERSION')],
  ['CreateAmStmt', ddl('CREATE ACCESS METHOD')],
  ['CreateOpClassStmt', ddl('CREATE OPERATOR CLASS')],
  ['CreateOpFamilyStmt', ddl('CREATE OPERATOR FAMILY')],
  ['AlterOpFamilyStmt', ddl('ALTER OPERATOR FAMILY')],
  ['AlterOperatorStmt', ddl('ALTER OPERATOR')],
  ['DefineStmt', ddl('CREATE')],
  ['CompositeTypeStmt', ddl('CREATE TYPE')],
  ['CreateEnumStmt', ddl('CREATE TYPE')],
  ['CreateRangeStmt', ddl('CREATE TYPE')],
  ['CreateDomainStmt', ddl('CREATE DOMAIN')],
  ['AlterDomainStmt', ddl('ALTER DOMAIN')],
  ['AlterEnumStmt', ddl('ALTER TYPE')],
  ['AlterTypeStmt', ddl('ALTER TYPE')],
  ['AlterCollationStmt', ddl('ALTER COLLATION')],
  ['AlterTSConfigurationStmt', ddl('ALTER TEXT SEARCH CONFIGURATION')],
  ['AlterTSDictionaryStmt', ddl('ALTER TEXT SEARCH DICTIONARY')],
  // Whole sets of objects.
  ['CreateSchemaStmt', ddl('CREATE SCHEMA')],
  ['CreateExtensionStmt', ddl('CREATE EXTENSION')],
  ['AlterExtensionStmt', ddl('ALTER EXTENSION')],
  ['AlterExtensionContentsStmt', ddl('ALTER EXTENSION')],
  ['ImportForeignSchemaStmt', ddl('IMPORT FOREIGN SCHEMA')],
  ['DropStmt', ddl('DROP')],
  ['DropOwnedStmt', ddl('DROP OWNED')],
  ['ReassignOwnedStmt', ddl('REASSIGN OWNED')],
  ['RenameStmt', ddl('ALTER')],
  ['AlterObjectSchemaStmt', ddl('ALTER')],
  ['AlterObjectDependsStmt', ddl('ALTER')],
  ['AlterOwnerStmt', ddl('ALTER')],
  ['CommentStmt', quietDdl('COMMENT')],
  ['SecLabelStmt', quietDdl('SECURITY LABEL')],
  // Foreign data, replication, events.
  ['CreateFdwStmt', ddl('CREATE FOREIGN DATA WRAPPER')],
  ['AlterFdwStmt', ddl('ALTER FOREIGN DATA WRAPPER')],
  ['CreateForeignServerStmt', quietDdl('CREATE SERVER')],
  ['AlterForeignServerStmt', quietDdl('ALTER SERVER')],
  ['CreateUserMappingStmt', quietDdl('CREATE USER MAPPING')],
  ['AlterUserMappingStmt', quietDdl('ALTER USER MAPPING')],
  ['DropUserMappingStmt', quietDdl('DROP USER MAPPING')],
  ['CreatePublicationStmt', quietDdl('CREATE PUBLICATION')],
  ['AlterPublicationStmt', quietDdl('ALTER PUBLICATION')],
  ['CreateSubscriptionStmt', quietDdl('CREATE SUBSCRIPTION')],
  ['AlterSubscriptionStmt', quietDdl('ALTER SUBSCRIPTION')],
  ['DropSubscriptionStmt', quietDdl('DROP SUBSCRIPTION')],
  ['CreateEventTrigStmt', quietDdl('CREATE EVENT TRIGGER')],
  ['AlterEventTrigStmt', quietDdl('ALTER EVENT TRIGGER')],
  // Roles, rights, databases.
  ['CreateRoleStmt', quietDdl('CREATE ROLE')],
  ['AlterRoleStmt', quietDdl('ALTER ROLE')],
  ['AlterRoleSetStmt', quietDdl('ALTER ROLE')],
  ['DropRoleStmt', quietDdl('DROP ROLE')],
  ['GrantStmt', quietDdl('GRANT')],
  ['GrantRoleStmt', quietDdl('GRANT ROLE')],
  ['AlterDefaultPrivilegesStmt', quietDdl('ALTER DEFAULT PRIVILEGES')],
  ['CreatedbStmt', quietDdl('CREATE DATABASE')],
  ['AlterDatabaseStmt', quietDdl('ALTER DATABASE')],
  ['AlterDatabaseSetStmt', quietDdl('ALTER DATABASE')],
  ['AlterDatabaseRefreshCollStmt', quietDdl('ALTER DATABASE')],
  ['DropdbStmt', quietDdl('DROP DATABASE')],
] as const);
