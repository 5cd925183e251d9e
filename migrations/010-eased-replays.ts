import type { Knex } from 'knex';

/** Why the holder of a partition goes slower than it may. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('replay_partitions', (t) => {
    t.text('eased');
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('replay_partitions', (t) => {
    t.dropColumns('eased');
  });
}
