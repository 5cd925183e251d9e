import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Stage } from '../../src/core/stage.ts';
import { InvalidConfiguration, InvalidRecord, OutcomeUnknown, UnknownMigration } from '../../src/index.ts';
import type { Operation, OperationDefinition } from '../../src/repository/operation.ts';
import { type MemoryService, startService, until } from '../support/memory-service.ts';

const STAGES: readonly Stage[] = ['off', 'dualwrite', 'shadow', 'live', 'rampdown', 'complete'];

interface Input {
  text: string;
}

/** A pair of functions that log what they are asked, in order. */
function pairOf(log: string[], kind: string) {
  const side = (name: string) => async (input: Input) => {
    log.push(`${name} ${kind} ${input.text}`);
    return { from: name, hits: [input.text] };
  };
  return { old: side('old'), new: side('new') };
}

type Loose = Operation<Input, unknown, Input, unknown>;

const operate = (service: MemoryService, definition: OperationDefinition<Input, unknown, Input, unknown>): Loose =>
  service.changeover.operation('items', definition);

const compared = async (service: MemoryService) => (await service.operations.plane.status('items')).shadow;
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/*
 * LaunchDarkly's migration flags, as their documentation states them ("Multi-stage migrations", server SDKs): which
 * origin is read and written in each of the six stages; writes go to the authoritative origin first and to the other one
 * only if that succeeded; a failure of the non-authoritative origin is never the caller's; reads of shadow and live ask
 * both and are checked for consistency, and the caller gets the authoritative answer.
 */
describe('held against the published behaviour of LaunchDarkly’s migrations', () => {
  const PUBLISHED: Readonly<
    Record<Stage, { readonly reads: string[]; readonly authoritative: string; readonly writes: string[] }>
  > = {
    off: { reads: ['old'], authoritative: 'old', writes: ['old'] },
    dualwrite: { reads: ['old'], authoritative: 'old', writes: ['old', 'new'] },
    shadow: { reads: ['old', 'new'], authoritative: 'old', writes: ['old', 'new'] },
    live: { reads: ['old', 'new'], authoritative: 'new', writes: ['new', 'old'] },
    rampdown: { reads: ['new'], authoritative: 'new', writes: ['new', 'old'] },
    complete: { reads: ['new'], authoritative: 'new', writes: ['new'] },
  };

  test('each stage reads and writes the origins that it should, the authoritative one first, and answers with it', async () => {
    await using service = await startService();
    for (const stage of STAGES) {
      await service.to(stage);
      const log: string[] = [];
      const operation = operate(service, {
        read: pairOf(log, 'read'),
        write: pairOf(log, 'write'),
        compare: () => true,
      });
      const published = PUBLISHED[stage];
      expect(await operation.read('ada', { text: 'a' }), stage).toMatchObject({ from: published.authoritative });
      await until(() => log.length >= published.reads.length);
      await tick();
      expect([...log].sort(), stage).toStrictEqual(published.reads.map((side) => `${side} read a`).sort());
      log.length = 0;
      expect(await operation.write('ada', { text: 'b' }), stage).toMatchObject({ from: published.authoritative });
      await until(() => log.length >= published.writes.length);
      await tick();
      expect(log, stage).toStrictEqual(published.writes.map((side) => `${side} write b`));
    }
  });

  test.each([
    ['rejects', async () => Promise.reject(new RangeError('mine'))],
    [
      'throws',
      () => {
        throw new RangeError('mine');
      },
    ],
  ])(
    'an authoritative write that %s stops: its error is the caller’s, and the other origin is not written',
    async (_, fail) => {
      await using service = await startService();
      for (const stage of STAGES) {
        await service.to(stage);
        const log: string[] = [];
        const pair = pairOf(log, 'write');
        const operation = operate(service, { write: { ...pair, [PUBLISHED[stage].authoritative]: fail } });
        await expect(operation.write('ada', { text: 'b' }), stage).rejects.toThrow(RangeError);
        await tick();
        expect(log, stage).toStrictEqual([]);
      }
    },
  );

  test.each([
    ['rejects', async () => Promise.reject(new RangeError('mine'))],
    [
      'throws',
      () => {
        throw new RangeError('mine');
      },
    ],
    ['never answers', () => new Promise<never>(() => {})],
  ])('an origin without authority that %s is nobody’s error, written or read', async (_, fail) => {
    await using service = await startService({ settings: { mirrorTimeoutMs: 30, operationTimeoutMs: 200 } });
    for (const stage of ['dualwrite', 'shadow', 'live', 'rampdown'] as const) {
      await service.to(stage);
      const log: string[] = [];
      const other = PUBLISHED[stage].authoritative === 'old' ? 'new' : 'old';
      const operation = operate(service, {
        read: { ...pairOf(log, 'read'), [other]: fail },
        write: { ...pairOf(log, 'write'), [other]: fail },
      });
      expect(await operation.write('ada', { text: 'b' }), stage).toMatchObject({ hits: ['b'] });
      expect(await operation.read('ada', { text: 'a' }), stage).toMatchObject({ hits: ['a'] });
    }
  });

  test('an authoritative read that fails is the caller’s error, in every stage', async () => {
    await using service = await startService();
    for (const stage of STAGES) {
      await service.to(stage);
      const fail = async () => Promise.reject(new RangeError('mine'));
      const operation = operate(service, { read: { ...pairOf([], 'read'), [PUBLISHED[stage].authoritative]: fail } });
      await expect(operation.read('ada', { text: 'a' }), stage).rejects.toThrow(RangeError);
    }
  });

  test('the answers of both are compared where both are read, and nowhere else', async () => {
    await using service = await startService();
    const seen: unknown[] = [];
    for (const stage of STAGES) {
      await service.to(stage);
      const operation = operate(service, {
        read: pairOf([], 'read'),
        compare: (old, fresh) => {
          seen.push([stage, (old as { from: string }).from, (fresh as { from: string }).from]);
          return true;
        },
      });
      await operation.read('ada', { text: 'a' });
      if (PUBLISHED[stage].reads.length === 2) await until(() => seen.some((line) => (line as string[])[0] === stage));
      await tick();
    }
    expect(seen).toStrictEqual([
      ['shadow', 'old', 'new'],
      ['live', 'old', 'new'],
    ]);
  });
});

