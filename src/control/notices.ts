import type { ReplayRow } from './replay-row.ts';
import type { HistoryRow, NoticeRow, Transaction } from './storage.ts';

/** What a webhook has not been told yet of a migration. */
export interface Notice {
  readonly migration: string;
  /** Oldest first. */
  readonly history: readonly HistoryRow[];
  /** Records that differ now, and when it was told last. */
  readonly divergences: number;
  readonly toldDivergences: number;
  /** Replays under way at which nobody has worked for a while. */
  readonly stuck: readonly ReplayRow[];
  /** What to say when it has been told: see {@link settleNotice}. */
  readonly upTo: number;
}

export interface NoticeHold {
  /** Digest of the webhook's address: the address itself is a secret. */
  readonly hook: string;
  readonly runner: string;
}

/** More than this is told in the next round. */
const MOST_LINES = 50;
/** Nobody has worked for so long at a replay that is under way. */
const STUCK_MS = 60_000;

/** What there is to tell, without the lease to do so. */
export async function openNotices(tx: Transaction, hold: NoticeHold, now: number): Promise<readonly Notice[]> {
  const notices: Notice[] = [];
  for (const { name } of await tx.select('migrations', {})) {
    const [row] = await tx.select('notices', { hook: hold.hook, migration: name });
    if (row === undefined) {
      // A webhook that is new is told what happens from now on.
      const [newest] = await tx.select('history', { migration: name }, { orderBy: 'id', descending: true, limit: 1 });
      notices.push({ ...NOTHING_TOLD, migration: name, upTo: newest?.id ?? 0 });
      continue;
    }
    if (row.runner !== null && row.runner !== hold.runner && row.leaseUntil > now) continue;
    const notice = await noticeOf(tx, row, now);
    if (notice !== null) notices.push(notice);
  }
  return notices;
}

const NOTHING_TOLD = { history: [], divergences: 0, toldDivergences: 0, stuck: [] } as const;

async function noticeOf(tx: Transaction, row: NoticeRow, now: number): Promise<Notice | null> {
  const { migration } = row;
  const where = { migration, id: { gt: row.upTo } };
  const history = await tx.select('history', where, { orderBy: 'id', limit: MOST_LINES });
  const divergences = await tx.count('divergences', { migration });
  const running = await tx.select('replays', { migration, state: 'running' });
  const stuck: ReplayRow[] = [];
  for (const replay of running) {
    if (row.stuck.includes(replay.id) || replay.paused || now - replay.leaseUntil < STUCK_MS) continue;
    const shares = await tx.select(
      'replay_partitions',
      { replay: replay.id, leaseUntil: { gt: now - STUCK_MS } },
      { limit: 1 },
    );
    if (shares.length === 0 && now - replay.startedAt >= STUCK_MS) stuck.push(replay);
  }
  if (history.length === 0 && divergences === row.divergences && stuck.length === 0) return null;
  const upTo = history.at(-1)?.id ?? row.upTo;
  return { migration, history, divergences, toldDivergences: row.divergences, stuck, upTo };
}

/** The same, for whoever tells it: nobody else does until the lease is over. */
export async function takeNotices(
  tx: Transaction,
  hold: NoticeHold,
  leaseMs: number,
  now: number,
): Promise<readonly Notice[]> {
  const notices = await openNotices(tx, hold, now);
  for (const { migration, upTo } of notices) {
    const where = { hook: hold.hook, migration };
    const lease = { runner: hold.runner, leaseUntil: now + leaseMs };
    if ((await tx.update('notices', where, lease)) > 0) continue;
    await tx.insert('notices', { id: 0, ...where, upTo, divergences: 0, stuck: [], ...lease });
  }
  return notices;
}

/** It has been told. Where the lease was lost meanwhile, somebody else tells it again: twice is better than never. */
export async function settleNotice(tx: Transaction, hold: NoticeHold, notice: Notice): Promise<void> {
  const where = { hook: hold.hook, migration: notice.migration };
  const [row] = await tx.select('notices', where);
  if (row === undefined || row.runner !== hold.runner) return;
  const running = await tx.select('replays', { migration: notice.migration, state: 'running' });
  const told = new Set([...row.stuck, ...notice.stuck.map(({ id }) => id)]);
  await tx.update('notices', where, {
    upTo: Math.max(row.upTo, notice.upTo),
    divergences: notice.divergences,
    stuck: running.map(({ id }) => id).filter((id) => told.has(id)),
    runner: null,
    leaseUntil: 0,
  });
}
