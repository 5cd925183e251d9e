import type { Knex } from 'knex';

/** Each dirty position is one line, which is looked up whenever something of it is lost again. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('dirt', (t) => t.index(['migration', 'from_position']));
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('dirt', (t) => t.dropIndex(['migration', 'from_position']));
}
