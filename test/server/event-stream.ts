/** A server-sent event as it came. */
export interface StreamEvent {
  readonly id: string | null;
  readonly event: string;
  readonly data: Record<string, unknown> & { readonly revision?: number; readonly migration?: string };
}

/** What a browser's EventSource would hear, read by hand. */
export class EventStream {
  readonly status: number;
  readonly headers: Headers;
  readonly events: StreamEvent[] = [];
  /** True once the server has ended it. */
  ended = false;
  readonly #stop: AbortController;

  private constructor(response: Response, stop: AbortController) {
    this.status = response.status;
    this.headers = response.headers;
    this.#stop = stop;
    void this.#read(response.body as ReadableStream<Uint8Array>).finally(() => {
      this.ended = true;
    });
  }

  static async open(url: string, token: string, lastEventId?: string): Promise<EventStream> {
    const stop = new AbortController();
    const headers = {
      authorization: `Bearer ${token}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    };
    return new EventStream(await fetch(url, { headers, signal: stop.signal }), stop);
  }

  /** The revisions heard, as `items 2`. */
  get revisions(): readonly string[] {
    return this.events
      .filter(({ event }) => event === 'ruleset')
      .map(({ data }) => `${data.migration} ${data.revision}`);
  }

  get ready(): boolean {
    return this.events.some(({ event }) => event === 'ready');
  }

  get lastId(): string | undefined {
    return this.events.findLast(({ id }) => id !== null)?.id ?? undefined;
  }

  close(): void {
    this.#stop.abort();
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    let rest = '';
    try {
      for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
        const blocks = (rest + chunk).split('\n\n');
        rest = blocks.pop() as string;
        for (const block of blocks) this.#take(block);
      }
    } catch {
      // Closed by the test.
    }
  }

  #take(block: string): void {
    const fields = new Map(
      block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    );
    const data = fields.get('data');
    if (data === undefined) return;
    this.events.push({ id: fields.get('id') ?? null, event: fields.get('event') ?? 'message', data: JSON.parse(data) });
  }
}
