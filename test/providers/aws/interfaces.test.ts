/** Behind which interface a target is, as EC2 answers it (our fake). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createInterfaces } from '../../../providers/aws/interfaces.ts';
import type { Call } from '../../../src/core/provider.ts';
import { directClients } from '../../fake/aws/clients.ts';
import { createRig } from '../../fake/aws/rig.ts';

const log: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };
const call: Call = { signal: new AbortController().signal, log, limit: (fn) => fn() };

test('aws interfaces: of 450 instances and 450 pods, in requests of at most 200 values', async () => {
  const rig = createRig();
  const [subnetId = ''] = rig.subnetIds;
  const interfaces = createInterfaces({ clients: directClients(rig.aws), clock: rig.clock, vpcId: rig.vpcId });
  const targets = Array.from({ length: 450 }, (_, index) => {
    const address = (last: number) => `192.168.${1 + Math.floor(index / 100)}.${2 * (index % 100) + last}`;
    const id = rig.aws.seed.instance({ subnetId, addresses: [address(1), address(2)], groups: [rig.nodeGroupId] });
    return [{ id }, { id: address(2), instanceId: id }];
  }).flat();
  rig.aws.forget();
  const found = await rig.answered(interfaces.locate(targets, call));
  assert.deepEqual([found.size, rig.aws.calls.length], [900, 6]);
});
