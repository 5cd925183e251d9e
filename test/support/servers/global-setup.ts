import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { REQUIRE_VARIABLE, requiredServers, SERVER_NAMES, type ServerName } from './names.ts';
import { serversNeededBy } from './needed.ts';
import { ServerFinder } from './server-finder.ts';

const TESTS = join(import.meta.dirname, '../..');

/**
 * Finds the servers that the selected test files ask for, and those that the run demands. Ends the run before its first
 * test when one that is demanded, or named by its variable, is not to be had.
 */
export default async function findServers(project: TestProject): Promise<() => Promise<void>> {
  const required = requiredServers(process.env);
  const needs = serversNeededBy(project.vitest.state.getPaths(), TESTS);
  const asked = new Set<ServerName>([...required, ...Object.values(needs).flat()]);
  const finder = new ServerFinder(process.env);
  const findings = await Promise.all(
    SERVER_NAMES.filter((name) => asked.has(name)).map(async (name) => {
      const finding = await finder.find(name);
      console.log(`test server: ${finding.line}`);
      return finding;
    }),
  );
  const problems = findings.flatMap(({ name, server, problem }) => {
    if (problem !== null) return [problem];
    return server.missing !== undefined && required.includes(name) ? [`${REQUIRE_VARIABLE}: ${server.missing}`] : [];
  });
  project.provide('foundServers', {
    servers: Object.fromEntries(findings.map(({ name, server }) => [name, server])),
    needs,
    problems,
  });
  if (problems.length > 0) {
    await finder.stop();
    throw new Error(problems.join('\n'));
  }
  return () => finder.stop();
}
