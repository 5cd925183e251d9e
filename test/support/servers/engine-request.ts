import { request } from 'node:http';
import type { EngineAddress } from './keeper-orders.ts';

/** One call of a Docker engine's API. @returns the status and the body */
export function engineRequest(
  address: EngineAddress,
  method: string,
  path: string,
  timeoutMs: number,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ ...address, method, path, timeout: timeoutMs, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    call.on('timeout', () => call.destroy(new Error('no answer in time')));
    call.on('error', reject);
    call.end();
  });
}

/** Ends and removes every container that carries the label. */
export async function removeContainers(address: EngineAddress, label: string): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
  const { body } = await engineRequest(address, 'GET', `/containers/json?all=1&filters=${filters}`, 10_000);
  for (const { Id } of JSON.parse(body) as { readonly Id: string }[]) {
    await engineRequest(address, 'DELETE', `/containers/${Id}?force=1&v=1`, 30_000);
  }
}
