import { AsyncLocalStorage } from 'node:async_hooks';
import { type Context, type ContextManager, context, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { item, type MemoryService, startService, until } from '../support/memory-service.ts';

/** What a service's SDK brings: the active span follows promises and timers. */
class AsyncContext implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active = (): Context => this.#storage.getStore() ?? ROOT_CONTEXT;
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    within: Context,
    run: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(within, () => run.apply(self, args));
  }
  bind<T>(_: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
const tracer = provider.getTracer('test');

beforeAll(() => {
  context.setGlobalContextManager(new AsyncContext());
});
afterEach(() => exporter.reset());
afterAll(async () => {
  context.disable();
  await provider.shutdown();
});

/** Does something within a span of the caller. @returns that span's trace and id, and what was answered */
async function called<T>(name: string, run: () => Promise<T>) {
  return tracer.startActiveSpan(name, async (span) => {
    try {
      return { ...span.spanContext(), answer: await run() };
    } finally {
      span.end();
    }
  });
}

const calls = (role?: string): readonly ReadableSpan[] =>
  exporter
    .getFinishedSpans()
    .filter(({ name }) => name.startsWith('changeover '))
    .filter(({ attributes }) => role === undefined || attributes['changeover.role'] === role);

const ended = (role: string, count: number) => until(() => calls(role).length === count, `${count} spans of ${role}`);

const linksOf = (span: ReadableSpan | undefined) => span?.links.map((link) => link.context.spanId);

const started = (): Promise<MemoryService> =>
  startService({ tracer, settings: { shadowRecheckMs: [1], mirrorConcurrency: 1, mirrorTimeoutMs: 20_000 } });

describe('the spans of a service', () => {
  test('are children of the caller where it waits, and only linked to it where they outlive it', async () => {
    await using service = await started();
    await service.to('shadow');
    const write = await called('write', () => service.items.put(item('ada', '1', 4711)));
    await ended('mirror', 1);
    const [lead] = calls('lead');
    const [mirror] = calls('mirror');
    expect(lead).toMatchObject({
      name: 'changeover putIfNewer',
      parentSpanContext: { spanId: write.spanId },
      links: [],
      attributes: {
        'changeover.migration': 'items',
        'changeover.store': 'old',
        'changeover.call': 'putIfNewer',
        'changeover.stage': 'shadow',
        'changeover.role': 'lead',
        'changeover.outcome': 'applied',
      },
    });
    expect(mirror?.attributes).toMatchObject({ 'changeover.store': 'new', 'changeover.outcome': 'applied' });
    expect(mirror?.parentSpanContext).toBe(undefined);
    expect(mirror?.spanContext().traceId).not.toBe(write.traceId);
    expect(linksOf(mirror)).toEqual([write.spanId]);

    const read = await called('read', () => service.items.get({ user: 'ada', id: '1' }));
    await ended('shadow', 1);
    const [shadow] = calls('shadow');
    expect(calls('lead')[1]).toMatchObject({
      name: 'changeover get',
      parentSpanContext: { spanId: read.spanId },
      attributes: { 'changeover.outcome': 'found' },
    });
    expect(shadow?.attributes).toMatchObject({ 'changeover.store': 'new', 'changeover.call': 'get' });
    expect(shadow?.parentSpanContext).toBe(undefined);
    expect(linksOf(shadow)).toEqual([read.spanId]);
    // Neither keys nor values, whoever looks for them.
    expect(JSON.stringify(calls().map(({ attributes, events, name }) => [attributes, events, name]))).not.toMatch(
      /ada|4711/,
    );
  });

  test('of mirrors that wait in the queue name their own caller, not whoever let them go', async () => {
    await using service = await started();
    await service.to('dualwrite');
    // One at a time, and the first fails once: each begins in the context of the one before it.
    let failed = false;
    service.faults.new = ({ op }) => {
      if (op !== 'putIfNewer' || failed) return undefined;
      failed = true;
      return { kind: 'fail' };
    };
    const callers = await Promise.all(
      [1, 2, 3].map((n) => called(`write ${n}`, () => service.items.put(item('ada', String(n), n)))),
    );
    await ended('mirror', 4);
    const links = calls('mirror').map((span) => linksOf(span)?.[0]);
    expect([...new Set(links)].sort()).toEqual(callers.map(({ spanId }) => spanId).sort());
    expect(new Set(calls('mirror').map((span) => span.spanContext().traceId)).size).toBe(4);
    const [first] = calls('mirror');
    expect(first).toMatchObject({
      attributes: { 'changeover.outcome': 'failed', 'error.type': 'STORE_FAULT' },
      status: { code: SpanStatusCode.ERROR },
      events: [],
    });
    expect(links.filter((link) => link === linksOf(first)?.[0])).toHaveLength(2);
  });

  test('of rechecks read both stores and belong to the shadow read', async () => {
    await using service = await started();
    await service.to('shadow');
    service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'fail' } : undefined);
    await service.items.put(item('ada', '1'));
    exporter.reset();
    const read = await called('read', () => service.items.getMany([{ user: 'ada', id: '1' }]));
    // The follower, which never gets the record, then both again.
    await ended('shadow', 3);
    const sides = calls('shadow').map(({ attributes }) => attributes['changeover.store']);
    expect(sides).toEqual(['new', 'old', 'new']);
    for (const span of calls('shadow')) {
      expect(span.parentSpanContext).toBe(undefined);
      expect(linksOf(span)).toEqual([read.spanId]);
    }
    const lead = calls('lead').filter(({ name }) => name === 'changeover getMany');
    expect(lead.map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual([read.spanId]);
  });

  test('of a caller without a span link to the call that its answer came from', async () => {
    await using service = await started();
    await service.to('shadow');
    expect(trace.getActiveSpan()).toBe(undefined);
    await service.items.create(item('ada', '1'));
    await ended('mirror', 1);
    const [lead] = calls('lead');
    expect(lead?.attributes['changeover.call']).toBe('compareAndSet');
    expect(lead?.parentSpanContext).toBe(undefined);
    expect(linksOf(calls('mirror')[0])).toEqual([lead?.spanContext().spanId]);
  });

  test('tell which store leads after a cutover, and of an update all that it did', async () => {
    await using service = await started();
    await service.to('live');
    const update = await called('update', async () => {
      await service.items.put(item('ada', '1'));
      await service.items.update({ user: 'ada', id: '1' }, (record) => record && { ...record, n: 2 });
    });
    await ended('mirror', 2);
    const lead = calls('lead').map(({ attributes, parentSpanContext }) => [
      attributes['changeover.call'],
      attributes['changeover.store'],
      parentSpanContext?.spanId,
    ]);
    const { spanId } = update;
    expect(lead).toEqual([
      ['putIfNewer', 'new', spanId],
      ['get', 'new', spanId],
      ['compareAndSet', 'new', spanId],
    ]);
    expect(calls('mirror').every(({ attributes }) => attributes['changeover.store'] === 'old')).toBe(true);
  });

  test('are none where nobody asked for them', async () => {
    await using service = await startService();
    await service.to('shadow');
    await called('write', () => service.items.put(item('ada', '1')));
    expect(calls()).toEqual([]);
  });
});
