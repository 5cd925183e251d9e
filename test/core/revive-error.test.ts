import { describe, expect, test } from 'vitest';
import * as errors from '../../src/core/errors.ts';
import { errorFromJson, errorToJson } from '../../src/core/revive-error.ts';

type PlainClass = new (message: string, details?: errors.ErrorDetails) => errors.ChangeoverError;

const across = (error: unknown): Error => errorFromJson(JSON.parse(JSON.stringify(errorToJson(error))));

const classes = Object.entries(errors).filter(
  ([, Type]) => typeof Type === 'function' && Type.prototype instanceof errors.ChangeoverError,
);
const details = {
  expected: 'less',
  remedy: 'changeover repair',
  details: { migration: 'events', revision: 7, list: [1, null] },
  cause: Object.assign(new TypeError('because'), { code: 'E_CAUSE' }),
};
const gates = [{ gate: 'covered', passed: false, advice: true, evidence: '40 %', remedy: null }];

function make(name: string, Type: unknown): errors.ChangeoverError {
  if (name === 'GatesRefused') return new errors.GatesRefused('m', gates, details);
  if (name === 'StoreFault')
    return new errors.StoreFault('m', { ...details, outcome: 'nothing-written', pressure: true });
  return new (Type as PlainClass)('m', details);
}

describe('errors that cross a border', () => {
  test.each(classes)('%s comes back as what it was', (name, Type) => {
    const error = make(name, Type);
    const revived = across(error);
    expect(revived).toBeInstanceOf(Type);
    expect(revived).toMatchObject({ code: error.code, name, message: 'm', retryable: error.retryable });
    expect(revived).toMatchObject({ expected: 'less', remedy: 'changeover repair', details: error.details });
    expect(revived.cause).toMatchObject({ name: 'TypeError', message: 'because', code: 'E_CAUSE' });
    expect((revived as errors.ChangeoverError).toJSON()).toStrictEqual(error.toJSON());
  });

  test('keep their gates, and a fault its outcome', () => {
    expect((across(make('GatesRefused', null)) as errors.GatesRefused).gates).toStrictEqual(gates);
    expect(across(make('StoreFault', null))).toMatchObject({ outcome: 'nothing-written', pressure: true });
  });

  test('become ControlUnavailable when a system call failed, and only then', () => {
    const system = across(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    expect(system).toBeInstanceOf(errors.ControlUnavailable);
    expect(system.cause).toMatchObject({ code: 'EPIPE' });
    const node = across(Object.assign(new TypeError('a mistake'), { code: 'ERR_INVALID_ARG_TYPE' }));
    expect(node).not.toBeInstanceOf(errors.ChangeoverError);
    expect(node).toMatchObject({ name: 'TypeError', message: 'a mistake', code: 'ERR_INVALID_ARG_TYPE' });
  });

  test('survive details that JSON cannot hold, and things that are no errors', () => {
    const error = new errors.Busy('m', { details: { big: 10n, nothing: undefined, run: () => 1 } });
    expect((across(error) as errors.Busy).details).toStrictEqual({ big: '10' });
    expect(across('text')).toMatchObject({ message: 'text' });
    for (const odd of [undefined, null, 5, {}, { code: 5 }]) expect(errorFromJson(odd)).toBeInstanceOf(Error);
    expect(errorFromJson({ code: 'FROM_THE_FUTURE', message: 'm' })).toMatchObject({ code: 'FROM_THE_FUTURE' });
  });
});
