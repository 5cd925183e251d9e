import { expect, test } from 'vitest';
import { Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;
const RECORDS = 40;

interface Rejected {
  readonly dirty: { readonly rejected: number };
  readonly rejected?: readonly {
    readonly key: { readonly id: string };
    readonly target: string;
    readonly cause: string;
  }[];
}

test('every key that a store rejects is named, until what is wrong with it is mended', {
  timeout: 180_000,
}, async () => {
  await using project = Project.create();
  project.seed(RECORDS);
  const wrong = Array.from({ length: 12 }, (_, i) => `seed-${i * 3}`);
  const fresh = project.database('new');
  fresh.exec(`CREATE TRIGGER taste BEFORE INSERT ON events WHEN NEW.id IN (${wrong.map((id) => `'${id}'`).join(', ')})
    AND NEW.body LIKE '%xxx%' BEGIN SELECT RAISE(ABORT, 'no'); END`);
  fresh.close();
  for (const call of [
    ['prepare', 'events'],
    ['accept', 'events', 'trigger:taste', '--side', 'new', ...WHY],
    ['set', 'events', 'no-outside-writers', 'yes', ...WHY],
    ['set', 'events', 'dual-write', 'all', ...WHY],
  ]) {
    expect(await project.move(...call)).toMatchObject({ code: 0 });
  }
  const backfill = await project.run('backfill', 'events', ...WHY);
  expect(backfill.stdout).toContain('changeover status events --rejected');

  const few = await project.run('status', 'events');
  expect(few.stdout.match(/the new store says/g)).toHaveLength(5);
  expect(few.stdout).toContain('changeover status events --rejected');
  const all = await project.run('status', 'events', '--rejected');
  for (const id of wrong) expect(all.stdout).toContain(`id="${id}": the new store says`);
  expect((await project.json<Rejected>('status', 'events')).data.rejected).toBeUndefined();
  const { data } = await project.json<Rejected>('status', 'events', '--rejected');
  expect(data.rejected?.map(({ key }) => key.id).sort()).toEqual([...wrong].sort());
  expect(data.rejected?.every(({ target, cause }) => target === 'new' && cause !== '')).toBe(true);

  const old = project.database('old');
  old.exec(`UPDATE events SET body = '{"n":1}' WHERE id IN (${wrong.map((id) => `'${id}'`).join(', ')})`);
  old.close();
  expect(await project.move('repair', 'events', ...WHY)).toMatchObject({ code: 0 });
  expect((await project.json<Rejected>('status', 'events', '--rejected')).data).toMatchObject({
    dirty: { rejected: 0 },
    rejected: [],
  });
});
