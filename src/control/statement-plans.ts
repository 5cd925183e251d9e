import type { Knex } from 'knex';

/** A statement as the driver takes it. */
export interface Statement {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** A statement's text, and the slot from which each of its values comes. */
interface Plan {
  readonly sql: string;
  readonly slots: readonly number[];
}

/** Inserts of many rows have a text for each number of them: what is not asked again and again is not kept. */
const MOST_PLANS = 500;

/** The values of a statement, each known by its number while the statement's text is built. */
export class Slots {
  readonly values: unknown[] = [];

  take(value: unknown): number {
    return this.values.push(value) - 1;
  }
}

/**
 * Statements of one connection. knex builds the text of each shape once, with the numbers of slots in the place of
 * values; from then on only the values are put in. Building it anew costs more than most statements take to run.
 */
export class StatementPlans {
  readonly #knex: Knex;
  readonly #plans = new Map<string, Plan>();

  constructor(knex: Knex) {
    this.#knex = knex;
  }

  /** The statement of a shape. Equal shapes must be built alike, and from as many slots. */
  statement(shape: string, slots: Slots, build: (knex: Knex) => Knex.QueryBuilder): Statement {
    let plan = this.#plans.get(shape);
    if (plan === undefined) {
      const { sql, bindings } = build(this.#knex).toSQL().toNative();
      plan = { sql, slots: bindings as Plan['slots'] };
      if (this.#plans.size >= MOST_PLANS) this.#plans.clear();
      this.#plans.set(shape, plan);
    }
    const { values } = slots;
    return { sql: plan.sql, values: plan.slots.map((slot) => values[slot]) };
  }
}
