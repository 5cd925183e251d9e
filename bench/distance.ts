/**
 * A process that stands between clients and a server and lets each byte arrive some time later, as a network does that
 * is so long. Arguments: the server's host and port, ms each way. Says its own port to its parent.
 */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { exit } from 'node:process';

const [host = '', port = '', ms = ''] = process.argv.slice(2);
// Nothing that the bench started outlives it.
process.on('disconnect', () => exit());

function later(from: Socket, to: Socket): void {
  from.on('data', (bytes) => {
    setTimeout(() => to.write(bytes), Number(ms));
  });
  from.on('close', () => {
    setTimeout(() => to.destroy(), Number(ms));
  });
  from.on('error', () => from.destroy());
}

const server = createServer((client) => {
  const target = connect({ host, port: Number(port) });
  for (const socket of [client, target]) socket.setNoDelay(true);
  later(client, target);
  later(target, client);
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
