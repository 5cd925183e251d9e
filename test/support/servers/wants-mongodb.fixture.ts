import { describe, expect, test } from 'vitest';
import { testServer } from '../servers.ts';

const server = testServer('mongodb');

test('needs no server', () => expect(server).toBeDefined());

describe.skipIf(server.missing !== undefined)(`mongodb (${server.missing ?? ''})`, () => {
  test('is told by its title', () => expect(server.url).toContain('mongodb:'));
});

test.skipIf(server.missing !== undefined)('is told by its file', () => expect(server.url).toContain('mongodb:'));
