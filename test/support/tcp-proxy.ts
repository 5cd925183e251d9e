import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Cut {
  readonly text: string;
  readonly when: 'before' | 'after';
}

const targetOf = ({ hostname, port }: URL): { readonly host: string; readonly port: number } => ({
  host: hostname,
  port: Number(port || 5432),
});

/** Stands between clients and a server, and breaks their lines where a test says. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  #cut: Cut | null = null;
  #frozen = false;

  private constructor(url: URL) {
    this.#target = targetOf(url);
    this.#server = createServer((client) => this.#relay(client, connect(this.#target.port, this.#target.host)));
  }

  /** @returns the proxy, and the URL that leads through it */
  static async create(url: string): Promise<{ readonly proxy: TcpProxy; readonly url: string }> {
    const through = new URL(url);
    const proxy = new TcpProxy(through);
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

  /** From now on new lines lead to another server, and those that are there are cut, as in a fail-over. */
  leadTo(url: string): void {
    this.#target = targetOf(new URL(url));
    this.#cutAll();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cutAll();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
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
