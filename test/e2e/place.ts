import type { WebhookEvent } from '../../src/cli/demo/events.ts';
import { COLUMNS, type PlaceSpec } from './place-spec.ts';

/**
 * A store as an application without changeover has it, reached by its driver alone: the audit must not believe the
 * adapters that it audits.
 */
export interface Place {
  readonly spec: PlaceSpec;
  /** Writes events plainly. */
  seed(events: readonly WebhookEvent[]): Promise<void>;
  /** Every live record as the store holds it, in the fields of an event. */
  read(): Promise<readonly Readonly<Record<string, unknown>>[]>;
  drop(): Promise<void>;
}

const FIELDS = Object.entries(COLUMNS);
export const COLUMN_NAMES: readonly string[] = [...Object.values(COLUMNS), 'document'];

/** An event as a row: the fields with a column, and the rest as one document. */
export function rowOf(event: WebhookEvent): readonly unknown[] {
  const rest = Object.entries(event).filter(([field]) => !Object.hasOwn(COLUMNS, field));
  const columns = FIELDS.map(([field]) => (event as unknown as Record<string, unknown>)[field] ?? null);
  return [...columns, JSON.stringify(Object.fromEntries(rest))];
}

/** The event of a row. */
export function eventOfRow(row: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { document } = row;
  const columns = FIELDS.map(([field, column]) => [field, row[column]] as const);
  return {
    ...Object.fromEntries(columns.filter(([, value]) => value !== null)),
    ...(typeof document === 'string' ? (JSON.parse(document) as object) : (document as object)),
  };
}
