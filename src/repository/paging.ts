import { hash } from 'node:crypto';
import { canonicalText } from '../core/canonical.ts';
import { CursorExpired, InvalidArgument, NotSupported, StoreFault, StoreUnavailable } from '../core/errors.ts';
import { type KeyJson, keyFromJson, keyToJson } from '../core/key-json.ts';
import { isHidden } from '../core/planted.ts';
import type { Side } from '../core/stage.ts';
import { type Entry, readable } from '../core/store.ts';
import type { Key } from '../core/value.ts';
import type { RepositoryParts } from './repository.ts';

/** A page of records, and the cursor that goes on behind it; null at the end. */
export interface RecordPage<R> {
  readonly records: readonly R[];
  readonly cursor: string | null;
}

/** Records one by one, or page by page. */
export interface Listing<R> extends AsyncIterable<R> {
  pages(): AsyncIterable<RecordPage<R>>;
}

/** What a query's function is given besides the store's native handle and the caller's arguments. */
export interface QueryPage {
  readonly limit: number;
  /** What the function itself returned as `cursor` for the page before. */
  readonly cursor: string | undefined;
}

/** Native rows of one page; an array is the only page. */
export type QueryRows = readonly unknown[] | { readonly rows: readonly unknown[]; readonly cursor?: string | null };

export type QueryFunction = (native: never, args: never, page: QueryPage) => Promise<QueryRows> | QueryRows;

/** A named query: one function a store, returning native rows; decoding and hiding tombstones are ours. */
export interface QueryDefinition {
  readonly old: QueryFunction;
  readonly new: QueryFunction;
  /** The unit that all records of the answer belong to; without it the query goes to the store that has everything. */
  readonly unit?: (args: never) => unknown;
}

interface PagingOptions {
  readonly cursor?: string;
  readonly pageSize?: number;
}

interface CursorJson {
  /** What it continues: a digest of the query. */
  readonly q: string;
  /** `list`: the last key. */
  readonly k?: KeyJson;
  /** `query`: the side and the function's own cursor. */
  readonly s?: Side;
  readonly c?: string;
}

const DEFAULT_PAGE = 100;

const digest = (what: unknown): string => hash('sha256', canonicalText(what), 'base64url').slice(0, 16);

const encode = (cursor: CursorJson): string => Buffer.from(JSON.stringify(cursor)).toString('base64url');

function decode(text: string | undefined, query: string): CursorJson | null {
  if (text === undefined) return null;
  let cursor: CursorJson | undefined;
  try {
    cursor = JSON.parse(Buffer.from(text, 'base64url').toString()) as CursorJson;
  } catch {
    // Falls through to the error for people.
  }
  if (cursor?.q !== query) {
    throw new CursorExpired('the cursor does not belong to this query', { remedy: 'begin without a cursor' });
  }
  return cursor;
}

function pageSizeOf(options: PagingOptions): number {
  const { pageSize = DEFAULT_PAGE } = options;
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 10_000) {
    throw new InvalidArgument(`a page cannot hold ${pageSize} records`, { expected: 'pageSize from 1 to 10000' });
  }
  return pageSize;
}

function listing<R>(pages: () => AsyncGenerator<RecordPage<R>>): Listing<R> {
  return {
    pages,
    async *[Symbol.asyncIterator]() {
      for await (const page of pages()) yield* page.records;
    },
  };
}

const liveRecords = <R>(entries: readonly Entry[]): R[] =>
  entries.filter((entry) => readable(entry).value !== null && !isHidden(entry)).map((entry) => entry.value as R);

/** The records of a unit by key: each page asks the unit's authority of that moment, so it survives a handover. */
export function listRecords<R>(parts: RepositoryParts, unitKey: Key, options: PagingOptions): Listing<R> {
  const limit = pageSizeOf(options);
  const query = digest(['list', unitKey]);
  const start = decode(options.cursor, query);
  const unit = parts.keys.unit(unitKey);
  return listing<R>(async function* () {
    let after = start?.k === undefined ? null : keyFromJson(start.k);
    for (;;) {
      const held = parts.session.admit(unit, false);
      if (held !== undefined) await held;
      const side = parts.session.epoch.ruleset.route(unit).authority;
      const store = parts.stores[side];
      if (!store.capabilities.list) {
        throw new NotSupported(`${store.label} cannot list the records of a unit`, {
          expected: 'a store that holds each unit under a key of its own',
          remedy: 'use a named query',
        });
      }
      const from = after;
      const entries = await onStore(parts, side, () => store.list(unitKey, from, limit));
      const last = entries.at(-1);
      after = last?.key ?? null;
      const more = entries.length >= limit && last !== undefined;
      yield { records: liveRecords<R>(entries), cursor: more ? encode({ q: query, k: keyToJson(last.key) }) : null };
      if (!more) return;
    }
  });
}

/** The records of a named query. Its cursors are the store's own: they expire when the query moves to the other one. */
export function queryRecords<R>(
  parts: RepositoryParts,
  name: string,
  args: unknown,
  options: PagingOptions,
): Listing<R> {
  const definition = Object.hasOwn(parts.queries, name) ? parts.queries[name] : undefined;
  if (definition === undefined) {
    throw new InvalidArgument(`there is no query "${name}"`, {
      expected: Object.keys(parts.queries).join(', ') || 'queries in the configuration',
    });
  }
  const limit = pageSizeOf(options);
  const query = digest([name, args]);
  const start = decode(options.cursor, query);
  const unit =
    definition.unit === undefined ? null : parts.keys.unit(parts.keys.unitKeyOf(definition.unit(args as never)));
  const sideNow = (): Side => {
    const { ruleset } = parts.session.epoch;
    if (unit !== null) return ruleset.route(unit).authority;
    return ruleset.document.dials.retireOld ? 'new' : 'old';
  };
  return listing<R>(async function* () {
    let cursor = start?.c;
    let began = start?.s;
    for (;;) {
      const held = unit === null ? undefined : parts.session.admit(unit, false);
      if (held !== undefined) await held;
      const side = sideNow();
      if (began !== undefined && began !== side) {
        throw new CursorExpired(`the query "${name}" moved to the ${side} store between two pages`, {
          remedy: 'begin without a cursor',
        });
      }
      began = side;
      const store = parts.stores[side];
      const run = definition[side];
      const answer = await onStore(parts, side, async () => {
        // A native handle connects by itself; what reads its rows does not.
        if (store.away === true) await store.open();
        return run(store.native as never, args as never, { limit, cursor });
      });
      const rows = 'rows' in answer ? answer.rows : answer;
      const next = 'rows' in answer ? (answer.cursor ?? null) : null;
      const entries = rows.map((row) => store.decode(row));
      const records = liveRecords<R>(entries);
      yield { records, cursor: next === null ? null : encode({ q: query, s: side, c: next }) };
      if (next === null) return;
      cursor = next;
    }
  });
}

async function onStore<T>(parts: RepositoryParts, side: Side, call: () => Promise<T>): Promise<T> {
  const epoch = parts.session.enterRead();
  const store = parts.stores[side];
  try {
    const meter = parts.session.traffic[side].read;
    return await parts.sweep.bound(call(), epoch.ruleset.settings.operationTimeoutMs, store.label, meter);
  } catch (error) {
    if (!(error instanceof StoreFault)) throw error;
    throw new StoreUnavailable(`${store.label} cannot be read: ${error.message}`, { cause: error });
  } finally {
    parts.session.leaveRead(epoch);
  }
}
