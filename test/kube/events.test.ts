import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import type { KubeObject } from '../../src/core/objects.ts';
import type { Log } from '../../src/core/provider.ts';
import { createRecorder, type EventOutcome, type RecordedEvent, type RecorderOptions } from '../../src/kube/events.ts';
import { createClient, type Transport, type TransportRequest } from '../../src/kube/request.ts';
import { createVirtualClock } from '../fake/clock.ts';
import { status } from '../fake/loopback.ts';

function service(name: string): KubeObject {
  const metadata = { name, namespace: 'default', uid: `uid-${name}`, resourceVersion: '7', creationTimestamp: '' };
  return { apiVersion: 'v1', kind: 'Service', metadata };
}
const node: KubeObject = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n1', uid: 'uid-n1', resourceVersion: '1', creationTimestamp: '' },
};
const event = (name: string, reason: string, message: string, more: Partial<RecordedEvent> = {}): RecordedEvent => ({
  object: service(name),
  type: 'Normal',
  reason,
  message,
  ...more,
});

type Stored = {
  metadata: { name: string; namespace: string };
  count: number;
  message: string;
  [field: string]: unknown;
};

/** A recorder that runs, and the API server's Events. */
function world(t: TestContext, more: Partial<RecorderOptions> = {}) {
  const clock = createVirtualClock();
  const events = new Map<string, Stored>(); // name -> Event
  const requests: TransportRequest[] = [];
  const times: number[] = [];
  const outcomes: Record<string, number> = {};
  const logged: string[] = [];
  const api = {
    fault: (_request: TransportRequest): undefined | number | 'reset' | 'hang' => undefined,
    /** The write takes effect and its answer is lost. */
    loseAnswer: false,
  };
  const transport: Transport = {
    async send(request) {
      requests.push(request);
      times.push(clock.monotonicMs());
      const fault = api.fault(request);
      if (fault === 'hang')
        await new Promise((_resolve, reject) =>
          request.signal.addEventListener('abort', () => reject(request.signal.reason)),
        );
      if (fault === 'reset') throw new Error('reset');
      const [code, body] = typeof fault === 'number' ? [fault, status(fault, 'Fault')] : answer(request);
      if (api.loseAnswer) throw new Error('reset after the effect');
      return { status: code, headers: {}, body: Readable.from([JSON.stringify(body)]) };
    },
    close() {},
  };
  function answer({ method, path, body }: TransportRequest): [number, object] {
    if (!path.includes('/events')) return [200, {}];
    const sent = JSON.parse(body ?? '{}') as Stored;
    if (method === 'POST') {
      if (events.has(sent.metadata.name)) return [409, status(409, 'AlreadyExists')];
      events.set(sent.metadata.name, sent);
      return [201, sent];
    }
    const name = path.split('?')[0]?.split('/').at(-1) as string;
    const held = events.get(name);
    if (held === undefined) return [404, status(404, 'NotFound')];
    events.set(name, { ...held, ...sent });
    return [200, {}];
  }
  const log: Log = {
    debug() {},
    info() {},
    warn: (_f, m) => logged.push(`warn ${m}`),
    error: (_f, m) => logged.push(`error ${m}`),
  };
  const client = createClient({ transport, clock });
  const recorder = createRecorder({
    client,
    clock,
    log,
    component: 'service-controller',
    instance: 'pod-1',
    capacity: () => 1000,
    metrics: {
      event: (outcome: EventOutcome) => {
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      },
    },
    ...more,
  });
  const stop = new AbortController();
  const running = recorder.run(stop.signal);
  t.after(async () => {
    stop.abort(new Error('end of the test'));
    await running;
    await clock.settle();
    assert.equal(clock.timers, 0);
  });
  const messages = () => [...events.values()].map(({ message, count }) => `${message} x${count}`);
  return { clock, api, client, recorder, requests, times, events, outcomes, logged, stop, running, messages };
}