describe('a compared read', () => {
  test('counts as divergent where the answers differ, by value unless told otherwise', async () => {
    await using service = await startService();
    await service.to('shadow');
    const equal = async () => ({ hits: ['a', new Date(0)], total: 1 });
    const same = operate(service, { read: { old: equal, new: async () => ({ total: 1, hits: ['a', new Date(0)] }) } });
    await same.read('ada', { text: 'a' });
    await until(async () => (await compared(service)).compared === 1, 'the first comparison');
    expect((await compared(service)).divergent).toBe(0);
    const apart = operate(service, { read: { old: equal, new: async () => ({ hits: ['a'], total: 1 }) } });
    await apart.read('ada', { text: 'a' });
    await until(async () => (await compared(service)).compared === 2, 'the second comparison');
    expect((await compared(service)).divergent).toBe(1);
  });

  test.each([
    ['a promise of true', async () => true],
    ['a word', () => 'equal'],
    ['nothing', () => undefined],
    ['1', () => 1],
  ])('whose compare function returns %s is not equal', async (_, compare) => {
    await using service = await startService();
    await service.to('shadow');
    const operation = operate(service, { read: pairOf([], 'read'), compare: compare as never });
    await operation.read('ada', { text: 'a' });
    await until(async () => (await compared(service)).compared === 1, 'the comparison');
    expect((await compared(service)).divergent).toBe(1);
  });

  test('whose compare function throws changes nothing for the caller', async () => {
    await using service = await startService();
    await service.to('shadow');
    const operation = operate(service, {
      read: pairOf([], 'read'),
      compare: () => {
        throw new RangeError('mine');
      },
    });
    expect(await operation.read('ada', { text: 'a' })).toMatchObject({ from: 'old' });
  });

  test('gives the caller its answer although nothing can copy it for the comparison', async () => {
    await using service = await startService();
    const answer = { cursor: new Map([['a', 1]]), next: () => 1 };
    const operation = operate(service, { read: { old: async () => answer, new: async () => answer } });
    for (const stage of ['off', 'dualwrite', 'shadow', 'live', 'rampdown'] as const) {
      await service.to(stage);
      expect(await operation.read('ada', { text: 'a' }), stage).toBe(answer);
    }
  });

  test('answers as soon as the authority has, and before the other one has', async () => {
    await using service = await startService();
    await service.to('shadow');
    let release: (value: unknown) => void = () => {};
    const late = new Promise((resolve) => {
      release = resolve;
    });
    const operation = operate(service, { read: { ...pairOf([], 'read'), new: () => late } });
    expect(await operation.read('ada', { text: 'a' })).toMatchObject({ from: 'old' });
    release({ from: 'old', hits: ['a'] });
    await until(async () => (await compared(service)).compared === 1, 'the comparison');
    expect((await compared(service)).divergent).toBe(0);
  });

  test('is compared as it was answered, whatever the caller does to it', async () => {
    await using service = await startService();
    await service.to('shadow');
    const operation = operate(service, {
      read: { old: async () => ({ hits: ['a'] }), new: async () => ({ hits: ['a'] }) },
    });
    const answer = (await operation.read('ada', { text: 'a' })) as { hits: string[] };
    answer.hits.push('mine');
    await until(async () => (await compared(service)).compared === 1, 'the comparison');
    expect((await compared(service)).divergent).toBe(0);
  });
});

