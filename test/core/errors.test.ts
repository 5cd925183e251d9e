import { describe, expect, test } from 'vitest';
import * as errors from '../../src/core/errors.ts';

type PlainClass = new (message: string, details?: errors.ErrorDetails) => errors.ChangeoverError;

const classes = Object.entries(errors)
  .filter(([, Type]) => typeof Type === 'function' && Type.prototype instanceof errors.ChangeoverError)
  .map(([name, Type]) => [name, Type as unknown as PlainClass] as const);

const make = (name: string, Type: PlainClass): errors.ChangeoverError =>
  name === 'GatesRefused'
    ? new errors.GatesRefused('m', [])
    : name === 'StoreFault'
      ? new errors.StoreFault('m', { outcome: 'unknown' })
      : new Type('m');

describe('errors', () => {
  test('have a code each, of their own, made of their name', () => {
    const codes = classes.map(([name, Type]) => make(name, Type).code);
    expect(new Set(codes).size).toBe(classes.length);
    for (const [name, Type] of classes) {
      expect(make(name, Type).code).toBe(name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase());
    }
  });

  test.each(classes)('%s is an Error with its name, its message and its cause', (name, Type) => {
    const error = make(name, Type);
    expect(error).toBeInstanceOf(Error);
    expect(error).toBeInstanceOf(errors.ChangeoverError);
    expect(error).toMatchObject({ name, message: 'm', details: {} });
    expect(error.stack).toContain(name);
    expect('cause' in error).toBe(false);
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ code: error.code, message: 'm' });
  });

  test('show what was expected, what to do and the facts, and nothing that is not there', () => {
    const cause = new Error('because');
    const error = new errors.Busy('m', { expected: 'e', remedy: 'r', details: { n: 1 }, cause });
    expect(error.cause).toBe(cause);
    expect(error.toJSON()).toStrictEqual({
      code: 'BUSY',
      message: 'm',
      expected: 'e',
      remedy: 'r',
      retryable: true,
      details: { n: 1 },
    });
    expect(new errors.AlreadyExists('m').toJSON()).toStrictEqual({ code: 'ALREADY_EXISTS', message: 'm' });
    const gates = [{ gate: 'dirty', passed: false, advice: false, evidence: 'much', remedy: null }];
    expect(new errors.GatesRefused('m', gates).toJSON()).toStrictEqual({ code: 'GATES_REFUSED', message: 'm', gates });
  });

  test('that may be tried again are those after which surely nothing was written', () => {
    const retryable = classes.filter(([name, Type]) => make(name, Type).retryable).map(([name]) => name);
    expect(retryable.sort()).toStrictEqual([
      'Busy',
      'ControlUnavailable',
      'DeadlineExceeded',
      'FleetTimeout',
      'HandoverInProgress',
      'Interrupted',
      'NotRegistered',
      'RateLimited',
      'RevisionConflict',
      'SignInUnavailable',
      'StoreUnavailable',
    ]);
  });
});
