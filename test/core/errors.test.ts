import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorEntry, errorCatalogue, failure, isProviderError, ProviderError } from '../../src/core/errors.ts';

test('a ProviderError carries kind, code, field, time and cause', () => {
  const cause = new Error('below');
  const error = new ProviderError('throttled', 'T_SLOW', 'slow down', { cause, retryAfterMs: 700, field: 'spec.x' });
  assert.deepEqual(
    [error.name, error.kind, error.code, error.message, error.retryAfterMs, error.field, error.cause],
    ['ProviderError', 'throttled', 'T_SLOW', 'slow down', 700, 'spec.x', cause],
  );
  assert.ok(error instanceof Error);
  const bare = new ProviderError('invalid', 'T_BAD', 'bad');
  assert.deepEqual([bare.retryAfterMs, bare.field, bare.cause], [undefined, undefined, undefined]);
});

test('failure takes the kind from the catalogue', () => {
  const error = failure('FL_POOL_EXHAUSTED', 'no pool has a free address');
  assert.deepEqual([error.kind, error.code], [errorCatalogue.FL_POOL_EXHAUSTED.kind, 'FL_POOL_EXHAUSTED']);
  // @ts-expect-error a code that nobody has catalogued does not compile
  assert.throws(() => failure('FL_NO_SUCH_CODE', 'x'));
});

const shapes: readonly { readonly name: string; readonly error: unknown; readonly expected: boolean }[] = [
  { name: 'ours', error: new ProviderError('quota', 'T', 'x'), expected: true },
  {
    name: 'another copy of the class',
    error: Object.assign(new Error('x'), { name: 'ProviderError', kind: 'quota' }),
    expected: true,
  },
  { name: 'the name without a kind', error: Object.assign(new Error('x'), { name: 'ProviderError' }), expected: false },
  { name: 'a kind without the name', error: Object.assign(new Error('x'), { kind: 'quota' }), expected: false },
  { name: 'no Error at all', error: { name: 'ProviderError', kind: 'quota' }, expected: false },
  { name: 'nothing', error: undefined, expected: false },
];
for (const { name, error, expected } of shapes) {
  test(`a ProviderError is told by its shape: ${name}`, () => assert.equal(isProviderError(error), expected));
}

test('every entry of the catalogue is a sentence and a way out', () => {
  const kinds = ['invalid', 'denied', 'quota', 'throttled', 'conflict', 'transient'];
  for (const [code, { kind, title, help, event }] of Object.entries<ErrorEntry>(errorCatalogue)) {
    assert.match(code, /^FL_[A-Z0-9]+(_[A-Z0-9]+)*$/);
    assert.ok(kinds.includes(kind), code);
    assert.match(title, /^\S.*\.$/, code);
    assert.match(help, /\.$/, code);
    if (event !== undefined) assert.match(event, /^[A-Za-z]+$/, code);
  }
});
