import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readProtobuf } from '../../../src/sandbox/api/protobuf.ts';

// kubectl.test.ts sends what kubectl makes; this one says what is read from which bytes.
test('a Service: numbers, maps, lists, times, and zeros that JSON leaves out', () => {
  const object = readProtobuf(message());
  assert.deepEqual(object, {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: {
      name: 'lb',
      labels: { app: 'lb' },
      creationTimestamp: '2026-01-02T03:04:05Z',
      finalizers: ['a.b/c', 'd.e/f'],
    },
    spec: {
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: 'web' },
        { port: 443, targetPort: 8443 },
      ],
      type: 'LoadBalancer',
      allocateLoadBalancerNodePorts: false,
    },
  });
});

test('what is no protobuf of Kubernetes is refused, not misread', () => {
  assert.throws(() => readProtobuf(Buffer.from('{}')), /does not begin/);
  assert.throws(
    () => readProtobuf(envelope('v9', 'Service', Buffer.alloc(0))),
    /no kind "Service" is registered for version "v9"/,
  );
  const whole = message();
  // Cut between the type and the object it would be an empty Service.
  const type = envelope('v1', 'Service', Buffer.alloc(0)).length - 2;
  for (let length = 5; length < whole.length; length += 1)
    if (length !== type)
      assert.throws(() => readProtobuf(whole.subarray(0, length)), Error, `${length} of ${whole.length} bytes`);
});

function message(): Buffer {
  const time = fields([1, varint(1_767_323_045)], [2, varint(0)]);
  const label = fields([1, bytes('app')], [2, bytes('lb')]);
  const metadata = fields(
    [1, bytes('lb')],
    [2, bytes('')],
    [8, bytes(time)],
    [11, bytes(label)],
    [14, bytes('a.b/c')],
    [14, bytes('d.e/f')],
  );
  const named = fields(
    [1, bytes('http')],
    [2, bytes('TCP')],
    [3, varint(80)],
    [4, bytes(fields([1, varint(1)], [2, varint(0)], [3, bytes('web')]))],
    [5, varint(0)],
  );
  const numbered = fields(
    [1, bytes('')],
    [2, bytes('')],
    [3, varint(443)],
    [4, bytes(fields([1, varint(0)], [2, varint(8443)], [3, bytes('')]))],
  );
  const spec = fields(
    [1, bytes(named)],
    [1, bytes(numbered)],
    [4, bytes('LoadBalancer')],
    [13, varint(0)],
    [20, varint(0)],
  );
  return envelope('v1', 'Service', fields([1, bytes(metadata)], [2, bytes(spec)]));
}

type Wire = readonly [type: 0 | 2, content: Buffer];
const envelope = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    fields([1, bytes(fields([1, bytes(apiVersion)], [2, bytes(kind)]))], [2, bytes(raw)]),
  ]);
const fields = (...all: readonly (readonly [number: number, wire: Wire])[]): Buffer =>
  Buffer.concat(all.flatMap(([number, [type, content]]) => [encoded((number << 3) | type), content]));
const varint = (value: number): Wire => [0, encoded(value)];
function bytes(value: string | Buffer): Wire {
  const content = Buffer.from(value);
  return [2, Buffer.concat([encoded(content.length), content])];
}
function encoded(value: number): Buffer {
  const out: number[] = [];
  let left = BigInt(value);
  do {
    out.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0));
    left >>= 7n;
  } while (left > 0n);
  return Buffer.from(out);
}
