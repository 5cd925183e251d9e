import type { Knex } from 'knex';

/** Replays that several processes share: a lease for each partition, and how fast the whole goes. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('replays', (t) => {
    t.boolean('shared').notNullable().defaultTo(false);
    t.boolean('paused').notNullable().defaultTo(false);
    t.bigInteger('cleared').notNullable().defaultTo(0);
    t.double('rate');
    t.double('rate_at').notNullable().defaultTo(0);
    t.bigInteger('rate_scanned').notNullable().defaultTo(0);
  });
  await knex.schema.alterTable('replay_partitions', (t) => {
    t.text('runner');
    t.text('process');
    t.double('lease_until').notNullable().defaultTo(0);
    t.bigInteger('fence').notNullable().defaultTo(0);
    t.bigInteger('failures').notNullable().defaultTo(0);
    t.text('failure');
    t.double('retry_at').notNullable().defaultTo(0);
    t.text('census');
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('replay_partitions', (t) => {
    t.dropColumns('runner', 'process', 'lease_until', 'fence', 'failures', 'failure', 'retry_at', 'census');
  });
  await knex.schema.alterTable('replays', (t) => {
    t.dropColumns('shared', 'paused', 'cleared', 'rate', 'rate_at', 'rate_scanned');
  });
}
