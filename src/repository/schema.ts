import { InvalidRecord } from '../core/errors.ts';

/** The part of a Standard Schema (standardschema.dev) that is used: zod, valibot, arktype and others have it. */
export interface StandardSchema {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult | Promise<StandardResult>;
  };
}

export type StandardResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

const MOST_ISSUES = 5;

/** The record as the schema gives it back. @throws InvalidRecord names the fields that do not fit. */
export function validateRecord<R extends object>(schema: StandardSchema | null, record: R): R {
  if (schema === null) return record;
  const result = schema['~standard'].validate(record);
  if ('then' in result) {
    result.catch(() => {});
    throw new InvalidRecord('the schema is asynchronous', { expected: 'a schema that validates synchronously' });
  }
  if (result.issues === undefined) return result.value as R;
  const issues = result.issues.slice(0, MOST_ISSUES).map(({ message, path = [] }) => {
    const steps = path.map((step) => String(typeof step === 'object' ? step.key : step));
    return `${steps.join('.') || 'record'}: ${message}`;
  });
  throw new InvalidRecord(`the record does not fit its schema: ${issues.join('; ')}`);
}
