import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { type ControlDatabase, schemaIn } from '../support/control-database.ts';
import { CONFIG, Project } from './project.ts';

export const WHY = ['--reason', 'OPS-1'] as const;
/** Longer than anything takes on a machine that has much else to do. */
const PATIENCE_MS = 120_000;

/** A worker of its own process, and all that it has said. */
export class WorkerProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  stdout = '';
  stderr = '';

  constructor(project: Project, ...args: readonly string[]) {
    this.child = project.start('worker', ...args);
    this.ended = once(this.child, 'close');
    this.child.stdout?.on('data', (data: Buffer) => {
      this.stdout += data.toString();
    });
    this.child.stderr?.on('data', (data: Buffer) => {
      this.stderr += data.toString();
    });
  }

  /** Took it last. */
  has({ runner }: { readonly runner: string | null }): boolean {
    return runner?.startsWith(`${this.child.pid}-`) === true;
  }

  says(text: string): Promise<void> {
    return until(
      () => this.stderr.includes(text),
      () => `${text} was not said in: ${this.stderr}`,
    );
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    await this.ended;
    return this.child.exitCode;
  }
}

export async function until(holds: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  for (const begun = performance.now(); !(await holds()); await pause(30)) {
    if (performance.now() - begun > PATIENCE_MS) throw new Error(what());
  }
}

type Done = (...args: readonly string[]) => Promise<string>;

/** A project whose control plane and (empty) stores are on PostgreSQL. */
export async function postgresProject(database: ControlDatabase, name: string) {
  const url = new URL(database.newUrl());
  const schema = schemaIn(url.href);
  const store = new URL(url);
  store.searchParams.delete('schema');
  for (const side of ['old', 'new']) {
    await database.query(`create schema ${name}_${side}`);
    await database.query(
      `create table ${name}_${side}.events ("userKey" text, id text, body jsonb, primary key ("userKey", id))`,
    );
  }
  const config = CONFIG.replace("control: 'sqlite:.changeover/control.db'", `control: '${url.href}'`).replace(
    "old: events('old.db'), new: events('new.db')",
    `old: rows('old'), new: rows('new') /* more */`,
  );
  const rows = `const rows = (side: string) => sql({ client: 'pg', connection: '${store.href}', table: \`${name}_\${side}.events\`, document: 'body' });\n`;
  const project = Project.create(config.replace('interface Event', `${rows}\ninterface Event`));
  const done: Done = async (...args) => {
    const call = await project.move(...args);
    expect(call, args.join(' ')).toMatchObject({ code: 0 });
    return call.stdout;
  };
  return { project, schema, done };
}

/** Everything is mirrored from here on. */
export async function mirrored(done: Done): Promise<void> {
  await done('prepare', 'events');
  await done('set', 'events', 'no-outside-writers', 'yes', ...WHY);
  await done('set', 'events', 'dual-write', 'all', ...WHY);
}
