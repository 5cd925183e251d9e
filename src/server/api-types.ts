/** What the HTTP API answers, for its clients: the console and scripts. */
export type { BackfillOptions, ReplayProgress, ReplaySummary } from '../control/backfill.ts';
export type { DivergencePage } from '../control/lists.ts';
export type { AcknowledgementView, EmergencyOutlook, LineView, MoveShare } from '../control/outlook.ts';
export type { Revealed } from '../control/reveal.ts';
export type { Points, Series, SeriesMark, Span, StoreSeries } from '../control/series.ts';
export type { MigrationStatus, ReplayStatus } from '../control/status.ts';
export type { DirtRow, DivergenceRow, Role } from '../control/storage.ts';
export type { TokenInfo } from '../control/tokens.ts';
export type { VerificationLine } from '../control/verification-reports.ts';
export type { GateVerdict } from '../core/errors.ts';
export type { RulesetDocument } from '../core/ruleset.ts';
export type { HistoryChange, HistoryLine } from './history-lines.ts';
export type { Job, JobKind, JobState } from './jobs.ts';
export type { FleetLine, MigrationOverview } from './migration-routes.ts';
export type { MoveOutcome, MovePreview } from './move-routes.ts';
export type { MigrationDescription } from './operations.ts';
export type { Problem } from './problem.ts';
export type { SessionInfo, SignInOptions } from './session-routes.ts';
