/** "chvs": the first half of the name of the lock under which the tables are made; the second is the schema's. */
export const TABLES_LOCK = 0x63687673;

/**
 * The tables of shared verifications. They hold nothing that outlives one, so they are not logged, in no other storage
 * than PostgreSQL, and no part of the control plane's schema: a server that crashes empties them, and the verification
 * that they were of says that it is gone.
 */
export const tablesIn = (schema: string): string => `
  create unlogged table if not exists ${schema}.scans (
    id bigserial primary key,
    migration text not null,
    mapping text not null,
    process text not null,
    scan_order text not null,
    alive_until timestamptz not null
  );
  create unlogged table if not exists ${schema}.scan_partitions (
    id bigserial primary key,
    scan bigint not null references ${schema}.scans on delete cascade,
    side text not null,
    partition text not null,
    cursor text,
    done boolean not null default false,
    failed boolean not null default false,
    runner text,
    process text,
    fence bigint not null default 0,
    lease_until timestamptz not null default '-infinity'
  );
  create index if not exists scan_partitions_of on ${schema}.scan_partitions (scan);
  create unlogged table if not exists ${schema}.scan_chunks (
    id bigserial primary key,
    scan bigint not null references ${schema}.scans on delete cascade,
    side text not null,
    records bigint not null,
    leftovers text not null,
    data bytea not null
  );
  alter table ${schema}.scan_chunks alter column data set storage external;
  create index if not exists scan_chunks_of on ${schema}.scan_chunks (scan);
`;
