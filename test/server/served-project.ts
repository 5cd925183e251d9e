import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { CONFIG, Project } from '../cli/project.ts';
import { freePort } from '../support/servers/free-port.ts';

/** A server of its own process. */
export interface ServerProcess {
  readonly child: ChildProcess;
  readonly firstToken: string | null;
}

/** A project whose control plane is reached through a `changeover serve` on a port of its own. */
export class ServedProject implements AsyncDisposable {
  readonly project: Project;
  readonly url: string;
  readonly #port: number;
  server: ServerProcess;

  private constructor(project: Project, port: number, server: ServerProcess) {
    this.project = project;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.server = server;
  }

  /** Everything prepared; the configuration names the server, with a token of the role operator. */
  static async create(): Promise<ServedProject> {
    const project = Project.create();
    const port = await freePort();
    const server = await startServer(project, port);
    const made = await project.json<{ token: string }>('token', 'create', 'walker', '--role', 'admin');
    const control = `control: 'http://127.0.0.1:${port}', token: '${made.data.token}'`;
    project.write('changeover.config.ts', CONFIG.replace(/control: '[^']+'/, control));
    return new ServedProject(project, port, server);
  }

  async restart(): Promise<void> {
    this.server = await startServer(this.project, this.#port);
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const ended = once(this.server.child, 'exit');
    this.server.child.kill(signal);
    const [code] = (await ended) as [number | null];
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.project[Symbol.asyncDispose]();
  }
}

async function startServer(project: Project, port: number): Promise<ServerProcess> {
  const child = project.start('serve', '--port', String(port), '--control', 'sqlite:.changeover/control.db', '--json');
  let stdout = '';
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += String(chunk);
  });
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(`the server ended: ${stderr}`)));
    child.stdout?.on('data', (chunk) => {
      stdout += String(chunk);
      if (!stdout.endsWith('}\n')) return;
      const { firstToken } = JSON.parse(stdout) as { firstToken: string | null };
      resolve({ child, firstToken });
    });
  });
}
