import type { Knex } from 'knex';

/** What processes count of their stores' calls, the samples that are taken of the fleet, and the servers' jobs. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('traffic', (t) => {
    t.bigIncrements('id');
    t.bigInteger('node').notNullable().unique();
    t.bigInteger('calls').notNullable();
    t.text('migrations').notNullable();
  });
  await knex.schema.createTable('samples', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.bigInteger('step').notNullable();
    t.double('slot').notNullable();
    t.text('reading').notNullable();
    t.unique(['migration', 'step', 'slot']);
    t.index(['step', 'slot']);
  });
  await knex.schema.createTable('sampler', (t) => {
    t.bigIncrements('id');
    t.bigInteger('step').notNullable().unique();
    t.double('slot').notNullable();
    t.double('at').notNullable();
    t.text('totals').notNullable();
  });
  await knex.schema.createTable('jobs', (t) => {
    t.text('id').notNullable().primary();
    t.text('kind').notNullable();
    t.text('migration').notNullable();
    t.text('actor').notNullable();
    t.text('reason').notNullable();
    t.text('state').notNullable();
    t.double('started_at').notNullable().index();
    t.double('finished_at');
    t.text('progress');
    t.text('result');
    t.text('error');
    t.text('again');
    t.text('resumes');
    t.text('server').notNullable();
    t.double('alive_until').notNullable();
    t.boolean('cancel_requested').notNullable();
    t.index(['migration', 'started_at']);
    t.index(['server', 'state']);
  });
  await knex.schema.alterTable('divergences', (t) => {
    t.index(['migration', 'id'], 'divergences_in_order');
    t.index(['migration', 'kind', 'id'], 'divergences_by_kind');
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('divergences', (t) => {
    t.dropIndex(['migration', 'kind', 'id'], 'divergences_by_kind');
    t.dropIndex(['migration', 'id'], 'divergences_in_order');
  });
  await knex.schema.dropTable('jobs');
  await knex.schema.dropTable('sampler');
  await knex.schema.dropTable('samples');
  await knex.schema.dropTable('traffic');
}
