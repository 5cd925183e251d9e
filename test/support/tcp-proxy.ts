import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Cut {
  readonly text: string;
  readonly when: 'before' | 'after';
}

/** Stands between clients and a server, and breaks their lines where a test says. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: Cut | null = null;
  #frozen = false;

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#server = createServer((client) => this.#relay(client, connect(target.port, target.host)));
  }

  /** @returns the proxy, and the URL that leads through it */
  static async create(url: string): Promise<{ readonly proxy: TcpProxy; readonly url: string }> {
    const through = new URL(url);
    const proxy = new TcpProxy({ host: through.hostname, port: Number(through.port || 5432) });
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    through.hostname = '127.0.0.1';
    through.port = String((proxy.#server.address() as AddressInfo).port);
    return { proxy, url: through.href };
  }

  /** Cuts the next line on which a client sends the text: before the server gets it, or after it has answered. */
  cutAt(text: string, when: Cut['when']): void {
    this.#cut = { text, when };
  }

  /** From now on nothing gets through and nobody is told, as when a cable is pulled. */
  freeze(frozen = true): void {
    this.#frozen = frozen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(client: Socket, server: Socket): void {
    let silent = false;
    const end = (): void => {
      client.destroy();
      server.destroy();
      this.#sockets.delete(client);
      this.#sockets.delete(server);
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', end);
      socket.on('close', end);
    }
    client.on('data', (data) => {
      if (this.#frozen) return;
      const cut = this.#cut;
      if (cut !== null && data.includes(cut.text)) {
        this.#cut = null;
        if (cut.when === 'before') return end();
        silent = true;
      }
      server.write(data);
    });
    server.on('data', (data) => {
      if (silent) end();
      else if (!this.#frozen) client.write(data);
    });
  }
}
