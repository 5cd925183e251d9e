import { memory } from '/work/main/adapters/memory/index.ts';
import { systemClock } from '/work/main/src/core/clock.ts';
import { identityCodec } from '/work/main/src/core/store.ts';
import { entryOf, KEYS, optionsFor, stampAgo } from '/work/main/test/verify/data-set.ts';
import { verifyStores } from '/work/main/verify/full-scan.ts';

const N = Number(process.argv[2] ?? 200_000);
const budget = Number(process.argv[3] ?? 64) * 1024 * 1024;
const wrong = Number(process.argv[4] ?? 0);
const def = { old: memory(), new: memory() };
const stamp = stampAgo(systemClock, 600);
for (const s of ['old', 'new'] as const) {
  def[s].database.prepared = true;
  for (let i = 0; i < N; i += 1)
    def[s].database.load([
      entryOf(`user-${i % 1000}`, `event-${i}`, stamp, {
        type: 'push',
        at: new Date(1e12 + i),
        n: i,
        ok: true,
        repository: { id: i * 7, name: 'octo/hello-world', owner: { login: 'octocat', id: 1 } },
        commits: [{ sha: '0123456789abcdef0123456789abcdef01234567', message: 'fix the thing that was broken' }],
        tags: ['a', 'b', 'c'],
        url: 'https://api.github.com/repos/octo/hello-world/commits/0123456789',
      }),
    ]);
}
if (wrong)
  for (let i = 0; i < wrong; i++)
    def.new.database.load([entryOf(`user-${(i * 97) % 1000}`, `event-${i * 97}`, stamp, { n: -1 })]);
const make = (side: 'old' | 'new') =>
  def[side].create({ migration: 'm', side, keys: KEYS, codec: identityCodec, clock: systemClock });
const stores = { old: await make('old'), new: await make('new') } as never;
let peak = 0;
// raw scan for comparison
for (let r = 0; r < 3; r += 1) {
  let t = performance.now();
  for (const side of ['old', 'new'] as const)
    for (const p of await (stores as any)[side].partitions(4))
      for await (const page of (stores as any)[side].scan(p, { pageSize: 1000 })) void page;
  const raw = performance.now() - t;
  globalThis.gc?.();
  const before = process.memoryUsage();
  t = performance.now();
  const timer = setInterval(() => {
    const m = process.memoryUsage();
    peak = Math.max(peak, m.rss - before.rss);
  }, 20);
  const report = await verifyStores({ ...optionsFor(systemClock, stores), memoryBudgetBytes: budget, recheckMs: [10] });
  clearInterval(timer);
  const ms = performance.now() - t;
  console.log(
    report.verdict,
    JSON.stringify(report.counts),
    JSON.stringify(report.scanned),
    `${Math.round(ms)} ms, ${Math.round(N / ms)}k/s a side; raw scan of both ${Math.round(raw)} ms = ${Math.round(N / raw)}k/s; peak rss +${Math.round(peak / 1e6)} MB`,
  );
}