describe('the input', () => {
  test('is a copy of its own for each side: what one does to it, neither the other nor the caller sees', async () => {
    await using service = await startService();
    for (const stage of ['off', 'shadow', 'live', 'complete'] as const) {
      await service.to(stage);
      const seen: string[] = [];
      const spoil = async (input: Input) => {
        seen.push(input.text);
        input.text = 'spoilt';
        return 1;
      };
      const operation = operate(service, { read: { old: spoil, new: spoil }, write: { old: spoil, new: spoil } });
      const sides = stage === 'shadow' || stage === 'live' ? 2 : 1;
      const input = { text: 'mine' };
      await operation.read('ada', input);
      await until(() => seen.length === sides);
      await operation.write('ada', input);
      await until(() => seen.length === 2 * sides);
      expect(seen, stage).toStrictEqual(new Array(2 * sides).fill('mine'));
      expect(input, stage).toStrictEqual({ text: 'mine' });
    }
  });

  test('that cannot be copied is refused in every stage, not from dual-write on', async () => {
    await using service = await startService();
    const operation = operate(service, { write: { old: async () => 1, new: async () => 1 } });
    const input = { text: 'a', done: () => 1 };
    for (const stage of ['off', 'dualwrite'] as const) {
      await service.to(stage);
      await expect(operation.write('ada', input), stage).rejects.toBeInstanceOf(InvalidRecord);
    }
  });
});

describe('a write without an answer', () => {
  test.each(['off', 'dualwrite', 'live'] as const)(
    'is OutcomeUnknown, is not sent again and not mirrored in the stage %s',
    async (stage) => {
      await using service = await startService({ settings: { operationTimeoutMs: 30 } });
      await service.to(stage);
      const lead = service.items.route('ada').authority;
      const log: string[] = [];
      let calls = 0;
      const hang = () => {
        calls += 1;
        return new Promise<never>(() => {});
      };
      const operation = operate(service, { write: { ...pairOf(log, 'write'), [lead]: hang } });
      await expect(operation.write('ada', { text: 'b' })).rejects.toBeInstanceOf(OutcomeUnknown);
      await tick();
      expect(calls).toBe(1);
      expect(log).toStrictEqual([]);
    },
  );

  test('holds up an acknowledgement until it has ended, and then no longer', async () => {
    await using service = await startService();
    await service.to('dualwrite');
    let release: () => void = () => {};
    const open = new Promise<void>((resolve) => {
      release = resolve;
    });
    const operation = operate(service, { write: { old: () => open, new: async () => undefined } });
    const writing = operation.write('ada', { text: 'b' });
    const { revision } = await service.operations.plane.changeSettings(
      'items',
      { shadowSample: 1 },
      { actor: 'a', reason: 'b' },
    );
    const behind = async () => (await service.operations.plane.behind('items', revision)).length;
    await until(async () => service.items.route('ada').revision === revision, 'the revision');
    expect(await behind()).toBe(1);
    release();
    await writing;
    await until(async () => (await behind()) === 0, 'the acknowledgement');
  });
});

