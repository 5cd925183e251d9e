import { once } from 'node:events';
import { InvalidConfiguration } from '../core/errors.ts';
import { VERSION } from '../service/version.ts';
import { createLogger, type LogLevel } from '../telemetry/logger.ts';
import { EXIT } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import { wholeNumber } from './whole-number.ts';

interface ServeOptions {
  readonly host: string;
  readonly port: string;
  readonly control?: string;
  readonly trustProxy?: string | true;
}

const DEFAULT_PORT = 7420;
const LAST_PORT = 65_535;

/** The proxies that one has at home: this host, link-local and private networks. */
const NEAR = 'loopback,linklocal,uniquelocal';

/** `changeover serve`: the console and the HTTP API, until it is interrupted. */
export const serveCommand: Registration = (program, run) => {
  program
    .command('serve')
    .description('serve the console and the HTTP API, for services and command lines on other hosts, and for metrics')
    .option('--host <address>', 'where to listen; anywhere but here only when somebody has a token', '127.0.0.1')
    .option('--port <n>', '0 takes one that is free', String(DEFAULT_PORT))
    .option('--control <where>', "the control plane, where the configuration names this server: 'postgres://…'")
    .option('--trust-proxy [addresses]', `believe X-Forwarded-For and -Proto of these (default: ${NEAR})`)
    .addHelpText(
      'after',
      examples(
        'changeover serve',
        'changeover token create ci --role operator && changeover serve --host 0.0.0.0 --trust-proxy 10.0.0.0/8',
      ),
    )
    .action(
      run(async (session, options: ServeOptions) => {
        const { terminal, signal } = session;
        const port = wholeNumber('--port', options.port, 0, LAST_PORT);
        if (options.control !== undefined) session.controlledBy(options.control);
        if (/^https?:/.test((await session.config()).control)) {
          throw new InvalidConfiguration('a server cannot work through another one', {
            expected: "--control 'postgres://…' or 'sqlite:…', the database itself",
          });
        }
        const operations = await session.operations();
        // Only here: no other command needs what it takes to serve.
        const { startServer } = await import('../server/index.ts');
        const level = (process.env['CHANGEOVER_LOG'] ?? 'warn') as LogLevel;
        const server = await startServer({
          operations,
          version: VERSION,
          host: options.host,
          port,
          webhooks: (await session.config()).webhooks ?? [],
          oidc: (await session.config()).oidc,
          logger: createLogger(level),
          ...(options.trustProxy === undefined
            ? {}
            : { trustProxy: options.trustProxy === true ? NEAR : options.trustProxy }),
        });
        try {
          const { url, firstToken } = server;
          if (terminal.json) terminal.document({ url, firstToken });
          terminal.say(`listening on ${url}`);
          if (firstToken !== null) {
            terminal.say(`the first token, of the role admin, shown only now: ${terminal.style('bold', firstToken)}`);
          }
          if (!signal.aborted) await once(signal, 'abort');
        } finally {
          await server.close();
        }
        return { code: EXIT.done, data: undefined };
      }),
    );
};
