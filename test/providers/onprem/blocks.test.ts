import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storedOf } from '../../../providers/onprem/blocks.ts';

const user = { namespace: 'web', name: 'shop', uid: 'u1', ports: ['TCP/80'], sharingKey: '', backendKey: '' };
const block = (addresses: unknown) => ({
  metadata: { uid: 'b', resourceVersion: '1', name: 'x' },
  spec: { addresses },
});

test('what a hand wrote into a block breaks nothing: only whole records count', () => {
  const { entries } = storedOf(
    block({
      '10.0.0.1': { pool: 'a', users: [user, { name: 'half' }, null, 'text'] },
      '10.0.0.2': { users: 'nobody', retained: [{ namespace: 'web', name: 'shop', until: 'never' }] },
      '10.0.0.3': null,
      '10.0.0.4': { pool: 7, retained: [{ namespace: 'web', name: 'shop', until: '2026-11-20T12:00:00Z' }] },
    }),
  );
  assert.deepEqual(Object.fromEntries(entries), {
    '10.0.0.1': { pool: 'a', users: [user] },
    '10.0.0.2': { pool: '', users: [] },
    '10.0.0.3': { pool: '', users: [] },
    '10.0.0.4': { pool: '', users: [], retained: [{ namespace: 'web', name: 'shop', until: '2026-11-20T12:00:00Z' }] },
  });
});

test('a block without addresses, or without a spec, holds none', () => {
  assert.equal(storedOf(block(undefined)).entries.size, 0);
  assert.equal(storedOf({ metadata: { uid: 'b', resourceVersion: '1' } }).entries.size, 0);
});
