import type { Finding } from '../../src/core/store.ts';

type Kind = Finding['kind'];

/** Good to know. */
export const info = (kind: Kind, name: string, message: string): Finding => ({
  name: `${kind}:${name}`,
  kind,
  level: 'info',
  message,
  remedy: '',
});

/** A mirrored write may be refused or changed because of it. */
export const risk = (kind: Kind, name: string, message: string, remedy: string): Finding => ({
  ...info(kind, name, message),
  level: 'risk',
  remedy,
});

/** It cannot work like this. */
export const problem = (kind: Kind, name: string, message: string, remedy: string): Finding => ({
  ...info(kind, name, message),
  level: 'problem',
  remedy,
});

/** Names are unique: what is there twice under one name gets a number. */
export function withUniqueNames(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Map<string, number>();
  return findings.map((finding) => {
    const times = (seen.get(finding.name) ?? 0) + 1;
    seen.set(finding.name, times);
    return times === 1 ? finding : { ...finding, name: `${finding.name}#${times}` };
  });
}
