import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DeleteTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from './support/servers/free-port.ts';
import { freshDatabase, testServer } from './support/servers.ts';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);
const DRIVERS = ['mongodb', '@aws-sdk', 'fastify', 'better-sqlite3', 'bson'] as const;
const SEEDS = 400;
/** What a gate or a verdict wants repaired may be dirty again a moment later, as the clients go on. */
const TRIES = 20;
/** Longer than the commands take; the clients are ended when those are through. */
const LOAD_SECONDS = 600;
/** CI's machine has to do with fewer than the README's. */
const CLIENTS = 6;

const missing = [testServer('mongodb').missing, testServer('dynamodb').missing].filter((why) => why !== undefined);
const because = missing.length === 0 ? '' : ` (${missing.join('; ')})`;

test.skipIf(missing.length > 0)(
  `mongodb to dynamodb does what its README says, command by command, and its clients find nothing wrong${because}`,
  { timeout: 900_000 },
  async () => {
    const folder = exampleFolder();
    const database = await freshDatabase('mongodb');
    onTestFinished(() => database.drop());
    const table = `events-${randomBytes(6).toString('hex')}`;
    const endpoint = testServer('dynamodb').url as string;
    onTestFinished(() => dropTable(endpoint, table));
    const env = {
      ...process.env,
      NO_COLOR: '1',
      MONGODB_URL: database.url,
      MONGODB_DATABASE: database.name,
      DYNAMODB_ENDPOINT: endpoint,
      DYNAMODB_TABLE: table,
    };
    const start = (args: readonly string[], more: Readonly<Record<string, string>> = {}): Started =>
      startNode(args, folder, { ...env, ...more });
    /** Doctor finds what prepare makes: like a refusal and a verdict in doubt, that is no failure of the command. */
    const changeover = async (line: string): Promise<Answer> => {
      const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? (word as string));
      const args = [join(root, 'bin/changeover.js'), ...words];
      return run(process.execPath, args, { cwd: folder, env }).then(
        ({ stdout }) => ({ code: 0, said: stdout }),
        (error: { code: number; stdout: string; stderr: string }) => ({
          code: error.code,
          said: `${error.stdout}${error.stderr}`,
        }),
      );
    };
    const readme = readFileSync(join(folder, 'README.md'), 'utf8');
    const commands = [...readme.matchAll(/^changeover (.+?)(?:\s+#.*)?$/gm)].map(([, line]) => line as string);
    expect(commands.length).toBeGreaterThan(12);

    await run(process.execPath, ['seed.ts', String(SEEDS)], { cwd: folder, env });
    const ports = [String(await freePort()), String(await freePort())];
    const services = ports.map((PORT) => start(['service.ts'], { PORT }));
    for (const service of services) await expect.poll(service.said, { timeout: 60_000 }).toContain('events at http');
    const load = start(['load.ts', ...ports, '--seconds', String(LOAD_SECONDS), '--clients', String(CLIENTS)]);
    await expect.poll(load.said, { timeout: 60_000 }).toMatch(/[1-9]\d* requests\/s/);

    for (const command of commands) {
      let answer = await changeover(command);
      if (command.startsWith('doctor')) {
        expect(answer).toMatchObject({ code: 1, said: expect.stringContaining('prepare') });
        continue;
      }
      for (let tries = 1; answer.code !== 0 && tries < TRIES; tries += 1) {
        expect(answer.said, command).toMatch(REPAIRABLE);
        await changeover('repair events --reason "as the README says"');
        answer = await changeover(command);
      }
      expect(answer, command).toMatchObject({ code: 0 });
      if (command.includes('shadow-read')) await compared(changeover);
    }
    const standing = async () => JSON.parse((await changeover('--json status events')).said);
    // A mirror that was slow for so long that it was taken for a difference is mended like one.
    for (let tries = 1; (await standing()).divergences > 0 && tries < TRIES; tries += 1) {
      await changeover('repair events --reason "as the README says"');
    }
    const status = await standing();
    expect(status).toMatchObject({ stage: 'live', dials: { cutover: 100 }, divergences: 0, fleet: { nodes: 2 } });

    load.process.kill('SIGINT');
    expect(await load.ended).toBe(0);
    expect(load.said()).toMatch(/^[1-9]\d\d+ events read again: 0 wrong, 0 not answered$/m);
    expect(load.said()).not.toContain('failed:');
    for (const service of services) service.process.kill('SIGTERM');
    expect(await Promise.all(services.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(await changeover('verify events')).toMatchObject({ code: 0, said: expect.stringContaining('consistent') });
  },
);

interface Answer {
  readonly code: number;
  readonly said: string;
}

/** What the README says of refusals under load: repair, and once more. A handover that took too long is undone. */
const REPAIRABLE = /repair events|dirty|HANDOVER_IN_PROGRESS|FLEET_TIMEOUT/;

/** The README's pause at `status`: until some reads were compared. */
const compared = (changeover: (line: string) => Promise<Answer>): Promise<void> =>
  expect
    .poll(async () => JSON.parse((await changeover('--json status events')).said).shadow.compared, { timeout: 60_000 })
    .toBeGreaterThan(10);

/** A copy, as a user who has installed the package and the drivers has it. */
function exampleFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'changeover-example-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(root, 'examples/mongodb-to-dynamodb'), folder, { recursive: true });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/changeover'));
  for (const name of DRIVERS) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  return folder;
}

interface Started {
  readonly process: ReturnType<typeof spawn>;
  readonly said: () => string;
  /** The exit code. */
  readonly ended: Promise<number | null>;
}

/** Starts a script; it ends with the test. */
function startNode(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Started {
  const child = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += String(chunk);
  });
  return { process: child, said: () => text, ended: once(child, 'close').then(([code]) => code as number | null) };
}

async function dropTable(endpoint: string, TableName: string): Promise<void> {
  const client = new DynamoDBClient({
    endpoint,
    region: 'local',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  await client.send(new DeleteTableCommand({ TableName })).catch(() => undefined);
  client.destroy();
}
