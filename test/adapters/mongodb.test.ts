import { describeStore } from '../../adapters/conformance/index.ts';
import { COMPOUND, ID_AND_BESIDE, mongodbHarness, OBJECT_ID, ONE_FIELD } from '../support/mongodb-harness.ts';
import { testServer } from '../support/servers.ts';

const { url = '', missing } = testServer('mongodb');
const options = { skip: missing };
/** These differ in their keys only. */
const smaller = { ...options, scale: 0.3 };

describeStore('mongodb, _id and a field beside it', () => mongodbHarness(url, ID_AND_BESIDE), options);
describeStore('mongodb, _id of one text field', () => mongodbHarness(url, ONE_FIELD), smaller);
describeStore('mongodb, _id of several fields', () => mongodbHarness(url, COMPOUND), smaller);
describeStore('mongodb, ObjectIds beside 64-bit integers', () => mongodbHarness(url, OBJECT_ID), smaller);
