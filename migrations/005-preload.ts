import type { Knex } from 'knex';

/** Until when puts of a replay that look at nothing may still arrive. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('replays', (t) => {
    t.double('loose_until').notNullable().defaultTo(0);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('replays', (t) => {
    t.dropColumns('loose_until');
  });
}
