import type { Knex } from 'knex';

/** Which verification has planted records in the stores of a migration. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('proofs', (t) => {
    t.bigIncrements('id');
    t.text('migration').notNullable();
    t.text('runner').notNullable();
    t.text('process').notNullable();
    t.text('actor').notNullable();
    t.double('since').notNullable();
    t.double('lease_until').notNullable();
    t.unique(['migration']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('proofs');
}
