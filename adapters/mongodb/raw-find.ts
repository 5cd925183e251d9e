import type { CommandOperationOptions, Db, Document, FindOptions, Long, MongoClient } from 'mongodb';
import type { DriverModule, RawDocument } from './bson-reader.ts';

/** The part of an answer that is about its cursor, its documents left as bytes. */
interface RawCursor {
  readonly id: Long;
  readonly firstBatch?: readonly RawDocument[];
  readonly nextBatch?: readonly RawDocument[];
}

/** What a find is sent with. */
export interface RawFind {
  readonly driver: DriverModule;
  readonly client: MongoClient;
  readonly db: Db;
  readonly collection: string;
  readonly filter: Document;
  /** In the words of the command. */
  readonly options: FindOptions;
  readonly signal: AbortSignal;
  /** Ends with the answer, each of at most 16 MB, that brings so many. Null: with the last. */
  readonly atLeast: number | null;
}

export interface Found {
  readonly documents: RawDocument[];
  /** There may be more of what was asked for. */
  readonly more: boolean;
}

/**
 * The documents of a find as bytes of its answers. A cursor of the driver would look through every document before it
 * hands out its bytes, and hand them out one promise at a time, which takes longer than to decode them.
 */
export async function findRaw({
  driver,
  client,
  db,
  collection,
  filter,
  options,
  signal,
  atLeast,
}: RawFind): Promise<Found> {
  const session = client.startSession({ causalConsistency: false });
  const how = { raw: true, session, readPreference: 'primary' } as const;
  const send = async (command: Document): Promise<RawCursor> => {
    const { cursor } = await db.command(command, { ...how, signal } as CommandOperationOptions);
    // Anything else would look like a store without records.
    if (!(cursor instanceof Uint8Array)) throw new TypeError('the driver does not hand out answers as bytes');
    return driver.BSON.deserialize(cursor, { raw: true, promoteLongs: false }) as RawCursor;
  };
  let open: Long | null = null;
  try {
    let cursor = await send({ find: collection, filter, ...options });
    const documents: RawDocument[] = [...(cursor.firstBatch ?? [])];
    const { batchSize } = options;
    while (!cursor.id.isZero()) {
      open = cursor.id;
      if (atLeast !== null && documents.length >= atLeast) return { documents, more: true };
      cursor = await send({ getMore: open, collection, ...(batchSize === undefined ? {} : { batchSize }) });
      for (const document of cursor.nextBatch ?? []) documents.push(document);
    }
    open = null;
    return { documents, more: false };
  } finally {
    // What is left open ends by itself too, only later.
    if (open !== null) await db.command({ killCursors: collection, cursors: [open] }, how).catch(() => null);
    await session.endSession();
  }
}
