import { describeStore } from '../../adapters/conformance/index.ts';
import { DynamoDbHarness, type Shape } from '../support/dynamodb-harness.ts';
import { DYNAMODB_SERVERS } from '../support/dynamodb-server.ts';

/** The first is the usual one; the others differ in their keys only. */
const SHAPES: readonly Shape[] = ['partition and sort key', 'number key', 'partition key', 'bytes key', 'ObjectId key'];

for (const { name, missing, start } of DYNAMODB_SERVERS) {
  // What dynalite does otherwise has nothing to do with keys.
  const shapes = name === 'dynalite' ? SHAPES.slice(0, 1) : SHAPES;
  for (const [i, shape] of shapes.entries()) {
    const options = { skip: missing, scale: i === 0 ? 1 : 0.1 };
    describeStore(`dynamodb (${name}, ${shape})`, () => DynamoDbHarness.start(start, shape), options);
  }
}
