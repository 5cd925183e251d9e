import type { Knex } from 'knex';

/** Incarnations begin here or above: 1 … 2^31. Stamps give them 32 bits, so as many again are left. */
const LOWEST_BASE = 1;
const BASES = 2 ** 31;

/**
 * The control plane's tables. JSON is kept as text, times and deadlines as double (ms, perhaps with a fraction); ids
 * are counted up and never given twice.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('migrations', (t) => {
    t.text('name').notNullable().primary();
    t.bigInteger('revision').notNullable();
    t.text('document').notNullable();
    t.text('coverage_old').notNullable();
    t.text('coverage_new').notNullable();
    t.bigInteger('mirror_on_revision').notNullable();
    t.bigInteger('shadow_compared').notNullable();
    t.bigInteger('shadow_divergent').notNullable();
    t.double('shadow_since').notNullable();
    t.double('created_at').notNullable();
  });
  await knex.schema.createTable('history', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.bigInteger('revision');
    t.double('at').notNullable();
    t.text('actor').notNullable();
    t.text('reason').notNullable();
    t.text('kind').notNullable();
    t.text('summary').notNullable();
    t.text('before');
    t.text('after');
    t.text('gates').notNullable();
    t.index(['migration', 'id']);
  });
  await knex.schema.createTable('nodes', (t) => {
    t.bigIncrements('id');
    t.text('state').notNullable().index();
    t.text('info').notNullable();
    t.text('session').notNullable().index();
    t.bigInteger('attempt').notNullable();
    t.double('joined_at').notNullable();
    t.double('seen_at').notNullable();
    t.double('deadline_limit').notNullable();
    t.text('stamp_limit').notNullable();
    t.text('health');
  });
  await knex.schema.createTable('acknowledgements', (t) => {
    t.bigIncrements('id');
    t.bigInteger('node').notNullable();
    t.text('migration').notNullable();
    t.bigInteger('joined_revision').notNullable();
    t.bigInteger('revision').notNullable();
    t.unique(['node', 'migration']);
    t.index(['migration']);
  });
  await knex.schema.createTable('dirt', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('target').notNullable();
    t.text('kind').notNullable();
    t.bigInteger('from_position').notNullable();
    t.bigInteger('to_position').notNullable();
    t.text('key_id');
    t.text('key');
    t.text('cause').notNullable();
    t.double('at').notNullable();
    t.bigInteger('revision').notNullable();
    t.double('not_before');
    t.index(['migration', 'target', 'id']);
    t.index(['migration', 'key_id']);
  });
  await knex.schema.createTable('divergences', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('key_id').notNullable();
    t.text('key').notNullable();
    t.bigInteger('position').notNullable();
    t.text('kind').notNullable();
    t.text('cause');
    t.text('fields').notNullable();
    t.double('first_seen').notNullable();
    t.double('last_seen').notNullable();
    t.bigInteger('seen').notNullable();
    t.unique(['migration', 'key_id']);
  });
  await knex.schema.createTable('replays', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('kind').notNullable();
    t.text('target').notNullable();
    t.text('state').notNullable();
    t.text('positions').notNullable();
    t.text('coverable').notNullable();
    t.bigInteger('dirt_up_to').notNullable();
    t.text('mapping').notNullable();
    t.bigInteger('revision').notNullable();
    t.text('actor').notNullable();
    t.text('reason').notNullable();
    t.double('started_at').notNullable();
    t.double('finished_at');
    t.text('runner');
    t.double('lease_until').notNullable();
    t.double('estimate');
    t.double('source_time').notNullable();
    t.double('deadline_limit').notNullable();
    t.index(['migration', 'state', 'id']);
  });
  await knex.schema.createTable('replay_partitions', (t) => {
    t.bigIncrements('id');
    t.bigInteger('replay').notNullable().index();
    t.text('partition').notNullable();
    t.text('cursor');
    t.boolean('done').notNullable();
    t.bigInteger('scanned').notNullable();
    t.bigInteger('applied').notNullable();
    t.bigInteger('skipped').notNullable();
    t.bigInteger('rejected').notNullable();
  });
  await knex.schema.createTable('verifications', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('verdict').notNullable();
    t.text('positions').notNullable();
    t.bigInteger('revision').notNullable();
    t.text('mapping').notNullable();
    t.double('started_at').notNullable();
    t.double('finished_at').notNullable();
    t.double('expires_at').notNullable();
    t.text('report');
    t.index(['migration', 'id']);
  });
  await beginIncarnations(knex);
}

/**
 * A control database that is lost and made anew must not give the old one's incarnations again (R1): it begins
 * somewhere else. SQLite keeps the highest id ever given in a table of its own, PostgreSQL in a sequence.
 */
async function beginIncarnations(knex: Knex): Promise<void> {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  const base = LOWEST_BASE + (random % BASES);
  if (await knex.schema.hasTable('sqlite_sequence')) {
    await knex('sqlite_sequence').insert({ name: 'nodes', seq: base - 1 });
  } else {
    await knex.raw(`select setval(pg_get_serial_sequence('nodes', 'id'), ?, false)`, [base]);
  }
}

export async function down(knex: Knex): Promise<void> {
  for (const table of [
    'verifications',
    'replay_partitions',
    'replays',
    'divergences',
    'dirt',
    'acknowledgements',
    'nodes',
    'history',
    'migrations',
  ]) {
    await knex.schema.dropTable(table);
  }
}
