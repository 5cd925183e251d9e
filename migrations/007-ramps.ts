import type { Knex } from 'knex';

/** Dials on their way up by themselves. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('ramps', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('state').notNullable();
    t.text('plan').notNullable();
    t.bigInteger('start').notNullable();
    t.bigInteger('step').notNullable();
    t.double('step_since');
    t.text('marks').notNullable();
    t.text('checks').notNullable();
    t.text('note');
    t.text('actor').notNullable();
    t.text('reason').notNullable();
    t.double('started_at').notNullable();
    t.double('finished_at');
    t.text('runner');
    t.double('lease_until').notNullable();
    t.index(['migration', 'id']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('ramps');
}
