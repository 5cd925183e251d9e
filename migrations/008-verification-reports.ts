import type { Knex } from 'knex';

/** What the last verifications found, masked, so that their reports can be looked at later. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('verification_reports', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.bigInteger('verification').notNullable();
    t.text('document');
    t.index(['migration', 'verification']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('verification_reports');
}
