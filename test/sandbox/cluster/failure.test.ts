import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { Log } from '../../../src/core/provider.ts';
import { startCluster } from '../../../src/sandbox/cluster/cluster.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { leaveOut } from '../../left-out.ts';
import { netnsMissing } from '../netns/missing.ts';

const missing = netnsMissing();
const ignore = (): void => {};
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const left = (prefix: string): readonly string[] =>
  [...readdirSync('/run/netns'), ...readdirSync('/run/fairlead-sandbox')].filter((name) => name.startsWith(prefix));

test('an agent that does not get ready fails the start with the end of its log, and nothing is left', {
  timeout: 180_000,
}, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  await assert.rejects(
    startCluster(
      {
        fairlead: ['sh', '-c', 'echo no flag of that name; exit 2'],
        controller: async () => {},
        nodes: 1,
        prefix: 'tsf',
        clock: systemClock,
        log,
      },
      new AbortController().signal,
    ),
    /the agent of n1 does not get ready:\nno flag of that name/,
  );
  assert.deepEqual(left('tsf-'), []);
});

test('a start that is called off leaves nothing', { timeout: 180_000 }, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  const stop = new AbortController();
  const starting = startCluster(
    {
      fairlead: ['sleep', '600'],
      controller: async () => stop.abort(new Error('called off')),
      nodes: 1,
      prefix: 'tsg',
      clock: systemClock,
      log,
    },
    stop.signal,
  );
  await assert.rejects(starting, /called off/);
  assert.deepEqual(left('tsg-'), []);
});
