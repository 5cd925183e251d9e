/** What is wrong with a server that follows another one, and what helps. */
export const STANDBY = 'the server is a standby, not the primary: it takes no writes and its reads lag';
export const TO_THE_PRIMARY =
  'let the URL name a host that leads to the primary only (the driver heeds no `target_session_attrs`)';

/** Asked on each new connection: the reads of one that leads to a standby would miss writes that were acknowledged. */
export const IS_STANDBY = 'SELECT pg_is_in_recovery()::text AS standby';
