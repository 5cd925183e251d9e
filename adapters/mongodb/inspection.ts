import type { Document } from 'mongodb';
import type { Inspection } from '../../src/core/store.ts';
import type { DocumentLayout } from './document-layout.ts';
import { findingsOf, type Seen } from './findings.ts';
import type { ResolvedOptions } from './options.ts';
import { type Upkeep, unfitness } from './upkeep.ts';
import type { Wire } from './wire.ts';

/** What changeover does on the collection. */
const ACTIONS = ['find', 'insert', 'update', 'remove', 'listIndexes', 'collStats'];

/** Looks at the server and the collection as they are now; changes nothing. */
export async function inspectCollection(
  wire: Wire,
  upkeep: Upkeep,
  layout: DocumentLayout,
  options: ResolvedOptions,
): Promise<Inspection> {
  const run = (command: Document): Promise<Document> =>
    wire.read(Object.keys(command)[0] ?? '', (signal) => wire.db.command(command, { signal }));
  await wire.serverClock.measure().catch(() => undefined);
  const [build, hello, collection] = await Promise.all([
    run({ buildInfo: 1 }),
    run({ hello: 1 }),
    upkeep.collectionInfo(),
  ]);
  const unfit = unfitness(collection);
  const indexes = collection === null || unfit !== null ? [] : await upkeep.indexes();
  const missing = !upkeep.hasListIndex(indexes);
  const validated = Object.keys((collection?.['options'] as Document | undefined)?.['validator'] ?? {}).length > 0;
  const needed = [...ACTIONS, ...(missing ? ['createIndex'] : []), ...(validated ? ['bypassDocumentValidation'] : [])];
  const seen: Seen = {
    version: String(build['version']),
    topology: topologyOf(hello),
    collection,
    unfit,
    indexes,
    listIndex: missing && unfit === null ? upkeep.listIndex : null,
    viewMissing: options.view !== null && (await upkeep.collectionInfo(options.view)) === null,
    besideFields: layout.besideFields,
    denied: deniedOf(await run({ connectionStatus: 1, showPrivileges: true }), needed, options),
    clockAheadMs: wire.serverClock.aheadMs,
  };
  return { server: `MongoDB ${seen.version}`, findings: findingsOf(seen, options) };
}

function topologyOf(hello: Document): Seen['topology'] {
  if (hello['msg'] === 'isdbgrid') return 'sharded cluster';
  return hello['setName'] === undefined ? 'standalone' : 'replica set';
}

/** The actions that no privilege of the user covers; where nobody logs in, everybody may do everything. */
function deniedOf(status: Document, needed: readonly string[], options: ResolvedOptions): string[] {
  const auth = (status['authInfo'] ?? {}) as Document;
  const users = (auth['authenticatedUsers'] ?? []) as readonly unknown[];
  if (users.length === 0) return [];
  const privileges = (auth['authenticatedUserPrivileges'] ?? []) as readonly Document[];
  const covers = ({ resource }: Document): boolean => {
    if (resource?.anyResource === true) return true;
    const { db, collection } = (resource ?? {}) as { readonly db?: unknown; readonly collection?: unknown };
    return (db === '' || db === options.database) && (collection === '' || collection === options.collection);
  };
  const allowed = new Set(privileges.filter(covers).flatMap(({ actions }) => (actions ?? []) as readonly string[]));
  return needed.filter((action) => !allowed.has(action));
}
