import type { Knex } from 'knex';

/** What preflights found out about round trips, and what operators accepted by name. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('censuses', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('mapping').notNullable();
    t.bigInteger('sampled').notNullable();
    t.boolean('exhaustive').notNullable();
    t.text('losses').notNullable();
    t.text('report');
    t.double('started_at').notNullable();
    t.double('finished_at').notNullable();
    t.index(['migration', 'id']);
  });
  await knex.schema.createTable('acceptances', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('side').notNullable();
    t.text('name').notNullable();
    t.text('mapping');
    t.text('covers').notNullable();
    t.double('at').notNullable();
    t.text('actor').notNullable();
    t.text('reason').notNullable();
    t.unique(['migration', 'side', 'name']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('acceptances');
  await knex.schema.dropTable('censuses');
}
