import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReach, isReached, reachContent, reachText } from '../../src/cli/reach.ts';
import type { Service } from '../../src/core/objects.ts';
import type { Question, Reply } from '../../src/sandbox/cluster/outside.ts';

const web: Service = {
  metadata: { name: 'web', namespace: 'default', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
  spec: {
    ports: [
      { port: 80, protocol: 'TCP' },
      { port: 53, protocol: 'UDP' },
      { port: 9, protocol: 'SCTP' },
    ],
  },
  status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }, { hostname: 'x' }] } },
};
const plain = {};

/** Answers in turn; the last answer stays. */
function answering(...replies: readonly Reply[]) {
  const asked: Question[] = [];
  let at = 0;
  const ask = async (question: Question): Promise<Reply> => {
    asked.push(question);
    const reply = replies[Math.min(at, replies.length - 1)];
    at += 1;
    return reply ?? { error: 'none' };
  };
  return { asked, reach: createReach(ask) };
}
const tcpOnly: Service = { ...web, spec: { ports: [{ port: 80 }] } };

test('each address and port is asked by its protocol, but for what no client here speaks', async () => {
  const { asked, reach } = answering({ pod: 'a', sees: 'x' });
  await reach.round([web]);
  assert.deepEqual(asked, [
    { address: '192.0.2.1', port: 53, protocol: 'UDP' },
    { address: '192.0.2.1', port: 80, protocol: 'TCP' },
  ]);
});

test('the table counts answers by pod, and shows an error while it lasts', async () => {
  const { reach } = answering(
    { pod: 'b', sees: 'x' },
    { pod: 'a', sees: 'x' },
    { error: 'ECONNREFUSED' },
    { pod: 'a', sees: 'x' },
  );
  await reach.round([tcpOnly]);
  await reach.round([tcpOnly]);
  const third = await reach.round([tcpOnly]);
  assert.equal(
    reachText(third, '203.0.113.9', plain),
    [
      'from a client outside, 203.0.113.9:',
      'NAMESPACE   NAME   ADDRESS     PORT     ANSWERED   BY             ERROR',
      'default     web    192.0.2.1   80/TCP   2 of 3     a (1), b (1)   refused: no pod is ready',
      '',
    ].join('\n'),
  );
  const fourth = await reach.round([tcpOnly]);
  assert.match(reachText(fourth, 'x', plain), /3 of 4 +a \(2\), b \(1\)\n$/);
});

test('what happened before the first answer does not count, and only the last 20 do', async () => {
  const { reach } = answering({ error: 'ETIMEDOUT' }, { error: 'ETIMEDOUT' }, { pod: 'a', sees: 'x' });
  let rows = await reach.round([tcpOnly]);
  assert.match(reachText(rows, 'x', plain), /0 of 1 +<none> +no answer/);
  assert.equal(isReached(rows[0] as (typeof rows)[0], 1), false);
  await reach.round([tcpOnly]);
  rows = await reach.round([tcpOnly]);
  assert.match(reachText(rows, 'x', plain), /1 of 1 +a \(1\)\n/);
  assert.equal(isReached(rows[0] as (typeof rows)[0], 1), true);
  assert.equal(isReached(rows[0] as (typeof rows)[0], 2), false);
  for (let round = 0; round < 30; round += 1) rows = await reach.round([tcpOnly]);
  assert.match(reachText(rows, 'x', plain), /20 of 20 +a \(20\)/);
});

test('the content is the same while the same pods answer, and a Service that goes leaves the table', async () => {
  const { reach } = answering({ pod: 'a', sees: 'x' });
  const first = JSON.stringify(reachContent(await reach.round([tcpOnly])));
  assert.equal(JSON.stringify(reachContent(await reach.round([tcpOnly]))), first);
  assert.deepEqual(await reach.round([]), []);
  assert.equal(reachText([], 'x', plain), '');
});
