import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a client and a server and keeps back what the client sends, as long as a test wants. */
export class HoldingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #held: (() => void)[] | null = null;
  #holdsWhat: string | null = null;
  #loses: string | null = null;

  private constructor(target: URL) {
    this.#server = createServer((client) =>
      this.#relay(client, connect(Number(target.port || 27017), target.hostname)),
    );
  }

  /** @returns the proxy, and a URL that leads through it to that one server */
  static async to(url: string): Promise<{ readonly proxy: HoldingProxy; readonly url: string }> {
    const proxy = new HoldingProxy(new URL(url));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    const through = new URL(url);
    through.hostname = '127.0.0.1';
    through.port = String((proxy.#server.address() as AddressInfo).port);
    through.searchParams.delete('replicaSet');
    through.searchParams.set('directConnection', 'true');
    return { proxy, url: through.href };
  }

  /** From now on lines on which `text` comes wait for {@link release}, from the part that holds it on. */
  hold(text: string): void {
    this.#holdsWhat = text;
    this.#held = [];
  }

  /** How many are waiting. */
  get waiting(): number {
    return this.#held?.length ?? 0;
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const go of held) go();
  }

  /** Cuts the line when the server has answered the next command that contains `text`, before the client gets it. */
  loseAnswer(text: string): void {
    this.#loses = text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(client: Socket, server: Socket): void {
    let losing = false;
    let kept: Buffer[] | null = null;
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    client.on('data', (data) => {
      if (this.#loses !== null && data.includes(this.#loses)) {
        this.#loses = null;
        losing = true;
      }
      if (kept !== null) kept.push(data);
      else if (this.#held !== null && this.#holdsWhat !== null && data.includes(this.#holdsWhat)) {
        kept = [data];
        this.#held.push(() => {
          for (const part of kept ?? []) server.write(part);
          kept = null;
        });
      } else server.write(data);
    });
    server.on('data', (data) => {
      if (losing) end();
      else client.write(data);
    });
  }
}
