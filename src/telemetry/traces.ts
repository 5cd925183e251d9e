import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { ChangeoverError } from '../core/errors.ts';
import type { CallOrigin, MigrationTraces, TracedCall, Traces } from '../core/telemetry.ts';

export type { Tracer } from '@opentelemetry/api';

/** Whose call it was: the caller's span, or, where it has none, that of the lead itself. */
class Origin {
  readonly context: Context;
  readonly span: SpanContext;

  constructor(within: Context, span: SpanContext) {
    this.context = within;
    this.span = span;
  }
}

/** Spans by the OpenTelemetry API: where they go is the business of the SDK that made the tracer. */
export function openTelemetryTraces(tracer: Tracer): Traces {
  return {
    migration: (migration): MigrationTraces => ({
      storeCall(traced, run, began) {
        const within = contextOf(traced);
        const span = tracer.startSpan(
          `changeover ${traced.call}`,
          { kind: SpanKind.CLIENT, attributes: attributesOf(migration, traced), links: linksOf(traced) },
          within,
        );
        if (traced.origin === null) began(new Origin(within, trace.getSpanContext(within) ?? span.spanContext()));
        return settled(span, () => context.with(trace.setSpan(within, span), run));
      },
    }),
  };
}

const originOf = (origin: CallOrigin | null): Origin | null => (origin instanceof Origin ? origin : null);

/**
 * What outlives the caller has a trace of its own: its parent would have ended. What repeats a lead belongs to whoever
 * began it, wherever the repetition was called from.
 */
function contextOf({ role, origin }: TracedCall): Context {
  if (role !== 'lead') return trace.deleteSpan(originOf(origin)?.context ?? ROOT_CONTEXT);
  return originOf(origin)?.context ?? context.active();
}

function linksOf({ role, origin }: TracedCall): Link[] {
  const span = role === 'lead' ? undefined : originOf(origin)?.span;
  return span !== undefined && isSpanContextValid(span) ? [{ context: span }] : [];
}

const attributesOf = (migration: string, { call, stage, store, role }: TracedCall): Attributes => ({
  'changeover.migration': migration,
  'changeover.store': store,
  'changeover.call': call,
  'changeover.stage': stage,
  'changeover.role': role,
});

/** Ends the span with the call. Only the code of an error is told: its message may hold what was to be written. */
async function settled<T>(span: Span, run: () => Promise<T>): Promise<T> {
  try {
    const answer = await run();
    span.setAttribute('changeover.outcome', outcomeOf(answer));
    return answer;
  } catch (error) {
    span.setAttribute('changeover.outcome', 'failed');
    span.setAttribute('error.type', error instanceof ChangeoverError ? error.code : 'INTERNAL');
    span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}

/** In a word: of a put its kind, of a read whether a record was there; of several, that they were answered. */
function outcomeOf(answer: unknown): string {
  if (answer === undefined) return 'absent';
  if (Array.isArray(answer)) return 'answered';
  const { kind, value } = answer as { readonly kind?: unknown; readonly value?: unknown };
  if (typeof kind === 'string') return kind;
  return value === null ? 'absent' : 'found';
}
