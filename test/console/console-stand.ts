import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Service } from '../cli/project.ts';
import { ServedProject } from '../server/served-project.ts';
import { type FoundBrowser, launch } from '../support/browser.ts';
import { builtConsole } from './console-build.ts';

type Role = 'viewer' | 'operator' | 'admin';

export interface PageOptions {
  readonly role: Role;
  readonly scheme?: 'light' | 'dark';
  readonly width?: number;
}

/** A machine that is busy with other things may take its time. */
export const PATIENCE_MS = 45_000;
const WHY = ['--reason', 'test'] as const;

/** A real server with real traffic behind it, and a real browser before it. */
export class ConsoleStand implements AsyncDisposable {
  readonly served: ServedProject;
  readonly browser: Browser;
  readonly #tokens: Readonly<Record<Role, string>>;
  readonly #services: Service[] = [];

  private constructor(served: ServedProject, browser: Browser, tokens: Readonly<Record<Role, string>>) {
    this.served = served;
    this.browser = browser;
    this.#tokens = tokens;
  }

  /** Prepared, nothing moved. */
  static async create(found: FoundBrowser): Promise<ConsoleStand> {
    await builtConsole();
    const served = await ServedProject.create();
    const { project } = served;
    project.seed(300);
    const tokenOf = async (role: Role) =>
      (await project.json<{ token: string }>('token', 'create', `the ${role}`, '--role', role)).data.token;
    await project.run('prepare');
    const tokens = {
      viewer: await tokenOf('viewer'),
      operator: await tokenOf('operator'),
      admin: await tokenOf('admin'),
    };
    return new ConsoleStand(served, await launch(found), tokens);
  }

  get url(): string {
    return this.served.url;
  }

  /** A service that writes and reads all the time. */
  async serve(name: string): Promise<void> {
    this.#services.push(await this.served.project.service(name));
  }

  /** Through the command line; what it was refused is an error of the test. */
  async command(...args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.served.project.move(...args, ...WHY);
    if (code !== 0) throw new Error(`changeover ${args.join(' ')}: ${stderr}`);
  }

  /** What an operator does about dirt that is in the way; whoever repairs already does it as well. */
  async repair(): Promise<void> {
    const { code, stderr } = await this.served.project.run('repair', 'events', ...WHY);
    if (code !== 0 && !/\[(?:BUSY|HANDOVER_IN_PROGRESS)\]/.test(stderr)) throw new Error(`repair: ${stderr}`);
  }

  async context({ scheme = 'light', width = 1_440 }: Omit<PageOptions, 'role'> = {}): Promise<BrowserContext> {
    const context = await this.browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: scheme,
      reducedMotion: 'reduce',
      timezoneId: 'Europe/Zurich',
    });
    context.setDefaultTimeout(PATIENCE_MS);
    return context;
  }

  /** A page of somebody who has signed in, on the list. */
  async page({ role, ...options }: PageOptions): Promise<Page> {
    const page = await (await this.context(options)).newPage();
    await page.goto(this.url);
    await page.getByLabel('Token').fill(this.#tokens[role]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('link', { name: 'events', exact: true }).waitFor();
    return page;
  }

  /** The same, on the overview of events. */
  async overview(options: PageOptions): Promise<Page> {
    const page = await this.page(options);
    await page.getByRole('link', { name: 'events', exact: true }).click();
    await page.getByRole('heading', { name: 'Dials' }).waitFor();
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.close();
    for (const service of this.#services) await service.stop();
    await this.served[Symbol.asyncDispose]();
  }
}
