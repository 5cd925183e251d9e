import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** `chg_<id>_<secret>`: the id finds the row, the secret of 256 random bits is compared. */
const FORM = /^chg_(\d{1,15})_([A-Za-z0-9_-]{43})$/;

export interface TokenText {
  readonly id: number;
  readonly secret: string;
}

export function parseToken(text: string): TokenText | null {
  const match = FORM.exec(text);
  return match === null ? null : { id: Number(match[1]), secret: match[2] as string };
}

/** A new secret and what is stored of it. */
export function newSecret(): { readonly secret: string; readonly hash: string } {
  const secret = randomBytes(32).toString('base64url');
  return { secret, hash: hashOf(secret) };
}

export const tokenText = (id: number, secret: string): string => `chg_${id}_${secret}`;

export const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** In a time that says nothing about where they differ. */
export function sameHash(secret: string, hash: string): boolean {
  const given = createHash('sha256').update(secret).digest();
  const stored = Buffer.from(hash, 'hex');
  return stored.length === given.length && timingSafeEqual(given, stored);
}
