import { createRequire } from 'node:module';
import type { BsonLibrary } from '../src/core/bson.ts';

/**
 * The `bson` package whose classes the MongoDB driver uses, so that `instanceof ObjectId` holds whichever store a record
 * came from; null where it is not installed. The driver requires it, which is another copy than an import would give.
 */
export function loadBson(): BsonLibrary | null {
  const near = createRequire(import.meta.url);
  try {
    return createRequire(near.resolve('mongodb'))('bson') as BsonLibrary;
  } catch {
    // The service may have bson without the driver.
  }
  try {
    return near('bson') as BsonLibrary;
  } catch {
    return null;
  }
}
