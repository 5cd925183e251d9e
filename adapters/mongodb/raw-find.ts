import type { CommandOperationOptions, Db, Document, Long, MongoClient } from 'mongodb';
import type { RawDocument } from './bson-reader.ts';

/** The part of an answer that is about its cursor, its documents left as bytes. */
interface RawCursor {
  readonly id: Long;
  readonly firstBatch?: readonly RawDocument[];
  readonly nextBatch?: readonly RawDocument[];
}

/**
 * Documents as bytes, and nothing else: errors that it gets as bytes the driver itself cannot read. It would take their
 * version of the topology for the server's, and fail at all that follows until it has looked for the primary anew.
 */
const AS_BYTES = { fieldsAsRaw: { firstBatch: true, nextBatch: true }, promoteLongs: false } as const;

/** What is looked for. */
export interface RawFind {
  readonly client: MongoClient;
  readonly db: Db;
  readonly collection: string;
  /** One that answers with a cursor, such as `find`. */
  readonly command: Document;
  /** How many documents an answer after the first brings. Undefined: as many as go into 16 MB. */
  readonly batchSize: number | undefined;
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
 * The documents of a cursor as bytes of its answers. A cursor of the driver would look through every document before it
 * hands out its bytes, and hand them out one promise at a time, which takes longer than to decode them.
 */
export async function findRaw({
  client,
  db,
  collection,
  command,
  batchSize,
  signal,
  atLeast,
}: RawFind): Promise<Found> {
  const session = client.startSession({ causalConsistency: false });
  const how = { ...AS_BYTES, session, readPreference: 'primary' } as const;
  const send = async (sent: Document): Promise<RawCursor> => {
    const { cursor } = (await db.command(sent, { ...how, signal } as CommandOperationOptions)) as {
      readonly cursor: RawCursor;
    };
    const [first] = cursor.firstBatch ?? cursor.nextBatch ?? [];
    // Anything else would look like a store of records without fields.
    if (first !== undefined && !(first instanceof Uint8Array)) {
      throw new TypeError('the driver does not hand out documents as bytes');
    }
    return cursor;
  };
  let open: Long | null = null;
  try {
    let cursor = await send(command);
    const documents: RawDocument[] = [...(cursor.firstBatch ?? [])];
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
