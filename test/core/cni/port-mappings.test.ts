import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseNetConf } from '../../../src/core/cni/netconf.ts';

const expected = [{ hostPort: 8088, containerPort: 8080, protocol: 'TCP', hostIP: '127.0.0.1' }];
const cases = [
  {
    name: 'as the specification and CRI-O write them',
    mapping: { hostPort: 8088, containerPort: 8080, protocol: 'tcp', hostIP: '127.0.0.1' },
  },
  {
    name: 'as containerd 1.6 writes them',
    mapping: { HostPort: 8088, ContainerPort: 8080, Protocol: 'tcp', HostIP: '127.0.0.1' },
  },
];

for (const { name, mapping } of cases) {
  test(`host ports are read ${name}`, () => {
    const conf = { cniVersion: '1.0.0', name: 'fairlead', runtimeConfig: { portMappings: [mapping] } };
    assert.deepEqual(parseNetConf(conf, { command: 'ADD', args: {} }).portMappings, expected);
  });
}
