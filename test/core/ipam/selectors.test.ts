import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalLabels, matches } from '../../../src/core/ipam/selectors.ts';
import type { LabelSelector } from '../../../src/core/objects.ts';

const expression = (
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  values?: readonly string[],
): LabelSelector => ({
  matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }],
});
const labels = { app: 'web', tier: 'front' };

for (const { name, selector, expected } of [
  { name: 'an empty selector matches everything', selector: {}, expected: true },
  { name: 'one label', selector: { matchLabels: { app: 'web' } }, expected: true },
  { name: 'all labels must match', selector: { matchLabels: { app: 'web', tier: 'back' } }, expected: false },
  { name: 'an absent label does not match', selector: { matchLabels: { zone: '' } }, expected: false },
  { name: 'In', selector: expression('app', 'In', ['db', 'web']), expected: true },
  { name: 'In without the value', selector: expression('app', 'In', ['db']), expected: false },
  { name: 'In without values', selector: expression('app', 'In'), expected: false },
  { name: 'In of an absent key', selector: expression('zone', 'In', ['a']), expected: false },
  { name: 'NotIn', selector: expression('app', 'NotIn', ['db']), expected: true },
  { name: 'NotIn with the value', selector: expression('app', 'NotIn', ['web']), expected: false },
  { name: 'NotIn of an absent key', selector: expression('zone', 'NotIn', ['a']), expected: true },
  { name: 'Exists', selector: expression('app', 'Exists'), expected: true },
  { name: 'Exists of an absent key', selector: expression('zone', 'Exists'), expected: false },
  { name: 'DoesNotExist', selector: expression('zone', 'DoesNotExist'), expected: true },
  { name: 'DoesNotExist of a key that is there', selector: expression('app', 'DoesNotExist'), expected: false },
  {
    name: 'labels and expressions',
    selector: { matchLabels: { app: 'web' }, ...expression('tier', 'NotIn', ['front']) },
    expected: false,
  },
  {
    name: 'a key that every object inherits is no label',
    selector: expression('constructor', 'Exists'),
    expected: false,
  },
  {
    name: 'an operator of a newer API selects nobody',
    selector: expression('app', 'Gt' as 'In', ['1']),
    expected: false,
  },
])
  test(`selector: ${name}`, () => assert.equal(matches(selector, labels), expected));

test('the backend key is the sorted selector', () => {
  assert.equal(canonicalLabels({ b: '2', a: '1' }), 'a=1,b=2');
  assert.equal(canonicalLabels({}), '');
  assert.equal(canonicalLabels(undefined), '');
});