test('an event has all that kubectl describe and the conventions ask for', async (t) => {
  const { clock, recorder, events, requests } = world(t);
  recorder.record(event('a', 'EnsuredLoadBalancer', 'Ensured load balancer'));
  recorder.record(event('a', 'SyncLoadBalancerFailed', 'no', { object: node, type: 'Warning' }));
  await clock.settle();
  const [first, second] = [...events.values()];
  assert.match(first?.metadata.name ?? '', /^a\.[0-9a-f]{16}$/);
  assert.deepEqual(first, {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: first?.metadata.name, namespace: 'default' },
    involvedObject: { apiVersion: 'v1', kind: 'Service', namespace: 'default', name: 'a', uid: 'uid-a' },
    reason: 'EnsuredLoadBalancer',
    message: 'Ensured load balancer',
    type: 'Normal',
    source: { component: 'service-controller' },
    firstTimestamp: '2026-11-20T12:00:00Z',
    lastTimestamp: '2026-11-20T12:00:00Z',
    count: 1,
    reportingComponent: 'service-controller',
    reportingInstance: 'pod-1',
  });
  assert.equal(second?.metadata.namespace, 'default');
  assert.deepEqual(second?.['involvedObject'], { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'uid-n1' });
  assert.equal(requests[0]?.path, '/api/v1/namespaces/default/events?fieldManager=fairlead');
});

test('an event that is like one of the last ten minutes raises its count by a patch, with the newest text', async (t) => {
  const { clock, recorder, events, requests, outcomes } = world(t);
  recorder.record(event('a', 'Waiting', 'try 1 of 3'));
  await clock.advance(1000);
  recorder.record(event('a', 'Waiting', 'try 2 of 3'));
  await clock.advance(1000);
  const [only] = [...events.values()];
  assert.equal(events.size, 1);
  assert.equal(only?.count, 2);
  assert.equal(only?.message, 'try 2 of 3');
  assert.equal(only?.['firstTimestamp'], '2026-11-20T12:00:00Z');
  assert.equal(only?.['lastTimestamp'], '2026-11-20T12:00:01Z');
  const { method, path, headers, body } = requests[1] as TransportRequest;
  assert.equal(
    `${method} ${path}`,
    `PATCH /api/v1/namespaces/default/events/${only?.metadata.name}?fieldManager=fairlead`,
  );
  assert.equal(headers['content-type'], 'application/strategic-merge-patch+json');
  assert.deepEqual(JSON.parse(body ?? ''), { count: 2, lastTimestamp: '2026-11-20T12:00:01Z', message: 'try 2 of 3' });
  assert.deepEqual(outcomes, { created: 1, raised: 1 });

  await clock.advance(600_001);
  recorder.record(event('a', 'Waiting', 'try 3 of 3'));
  await clock.settle();
  assert.equal(events.size, 2);
});

test('alike ones that wait together are one request', async (t) => {
  const { clock, recorder, messages, requests } = world(t);
  for (let n = 1; n <= 20; n += 1) recorder.record(event('a', 'Waiting', `try ${n}`));
  await clock.settle();
  assert.deepEqual(messages(), ['try 20 x20']);
  assert.equal(requests.length, 1);
});

test('the successor of an event under way waits for it, and no count is lost', async (t) => {
  const { clock, recorder, api, messages } = world(t);
  let failures = 1;
  api.fault = () => {
    failures -= 1;
    return failures >= 0 ? 500 : undefined;
  };
  recorder.record(event('a', 'Waiting', 'try 1'));
  await clock.settle();
  recorder.record(event('a', 'Waiting', 'try 2'));
  recorder.record(event('a', 'Waiting', 'try 3'));
  await clock.advance(60_000);
  assert.deepEqual(messages(), ['try 3 x3']);
});

test('an Event that was deleted, or that the server no longer keeps, is made anew', async (t) => {
  const { clock, recorder, events, messages } = world(t);
  recorder.record(event('a', 'Waiting', 'try 1'));
  await clock.settle();
  events.clear();
  await clock.advance(5000);
  recorder.record(event('a', 'Waiting', 'try 2'));
  await clock.settle();
  assert.deepEqual(messages(), ['try 2 x1']);
});

