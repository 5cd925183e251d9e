import type { Knex } from 'knex';

/** What is dirty is asked for by position, and may be a line for each of them. */
const COLUMNS = ['migration', 'kind', 'target', 'from_position', 'to_position'];

export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('dirt', (t) => t.index(COLUMNS));
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('dirt', (t) => t.dropIndex(COLUMNS));
}