describe('an operation', () => {
  test('waits for its mirror while the new store leads, and not while the old one does', async () => {
    await using service = await startService();
    for (const [stage, waits] of [
      ['dualwrite', false],
      ['live', true],
    ] as const) {
      await service.to(stage);
      let release: () => void = () => {};
      const open = new Promise<void>((resolve) => {
        release = resolve;
      });
      const follower = stage === 'live' ? 'old' : 'new';
      const operation = operate(service, { write: { ...pairOf([], 'write'), [follower]: () => open } });
      let answered = false;
      const writing = operation.write('ada', { text: 'b' }).then(() => {
        answered = true;
      });
      for (let i = 0; i < 5; i += 1) await tick();
      expect(answered, stage).toBe(!waits);
      release();
      await writing;
    }
  });

  test('routes each unit by its own position', async () => {
    await using service = await startService();
    await service.cover();
    await service.set('cutover', 50_000);
    const operation = operate(service, { read: pairOf([], 'read') });
    for (let n = 0; n < 20; n += 1) {
      const { authority } = service.items.route(`user-${n}`);
      expect(await operation.read(`user-${n}`, { text: 'a' })).toMatchObject({ from: authority });
    }
  });

  test('takes functions that answer at once', async () => {
    await using service = await startService();
    await service.to('shadow');
    const operation = operate(service, { read: { old: () => 1, new: () => 1 }, write: { old: () => 2, new: () => 2 } });
    expect([await operation.read('ada', { text: '' }), await operation.write('ada', { text: '' })]).toStrictEqual([
      1, 2,
    ]);
  });

  test('needs both functions of a pair, the pair that is called, and a migration that exists', async () => {
    await using service = await startService();
    expect(() => operate(service, { read: { old: async () => 1 } as never })).toThrow(InvalidConfiguration);
    const reading = operate(service, { read: { old: async () => 1, new: async () => 1 } });
    await expect(reading.write('ada', { text: 'a' })).rejects.toBeInstanceOf(InvalidConfiguration);
    expect(() => service.changeover.operation('gone' as 'items', {})).toThrow(UnknownMigration);
    await expect(reading.read({ id: '1' }, { text: 'a' })).rejects.toBeInstanceOf(InvalidRecord);
  });
});

describe('a promise that nobody asked for', () => {
  /** Node ends a process whose rejection nobody handles; vitest would blame the run instead of the test. */
  const run = async (body: string): Promise<string> => {
    const support = new URL('../support/memory-service.ts', import.meta.url).href;
    const code = `import { item, startService, until } from ${JSON.stringify(support)};
      process.on('unhandledRejection', () => { console.log('unhandled'); process.exit(1); });
      const service = await startService();
      ${body}
      await new Promise((resolve) => setImmediate(resolve));
      await service[Symbol.asyncDispose]();
      console.log('handled');
      process.exit(0);`;
    const answer = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', code]).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    return answer.stdout.trim() || answer.stderr;
  };

  test('and that rejects does not end the process, out of an update', async () => {
    expect(
      await run(
        "await service.items.update({ user: 'ada', id: '1' }, async () => { throw new Error('late'); }).catch(() => {});",
      ),
    ).toBe('handled');
  });

  test('and that rejects does not end the process, out of a compare function', async () => {
    const body = `await service.to('shadow');
      const operation = service.changeover.operation('items', {
        read: { old: async () => 1, new: async () => 1 },
        compare: async () => { throw new Error('late'); },
      });
      await operation.read('ada', 1);
      await until(async () => (await service.operations.plane.status('items')).shadow.compared === 1);`;
    expect(await run(body)).toBe('handled');
  });
});