test('a lost answer makes no second Event', async (t) => {
  const { clock, recorder, api, messages, outcomes } = world(t);
  api.loseAnswer = true;
  recorder.record(event('a', 'Waiting', 'try 1'));
  await clock.settle();
  api.loseAnswer = false;
  await clock.advance(1000);
  recorder.record(event('a', 'Waiting', 'try 2'));
  await clock.settle();
  assert.deepEqual(messages(), ['try 2 x2']);
  assert.deepEqual(outcomes, { created: 1, raised: 1 });
});

test('one noisy object gets ten Events of a reason and 25 requests, and says how much was cut', async (t) => {
  const { clock, recorder, events, outcomes } = world(t);
  const letters = [...'abcdefghijklmnopqrstuvwxyzäöüß'];
  for (const letter of letters) {
    recorder.record(event('a', 'Noise', letter.repeat(3)));
    await clock.advance(10);
  }
  assert.equal(events.size, 10);
  assert.deepEqual(outcomes, { created: 10, raised: 15, spam: 5 });
  assert.equal([...events.values()].at(-1)?.message, '(combined from similar events): yyy');
});

test('a full queue drops and counts, and never what must be kept', async (t) => {
  const { clock, recorder, api, messages, outcomes } = world(t, { capacity: () => 3 });
  api.fault = () => 500;
  for (let n = 0; n < 10; n += 1) recorder.record(event(`s${n}`, 'Waiting', 'x'));
  recorder.record(event('kept', 'IPAllocated', 'address 10.0.0.1', { keep: true }));
  await clock.settle();
  assert.equal(outcomes['full'], 7);
  api.fault = () => undefined;
  await clock.advance(60_000);
  assert.equal(messages().length, 4);
  assert.ok(messages().includes('address 10.0.0.1 x1'));
});

test('the capacity is asked at each event, and record returns at once with an API that hangs', async (t) => {
  let capacity = 0;
  const { recorder, api, outcomes } = world(t, { capacity: () => capacity });
  api.fault = () => 'hang';
  recorder.record(event('a', 'Waiting', 'x'));
  capacity = 10_000;
  for (let n = 0; n < 10_000; n += 1) recorder.record(event(`s${n}`, 'Waiting', 'x'));
  assert.equal(outcomes['full'], 1);
});

test('twelve tries over two minutes, then it is given up; what must be kept is tried until it is there', async (t) => {
  const { clock, recorder, api, requests, messages, outcomes, logged } = world(t);
  api.fault = () => 'reset';
  recorder.record(event('a', 'Waiting', 'x'));
  await clock.advance(119_999);
  assert.equal(requests.length, 11);
  await clock.advance(1);
  assert.equal(requests.length, 12);
  await clock.advance(600_000);
  assert.equal(requests.length, 12);
  assert.deepEqual(outcomes, { unsent: 1 });
  assert.deepEqual(logged, ['warn event dropped']);

  recorder.record(event('b', 'ClearAssignment', 'address 10.0.0.1 was taken away', { keep: true }));
  await clock.advance(3_600_000);
  assert.ok(requests.length > 100);
  api.fault = () => undefined;
  await clock.advance(15_000);
  assert.deepEqual(messages(), ['address 10.0.0.1 was taken away x1']);
});

for (const { code, tries } of [
  { code: 403, tries: 1 },
  { code: 404, tries: 1 },
  { code: 409, tries: 12 },
  { code: 422, tries: 1 },
  { code: 429, tries: 12 },
  { code: 503, tries: 12 },
]) {
  test(`an answer of ${code} is asked for ${tries} times`, async (t) => {
    const { clock, recorder, api, requests } = world(t);
    api.fault = () => code;
    recorder.record(event('a', 'Waiting', 'x'));
    await clock.advance(3_600_000);
    assert.equal(requests.length, tries);
  });
}

test('missing rights do not drop what must be kept; a namespace that is gone does, and says so', async (t) => {
  const { clock, recorder, api, messages, logged } = world(t);
  api.fault = () => 403;
  recorder.record(event('a', 'IPAllocated', 'address 10.0.0.1', { keep: true }));
  await clock.advance(300_000);
  api.fault = () => undefined;
  await clock.advance(15_000);
  assert.deepEqual(messages(), ['address 10.0.0.1 x1']);
  api.fault = () => 404;
  recorder.record(event('a', 'IPAllocated', 'address 10.0.0.2', { keep: true }));
  await clock.advance(1000);
  assert.deepEqual(logged, ['error event dropped']);
});

