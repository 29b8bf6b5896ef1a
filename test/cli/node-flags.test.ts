import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controllerFlags, controllersOf, flagProblems, inertGiven } from '../../src/cli/flag-table.ts';
import { parseFlags } from '../../src/cli/flags.ts';
import { nodeOptions } from '../../src/cli/node-flags.ts';
import { blockOf } from '../../src/core/net/cidr.ts';
import type { Cidr } from '../../src/core/provider.ts';

const inputOf = (...argv: readonly string[]) => parseFlags(['--provider=memory', ...argv], controllerFlags, 0);
const optionsOf = (...argv: readonly string[]) => {
  const { flags } = inputOf(...argv);
  return nodeOptions(flags, controllersOf(flags['controllers'] as readonly string[]));
};
const range = (cidr: string, maskSize: number) => ({ range: blockOf(cidr as Cidr), maskSize });

test('node flags: the defaults run both node controllers and no IPAM', () => {
  assert.deepEqual(optionsOf(), {
    node: { concurrency: 4, statusConcurrency: 0, statusFrequencyMs: 300_000 },
    lifecycle: { monitorPeriodMs: 5000 },
  });
});

test('node flags: names and aliases choose controllers, and each flag reaches its own', () => {
  assert.deepEqual(
    optionsOf(
      '--controllers=cloud-node-controller',
      '--concurrent-node-syncs=9',
      '--concurrent-node-status-updates=2',
      '--node-status-update-frequency=1m',
    ),
    { node: { concurrency: 9, statusConcurrency: 2, statusFrequencyMs: 60_000 } },
  );
  assert.deepEqual(optionsOf('--controllers=cloud-node-lifecycle', '--node-monitor-period=10s'), {
    lifecycle: { monitorPeriodMs: 10_000 },
  });
  assert.deepEqual(optionsOf('--controllers=*,-cloud-node,-cloud-node-lifecycle-controller'), {});
});

test('node flags: IPAM of one family and of two, with the addresses of Services left out', () => {
  const only = '--controllers=service';
  assert.deepEqual(optionsOf(only, '--allocate-node-cidrs', '--cluster-cidr=10.244.0.0/16'), {
    ipam: { ranges: [range('10.244.0.0/16', 24)], excluded: [] },
  });
  assert.deepEqual(
    optionsOf(
      only,
      '--allocate-node-cidrs',
      '--cluster-cidr=10.0.0.0/12,fd00::/48',
      '--service-cluster-ip-range=10.1.0.0/16',
      '--node-cidr-mask-size-ipv4=25',
      '--node-cidr-mask-size-ipv6=60',
    ),
    {
      ipam: { ranges: [range('10.0.0.0/12', 25), range('fd00::/48', 60)], excluded: [blockOf('10.1.0.0/16' as Cidr)] },
    },
  );
});

const wrong: readonly { name: string; argv: readonly string[]; says: RegExp }[] = [
  {
    name: 'IPAM without a cluster CIDR',
    argv: ['--allocate-node-cidrs'],
    says: /--allocate-node-cidrs needs --cluster-cidr/,
  },
  {
    name: 'a mask that does not fit',
    argv: ['--allocate-node-cidrs', '--cluster-cidr=10.244.0.0/25'],
    says: /--node-cidr-mask-size-ipv4: 24 does not fit/,
  },
  {
    name: 'a mask without IPAM',
    argv: ['--node-cidr-mask-size=24'],
    says: /--node-cidr-mask-size has no effect without --allocate-node-cidrs/,
  },
  {
    name: 'no CIDR of Services',
    argv: ['--allocate-node-cidrs', '--cluster-cidr=10.244.0.0/16', '--service-cluster-ip-range=x'],
    says: /--service-cluster-ip-range: "x" is not a CIDR/,
  },
  {
    name: 'a period below a second',
    argv: ['--node-monitor-period=100ms'],
    says: /--node-monitor-period must be at least 1s/,
  },
  {
    name: 'the allocator of a cloud',
    argv: ['--cidr-allocator-type=CloudAllocator'],
    says: /no provider of this version gives pod CIDRs/,
  },
];
for (const { name, argv, says } of wrong) {
  test(`node flags: ${name} is a problem of the start`, () => {
    const problems = flagProblems(inputOf(...argv));
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0] ?? '', says);
  });
}

const refused: readonly { argv: string; says: RegExp }[] = [
  { argv: '--concurrent-node-syncs=0', says: /--concurrent-node-syncs: "0" is not between 1/ },
  { argv: '--concurrent-node-status-updates=-1', says: /--concurrent-node-status-updates: "-1"/ },
  { argv: '--node-monitor-period=5', says: /--node-monitor-period: "5" is not a duration/ },
  {
    argv: '--cidr-allocator-type=Mine',
    says: /--cidr-allocator-type: "Mine" is none of RangeAllocator, CloudAllocator/,
  },
];
for (const { argv, says } of refused)
  test(`node flags: ${argv} is refused`, () => assert.throws(() => inputOf(argv), says));

test('node flags: none of them is without effect any more', () => {
  assert.deepEqual(
    inertGiven(inputOf('--node-monitor-period=10s', '--concurrent-node-syncs=2', '--allocate-node-cidrs=false')),
    [],
  );
});
