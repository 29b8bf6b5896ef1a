import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../../src/cli/run.ts';
import { fakeTerminal } from './terminal.ts';

const pool = (addresses: readonly string[], name = 'default') => `apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: ${name}, namespace: metallb-system}
spec: {addresses: ${JSON.stringify(addresses)}}
---
`;
const service = (
  name: string,
  { annotations = {}, spec = {} }: { annotations?: object; spec?: object } = {},
) => `apiVersion: v1
kind: Service
metadata: ${JSON.stringify({ name, annotations })}
spec: ${JSON.stringify({ type: 'LoadBalancer', ports: [{ port: 80 }], ...spec })}
---
`;

async function plan(stdin: string, ...flags: string[]) {
  const terminal = fakeTerminal({ stdin });
  const code = await runCli(['plan', '-f', '-', ...flags], terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

test('each Service of the documents gets its own address, in their order', async () => {
  const { code, out } = await plan(`${pool(['10.1.0.0/30'])}${service('a')}${service('b')}`, '-o', 'json');
  const { services } = JSON.parse(out) as { services: { service: string; outcome: { ingress: { ip: string }[] } }[] };
  assert.equal(code, 0);
  assert.deepEqual(
    services.map((one) => [one.service, one.outcome.ingress[0]?.ip]),
    [
      ['default/a', '10.1.0.0'],
      ['default/b', '10.1.0.1'],
    ],
  );
});

test('a namespace of the documents is the one that a pool selects', async () => {
  const namespace = 'apiVersion: v1\nkind: Namespace\nmetadata: {name: web, labels: {team: a}}\n---\n';
  const fenced = pool(['10.2.0.0/30'], 'fenced').replace(
    '}\n---',
    ', serviceAllocation: {namespaceSelectors: [{matchLabels: {team: a}}]}}\n---',
  );
  const inside = service('x').replace('"name":"x"', '"name":"x","namespace":"web"');
  const { code, out } = await plan(`${namespace}${fenced}${inside}${service('y')}`);
  assert.match(out, /web\/x: 10\.2\.0\.0\n/);
  assert.match(out, /default\/y: quota: /);
  assert.equal(code, 1);
});

test('no pool, or none that is free, is a failure: exit 1 and the reason', async () => {
  const none = await plan(service('a'));
  assert.deepEqual(
    [none.code, none.out],
    [1, 'default/a: quota: there is no IPAddressPool to take an address from (FL_POOL_MISSING)\n'],
  );
  const full = await plan(`${pool(['10.1.0.0/32'])}${service('a')}${service('b')}`);
  assert.equal(full.code, 1);
  assert.match(full.out, /default\/a: 10\.1\.0\.0\n/);
  assert.match(full.out, /default\/b: quota: .*\(FL_POOL_EXHAUSTED\)/);
});

test('wrong input ends with 2 and names the field: annotation, pool, Service', async () => {
  const asked = await plan(
    `${pool(['10.1.0.0/30'])}${service('a', { annotations: { 'metallb.io/loadBalancerIPs': 'here' } })}`,
  );
  assert.equal(asked.code, 2);
  assert.match(asked.out, /invalid: metallb\.io\/loadBalancerIPs: /);
  const broken = await plan(`${pool(['10.1.0.9-10.1.0.1'])}${service('a')}`);
  assert.equal(broken.code, 2);
  assert.match(broken.out, /not taken: IPAddressPool default: spec\.addresses\[0\]: /);
  const refused = await plan(`${service('a', { spec: { ports: [{ port: 70000 }] } })}${service('B')}`);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /Service\/a: .*spec\.ports\[0\]\.port/);
  assert.match(refused.err, /Service\/B: .*metadata\.name/);
});

test('an unknown annotation under our prefixes is a warning that names it', async () => {
  const { code, out } = await plan(
    `${pool(['10.1.0.0/30'])}${service('a', { annotations: { 'metallb.io/adress-pool': 'x' } })}`,
  );
  assert.equal(code, 0);
  assert.match(out, /warning: .*metallb\.io\/adress-pool.*address-pool/);
});

test('a Service of a foreign class is not served, and the reason says so', async () => {
  const { code, out } = await plan(
    `${pool(['10.1.0.0/30'])}${service('a', { spec: { loadBalancerClass: 'other/lb' } })}`,
  );
  assert.deepEqual(
    [code, out],
    [
      0,
      'default/a: not served: spec.loadBalancerClass "other/lb" is not served here (classes: none,fairlead.dev/onprem)\n',
    ],
  );
});

test('nothing to plan, an unknown kind and a name that is none are usage errors', async () => {
  const terminal = fakeTerminal();
  assert.equal(await runCli(['plan'], terminal), 2);
  assert.match(terminal.err(), /nothing to plan/);
  const unknown = await plan('apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: x}\n');
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /Thing\/x: the kind Thing of example\.org\/v1 is not known here/);
  const named = fakeTerminal();
  assert.equal(await runCli(['plan', 'pod/x'], named), 2);
  assert.match(named.err(), /"pod\/x" names no Service; write svc\/NAME/);
});
