import { randomBytes } from 'node:crypto';

/** A password for one run: other users of this host can reach 127.0.0.1 too. */
export const secret = (): string => randomBytes(12).toString('hex');