test('Retry-After is obeyed', async (t) => {
  const clock = createVirtualClock();
  const times: number[] = [];
  const transport: Transport = {
    send: async () => {
      times.push(clock.monotonicMs());
      const body = Readable.from([JSON.stringify(status(429, 'TooManyRequests'))]);
      return { status: 429, headers: { 'retry-after': '30' }, body };
    },
    close() {},
  };
  const { recorder } = world(t, { client: createClient({ transport, clock }), clock });
  recorder.record(event('a', 'Waiting', 'x'));
  await clock.advance(60_000);
  assert.deepEqual(times, [0, 30_000, 60_000]);
  await clock.advance(3_600_000);
});

test('events wait while other writes go on, but for a trickle of 5 per second, and go when those end', async (t) => {
  const { clock, recorder, client, times, requests } = world(t);
  const { signal } = new AbortController();
  const isEvent = ({ path }: TransportRequest) => path.includes('/events');
  await client.call({ method: 'PATCH', path: '/busy', signal });
  for (let n = 0; n < 200; n += 1) recorder.record(event(`s${n}`, 'Waiting', 'x'));
  for (let ms = 0; ms < 1000; ms += 10) {
    await clock.advance(10);
    await client.call({ method: 'PATCH', path: '/busy', signal });
  }
  const during = requests.filter(isEvent).length;
  assert.ok(during >= 3 && during <= 6, `${during} events beside the writes`);
  await clock.advance(900);
  assert.equal(requests.filter(isEvent).length, 200);
  assert.ok(times.length > 0);
});

test('the budget is 200 per second, after a burst of as many', async (t) => {
  const { clock, recorder, requests } = world(t, { capacity: () => 10_000 });
  for (let n = 0; n < 1000; n += 1) recorder.record(event(`s${n}`, 'Waiting', 'x'));
  await clock.settle();
  assert.ok(requests.length >= 200 && requests.length <= 204, `${requests.length}`);
  await clock.advance(1000);
  assert.ok(requests.length >= 399 && requests.length <= 404, `${requests.length}`);
  await clock.advance(3100);
  assert.equal(requests.length, 1000);
});

test('flush resolves when all is sent; run says what must be kept and was not sent', async (t) => {
  const { clock, recorder, api, messages, stop, running, logged } = world(t);
  recorder.record(event('a', 'Waiting', 'x'));
  recorder.record(event('b', 'Waiting', 'x'));
  await recorder.flush(new AbortController().signal);
  assert.equal(messages().length, 2);

  api.fault = () => 'hang';
  recorder.record(event('a', 'IPAllocated', 'address 10.0.0.1', { keep: true }));
  const limit = new AbortController();
  const flushing = recorder.flush(limit.signal);
  await clock.settle();
  limit.abort();
  await flushing;
  stop.abort(new Error('end'));
  await running;
  assert.deepEqual(logged, ['warn event not sent before the end']);
});

test('an object without a kind is an error of ours: said, not thrown', (t) => {
  const { recorder, logged, outcomes } = world(t);
  recorder.record(event('a', 'Waiting', 'x', { object: { metadata: service('a').metadata } }));
  recorder.record({ ...event('a', 'Waiting', 'x'), object: undefined as unknown as KubeObject });
  assert.deepEqual(logged, ['error event about an object without a kind', 'error event not recorded']);
  assert.deepEqual(outcomes, { refused: 1 });
});

test('waiting leaves nothing behind on the signal', async (t) => {
  const { clock, recorder, stop } = world(t);
  await clock.settle();
  const before = getEventListeners(stop.signal, 'abort').length;
  for (let n = 0; n < 50; n += 1) {
    recorder.record(event(`s${n}`, 'Waiting', 'x'));
    await clock.settle();
  }
  assert.equal(getEventListeners(stop.signal, 'abort').length, before);
});

test('a message that is too long is cut', async (t) => {
  const { clock, recorder, events } = world(t);
  recorder.record(event('a', 'Waiting', 'x'.repeat(5000)));
  await clock.settle();
  assert.equal([...events.values()][0]?.message.length, 1024);
});
