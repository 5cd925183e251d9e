import { canonicalHash } from '../core/canonical.ts';
import type { StandardSchema } from '../repository/schema.ts';

/** What newer libraries offer beside validation (standardschema.dev). */
interface WithJsonSchema {
  readonly jsonSchema?: { readonly input?: (options: { readonly target: string }) => unknown };
}

/**
 * Names what a schema demands: by the version that the configuration gives it, by its JSON Schema where its library can
 * tell, or else by the text of its validating function. Nothing where there is neither schema nor version.
 */
export function schemaIdentity(schema: StandardSchema | undefined, version: string | undefined): readonly string[] {
  if (schema === undefined) return version === undefined ? [] : [canonicalHash(['version', version])];
  const { vendor, validate } = schema['~standard'];
  if (version !== undefined) return [canonicalHash([vendor, 'version', version])];
  return [canonicalHash([vendor, jsonSchemaOf(schema) ?? String(validate)])];
}

function jsonSchemaOf(schema: StandardSchema): string | null {
  try {
    const described = (schema['~standard'] as WithJsonSchema).jsonSchema?.input?.({ target: 'draft-2020-12' });
    return described === undefined ? null : JSON.stringify(described);
  } catch {
    // A schema may hold what JSON Schema has no words for.
    return null;
  }
}
