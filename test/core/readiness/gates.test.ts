import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Service } from '../../../src/core/objects.ts';
import { GATES_ANNOTATION, gatesAnnotation, gatesOf, namedGates } from '../../../src/core/readiness/gates.ts';

const service = (annotation: string | undefined, more: object = {}, type = 'LoadBalancer'): Service =>
  ({
    metadata: {
      name: 'web',
      namespace: 'shop',
      uid: 'u1',
      ...(annotation === undefined ? {} : { annotations: { [GATES_ANNOTATION]: annotation } }),
      ...more,
    },
    spec: { type },
  }) as unknown as Service;

const table: readonly {
  readonly name: string;
  readonly of: Service;
  readonly gates: readonly string[];
  readonly named?: readonly string[];
}[] = [
  { name: 'none without the annotation', of: service(undefined), gates: [] },
  { name: 'those that it lists', of: service('u1:x.dev/a,x.dev/b'), gates: ['x.dev/a', 'x.dev/b'] },
  { name: 'none when the annotation was copied from another Service', of: service('u2:x.dev/a'), gates: [] },
  { name: 'none when somebody wrote nonsense', of: service('nonsense'), gates: [] },
  { name: 'none for a UID and nothing else', of: service('u1:'), gates: [] },
  {
    name: 'none any more once it is being deleted, though it shows them',
    of: service('u1:x.dev/a', { deletionTimestamp: '2026-11-20T12:00:00Z' }),
    gates: [],
    named: ['x.dev/a'],
  },
  {
    name: 'none any more once it is of another type, though it shows them',
    of: service('u1:x.dev/a', {}, 'ClusterIP'),
    gates: [],
    named: ['x.dev/a'],
  },
];
for (const { name, of, gates, named = gates } of table) {
  test(`gates of a Service: ${name}`, () => assert.deepEqual([gatesOf(of), namedGates(of)], [gates, named]));
}

test('what is written is what is read, sorted; no gates take the annotation off', () => {
  const { [GATES_ANNOTATION]: text } = gatesAnnotation(service(undefined), ['x.dev/b', 'x.dev/a']);
  assert.equal(text, 'u1:x.dev/a,x.dev/b');
  assert.deepEqual(gatesOf(service(text as string)), ['x.dev/a', 'x.dev/b']);
  for (const none of [[], undefined])
    assert.deepEqual(gatesAnnotation(service('x'), none), { [GATES_ANNOTATION]: null });
});
