import type { Settings } from '../core/settings.ts';

/** What each setting does, in the words of `changeover set --help` and of docs/settings.md. */
export const SETTING_MEANING: Readonly<Record<keyof Settings, string>> = {
  mirrorToNew: 'while the old store leads, whether callers wait for the write to the new one',
  mirrorToOld:
    'while the new store leads, whether callers wait for the write to the old one; detached risks the newest writes of a way back',
  followerLimits:
    'a record that only the store that follows cannot hold is listed as rejected (mark), or the caller gets the error (refuse)',
  putTimeoutMs: 'how long one write may take at the store that leads',
  operationTimeoutMs: 'how long a caller waits in all before STORE_UNAVAILABLE or OUTCOME_UNKNOWN',
  mirrorTimeoutMs: 'how long a write to the store that follows may take before its key is dirty',
  mirrorConcurrency: 'how many of these a process has under way at once',
  mirrorQueueLimit: 'how many wait in a process; more are shed, and their keys dirty',
  acknowledgeGraceMs: 'how long they may hold up the acknowledgement of a move before their keys are dirty instead',
  holdTimeoutMs: 'how long a write waits for a handover before HANDOVER_IN_PROGRESS',
  holdQueueLimit: 'how many writes of a process may wait so; more fail at once',
  breakerFailures:
    'after so many failures in a row a process stops writing to the store that follows, and marks as dirty',
  breakerResetMs: 'for so long, before it tries again',
  shadowSample: 'the share of reads that are compared where shadow-read is on',
  shadowConcurrency: 'how many comparisons a process has under way at once; more are left out',
  shadowRecheckMs: 'the waits before a difference is looked at again; one that outlives all is a divergence',
  replayConcurrency: 'backfill and repair: records on their way to the store at once, in a process',
  replayRate: 'backfill and repair: records a second, in all processes together',
  replayLatencyBudgetMs: 'backfill and repair: less at once while a batch takes longer',
  replayTrafficBudgetMs: "backfill and repair: slower while the p99 of the services' own calls is above",
  replayLagBudgetMs: 'backfill and repair: slower while the slowest replica is further behind; 0 leaves replicas alone',
  verificationTtlMs: 'how long a verdict counts for the gates',
  verification: 'which verdicts satisfy the gate: of everything, only those of verify --prove, or of a sample too',
  noOutsideWriters: 'your word that nobody writes to the stores but through the repository; dual-write asks for it',
};
