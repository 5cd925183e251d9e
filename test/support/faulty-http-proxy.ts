import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A request as the proxy sees it. */
export interface SeenRequest {
  /** The operation of the `X-Amz-Target` header: `PutItem`. */
  readonly operation: string;
  readonly body: string;
}

/** What the proxy does with a request. */
export type Fault =
  | { readonly kind: 'pass' }
  /** Forwards it, waits for the answer, and cuts the connection instead of passing it on. */
  | { readonly kind: 'lose-answer' }
  /** Cuts the connection before anything is forwarded. */
  | { readonly kind: 'cut' }
  /** Never answers and never forwards. */
  | { readonly kind: 'hang' }
  /** Forwards it and never answers. */
  | { readonly kind: 'hang-after' }
  /** Answers in the server's stead. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: unknown }
  /** Forwards another request in its stead, and passes on what `answer` makes of the answer, if it is one. */
  | { readonly kind: 'instead'; readonly body: unknown; readonly answer: (body: unknown) => unknown }
  /** Forwards it when the promise resolves. */
  | { readonly kind: 'delay'; readonly until: Promise<void> };

const PASS: Fault = { kind: 'pass' };

/** DynamoDB's way to say that there were too many requests. */
export const THROTTLED: Fault = {
  kind: 'answer',
  status: 400,
  body: {
    __type: 'com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException',
    message: 'too many requests',
  },
};

/** Its way to say that it knows no such operation. */
export const UNKNOWN_OPERATION: Fault = {
  kind: 'answer',
  status: 400,
  body: { __type: 'com.amazon.coral.service#UnknownOperationException' },
};

/** Its way to say that it failed inside. */
export const SERVER_ERROR: Fault = {
  kind: 'answer',
  status: 500,
  body: { __type: 'com.amazonaws.dynamodb.v20120810#InternalServerError', message: 'internal' },
};

/** Stands between a client and an HTTP server and does what `plan` says with each request; it passes by default. */
export class FaultyHttpProxy {
  plan: (seen: SeenRequest) => Fault = () => PASS;
  /** The operations that came, in order. */
  readonly seen: string[] = [];
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true, timeout: 600_000 });
  readonly #sockets = new Set<Socket>();
  readonly #targetPort: number;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((incoming, outgoing) => {
      this.#take(incoming, outgoing).catch(() => incoming.socket.destroy());
    });
    // A connection that is closed for being idle looks like a fault that nobody planned.
    this.#server.keepAliveTimeout = 600_000;
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(targetPort: number): Promise<FaultyHttpProxy> {
    const proxy = new FaultyHttpProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Passes everything from now on. */
  heal(): void {
    this.plan = () => PASS;
  }

  /** Does `fault` with the next `times` requests of an operation, and passes the others. */
  next(operation: string, fault: Fault, times = 1): void {
    let left = times;
    this.plan = (seen) => {
      if (seen.operation !== operation || left === 0) return PASS;
      left -= 1;
      return fault;
    };
  }

  count(operation: string): number {
    return this.seen.filter((one) => one === operation).length;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#agent.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #take(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const operation = String(incoming.headers['x-amz-target'] ?? '').split('.')[1] ?? '';
    this.seen.push(operation);
    const fault = this.plan({ operation, body: body.toString() });
    switch (fault.kind) {
      case 'cut':
        incoming.socket.destroy();
        return;
      case 'hang':
        return;
      case 'answer':
        outgoing.writeHead(fault.status, { 'content-type': 'application/x-amz-json-1.0' });
        outgoing.end(JSON.stringify(fault.body));
        return;
      case 'instead': {
        const answer = await this.#forward(incoming, Buffer.from(JSON.stringify(fault.body)));
        const body =
          answer.status === 200 ? JSON.stringify(fault.answer(JSON.parse(String(answer.body)))) : answer.body;
        outgoing.writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.0' });
        outgoing.end(body);
        return;
      }
      case 'delay':
        await fault.until;
        break;
      default:
        break;
    }
    const answer = await this.#forward(incoming, body);
    if (fault.kind === 'hang-after') return;
    if (fault.kind === 'lose-answer') {
      incoming.socket.destroy();
      return;
    }
    outgoing.writeHead(answer.status, answer.headers);
    outgoing.end(answer.body);
  }

  #forward(
    incoming: IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: this.#targetPort,
        method: incoming.method,
        path: incoming.url,
        headers: { ...incoming.headers, 'content-length': body.length },
        agent: this.#agent,
      };
      const outgoing = request(options, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.once('error', reject);
        answer.once('end', () =>
          resolve({ status: answer.statusCode ?? 502, headers: answer.headers, body: Buffer.concat(chunks) }),
        );
      });
      outgoing.once('error', (error: NodeJS.ErrnoException) => {
        // The target had closed it for being idle: nothing was taken.
        if (outgoing.reusedSocket && error.code === 'ECONNRESET') this.#forward(incoming, body).then(resolve, reject);
        else reject(error);
      });
      outgoing.end(body);
    });
  }
}
