import type { Knex } from 'knex';

const LOWEST = '0'.repeat(24);

/** The greatest stamp that each process has issued, in a column of its own: it only rises, whichever report comes last. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('nodes', (t) => {
    t.text('high_water').notNullable().defaultTo(LOWEST);
  });
  const rows: readonly { id: number | string; health: string }[] = await knex('nodes')
    .whereNotNull('health')
    .select('id', 'health');
  for (const { id, health } of rows) {
    const { highWater } = JSON.parse(health) as { readonly highWater?: string };
    if (highWater !== undefined) await knex('nodes').where({ id }).update({ high_water: highWater });
  }
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('nodes', (t) => {
    t.dropColumns('high_water');
  });
}
