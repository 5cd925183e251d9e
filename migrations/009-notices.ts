import type { Knex } from 'knex';

/** How far each webhook has been told what happens to each migration. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('notices', (t) => {
    t.bigIncrements('id');
    t.text('hook').notNullable();
    t.text('migration').notNullable();
    t.bigInteger('up_to').notNullable();
    t.bigInteger('divergences').notNullable();
    t.text('stuck').notNullable();
    t.text('runner');
    t.double('lease_until').notNullable();
    t.unique(['hook', 'migration']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('notices');
}
