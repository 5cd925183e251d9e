import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import staticFiles from '@fastify/static';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { notFoundHandler } from './problem.ts';

/** What `vite build` makes of src/console. */
export const BUILT_CONSOLE = fileURLToPath(new URL('../../dist/console/', import.meta.url));

const ONE_YEAR_S = 31_536_000;
/** What the API, the health checks and the metrics answer for: a wrong path there is a problem, not a page. */
const OTHERS = /^\/(?:api|metrics|healthz|readyz)(?:[/?]|$)/;

/** The operators' console: its files as they were built, and its page for every address that is one of its own. */
export async function consoleRoutes(app: FastifyInstance, root: string): Promise<void> {
  const built = existsSync(`${root}/index.html`);
  const page = (_: FastifyRequest, reply: FastifyReply): unknown =>
    built
      ? reply.header('cache-control', 'no-cache').sendFile('index.html', root, { cacheControl: false })
      : reply.code(503).type('text/html; charset=utf-8').send(NOT_BUILT);

  if (built) {
    await app.register(staticFiles, {
      root,
      serve: false,
      preCompressed: true,
      index: false,
      dotfiles: 'ignore',
    });
    app.get('/assets/*', { config: { access: 'public' }, schema: { hide: true } as object }, (request, reply) => {
      // Their names hold their content's hash: they never change. One that is missing may come with the next version,
      // so the answer that it is missing must not be kept.
      const { '*': path } = request.params as { readonly '*': string };
      return reply.sendFile(`assets/${path}`, root, { maxAge: ONE_YEAR_S * 1_000, immutable: true });
    });
  }
  app.get('/', { config: { access: 'public' }, schema: { hide: true } as object }, page);
  app.setNotFoundHandler((request, reply) => {
    const { method, url, headers } = request;
    const wanted = method === 'GET' && !OTHERS.test(url) && (headers.accept ?? '').includes('text/html');
    return wanted ? page(request, reply) : notFoundHandler(request, reply);
  });
}

const NOT_BUILT = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>changeover</title></head>
<body>
<h1>The console is not built</h1>
<p>The server runs and its API answers; only the console's files are missing. In the folder of changeover:</p>
<pre>npm run build</pre>
<p>Then load this page again after a restart. Until then the command line does everything: <code>changeover status</code>.</p>
<p><a href="/api/v1/openapi.json">The API's description</a></p>
</body>
</html>
`;
