import type { Knex } from 'knex';

/** What lets people and services in at the server: hashes of secrets, never the secrets. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('tokens', (t) => {
    t.bigIncrements('id');
    t.text('name').notNullable();
    t.text('kind').notNullable();
    t.bigInteger('parent').index();
    t.text('hash').notNullable();
    t.text('role').notNullable();
    t.text('migrations');
    t.double('created_at').notNullable();
    t.text('created_by').notNullable();
    t.double('expires_at');
    t.double('revoked_at');
    t.double('used_at');
    t.text('used_from');
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('tokens');
}
