import { compareRecords } from '../../verify/compare.ts';
import { plainJson } from '../../verify/reports/report-document.ts';
import { type KeyJson, keyFromJson } from '../core/key-json.ts';
import { readable } from '../core/store.ts';
import type { ControllerParts } from './controller-parts.ts';
import type { Authorship } from './publish.ts';
import type { DivergenceRow } from './storage.ts';

type RevealParts = Pick<ControllerParts, 'plane' | 'migration' | 'stores' | 'keys' | 'rules'>;

/** A divergent record as both stores hold it now, unmasked. Plain JSON: what JSON lacks stands as its text. */
export interface Revealed {
  readonly id: number;
  readonly key: KeyJson;
  readonly kind: DivergenceRow['kind'];
  /** Whether each store has a record under the key. */
  readonly present: { readonly old: boolean; readonly new: boolean };
  /** What differs now: nothing, where it has been mended meanwhile. */
  readonly fields: readonly { readonly path: string; readonly old: unknown; readonly new: unknown }[];
}

/** Reads both stores. That it was asked for is in the history before anything is read. @throws NotFound, StoreFault, InvalidRecord */
export async function reveal(
  { plane, migration, stores, keys, rules }: RevealParts,
  divergence: number,
  authorship: Authorship,
): Promise<Revealed> {
  const row = await plane.noteReveal(migration, divergence, authorship);
  const key = keyFromJson(row.key);
  const id = keys.id(key);
  const [old, fresh] = await Promise.all([stores.old.get(id, key), stores.new.get(id, key)]);
  const [ours, theirs] = [readable(old)?.value ?? null, readable(fresh)?.value ?? null];
  const whole = ours === null && theirs === null ? [] : [{ path: '', old: ours, new: theirs }];
  const fields = ours === null || theirs === null ? whole : compareRecords(ours, theirs, rules);
  return {
    id: row.id,
    key: row.key,
    kind: row.kind,
    present: { old: ours !== null, new: theirs !== null },
    fields: fields.map((field) => ({ path: field.path, old: plainJson(field.old), new: plainJson(field.new) })),
  };
}
