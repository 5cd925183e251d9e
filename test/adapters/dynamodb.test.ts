import { describeStore } from '../../adapters/conformance/index.ts';
import { DynamoDbHarness } from '../support/dynamodb-harness.ts';

describeStore('dynamodb (dynalite)', () => DynamoDbHarness.start());
