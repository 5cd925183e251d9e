import type { Knex } from 'knex';

/** Which position a unit left and which it took, beside the whole rulesets: gates ask for all moves at once. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('history', (t) => {
    t.text('cohort_moves');
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('history', (t) => {
    t.dropColumns('cohort_moves');
  });
}
