import { createInterface } from 'node:readline/promises';
import type { IPBlock } from '../../providers/onprem/blocks.ts';
import type { Cleanup } from '../../providers/onprem/index.ts';
import { createContext } from '../controllers/context.ts';
import type { Lease, Service } from '../core/objects.ts';
import { createPatches } from '../kube/patch.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { systemClock } from '../work/clock.ts';
import { openAws } from './aws.ts';
import { type Command, type Input, InputError, type Terminal, type Values } from './command.ts';
import { connect, listOf } from './connect.ts';
import { clusterFlags, leaseFlags, providerFlags } from './flag-table.ts';
import { parse } from './flags.ts';
import { loadOnprem } from './provider.ts';
import { callFor } from './replica.ts';

export const command: Command = {
  name: 'gc',
  summary: 'Find what no Service owns any more and, when told to, delete it; or leave the cluster for good',
  usage: '',
  maxArgs: 0,
  flags: [
    { name: 'delete', help: 'Do it, after asking; without it only show', parse: parse.boolean, default: 'false' },
    { name: 'yes', aliases: ['y'], help: 'Do not ask', parse: parse.boolean, default: 'false' },
    {
      name: 'release-all',
      help: 'For uninstalling, with the controller stopped: take our finalizers off and delete all reservations; published addresses stay',
      parse: parse.boolean,
      default: 'false',
    },
    ...providerFlags
      .filter(({ name }) => !['default-class', 'ipam', 'metallb-namespace'].includes(name))
      .map((flag) => (flag.name === 'provider' ? { ...flag, default: 'onprem', choices: ['onprem', 'aws'] } : flag)),
    ...clusterFlags,
    ...leaseFlags,
  ],
  examples: [
    'fairlead gc',
    'fairlead gc --delete',
    'fairlead gc --release-all --delete',
    'fairlead gc --provider=aws --cluster-name=prod --aws-region=eu-west-1 --aws-vpc-id=vpc-0a',
  ],
  async run(input, terminal) {
    const { flags } = input;
    if (flags['provider'] !== 'onprem' && flags['provider'] !== 'aws') {
      throw new InputError(['--provider: gc cleans up after onprem and aws only']);
    }
    if (flags['provider'] === 'aws' && flags['release-all'] === true) {
      throw new InputError(['--release-all is for onprem: with aws, delete the Services while the controller runs']);
    }
    const client = connect(flags, terminal);
    try {
      return flags['provider'] === 'aws'
        ? await collectAws(client, input, terminal)
        : await collect(client, flags, terminal);
    } finally {
      client.close();
    }
  },
};

async function collect(client: Client, flags: Values, terminal: Terminal): Promise<number> {
  const { stdout, signal } = terminal;
  const cleanups = await plannedFor(client, flags, signal);
  for (const { kind, target, reason } of cleanups) stdout.write(`${kind} ${target}: ${reason}\n`);
  if (cleanups.length === 0) {
    stdout.write('nothing to clean up\n');
    return 0;
  }
  if (flags['delete'] !== true) {
    stdout.write(`\n${cleanups.length} to do; nothing was changed. Add --delete to do it.\n`);
    return 0;
  }
  if (flags['release-all'] === true) await requireNoLeader(client, flags, signal);
  if (flags['yes'] !== true && !(await confirmed(cleanups.length, terminal))) {
    stdout.write('nothing was changed\n');
    return 1;
  }
  const { clean } = await loadOnprem();
  const { kube } = createContext({
    cluster: '',
    config: {},
    client,
    patches: createPatches(client),
    clock: systemClock,
    random: Math.random,
    log: callFor(signal).log,
    stores: [],
    leads: () => true,
    signal,
    resync: () => {},
  });
  let failed = 0;
  for (const cleanup of cleanups) {
    try {
      await clean(cleanup, kube, callFor(signal));
    } catch (error) {
      failed += 1;
      terminal.stderr.write(`${cleanup.kind} ${cleanup.target}: ${(error as Error).message}\n`);
    }
  }
  stdout.write(`${cleanups.length - failed} done${failed === 0 ? '' : `, ${failed} failed: run it again`}\n`);
  return failed === 0 ? 0 : 1;
}

/** Load balancers with our mark whose Service is gone. */
async function collectAws(client: Client, input: Input, terminal: Terminal): Promise<number> {
  const { stdout } = terminal;
  const aws = await openAws(client, input, terminal);
  try {
    const orphans = await aws.orphans();
    for (const [uid, actions] of orphans) {
      for (const { kind, target } of actions) stdout.write(`${kind} ${target}: Service ${uid} is gone\n`);
    }
    if (orphans.size === 0) {
      stdout.write('nothing to clean up\n');
      return 0;
    }
    if (input.flags['delete'] !== true) {
      stdout.write(`\n${orphans.size} to do; nothing was changed. Add --delete to do it.\n`);
      return 0;
    }
    if (input.flags['yes'] !== true && !(await confirmed(orphans.size, terminal))) {
      stdout.write('nothing was changed\n');
      return 1;
    }
    let failed = 0;
    for (const uid of orphans.keys()) {
      try {
        await aws.remove(uid);
      } catch (error) {
        failed += 1;
        terminal.stderr.write(`${uid}: ${(error as Error).message}\n`);
      }
    }
    stdout.write(`${orphans.size - failed} done${failed === 0 ? '' : `, ${failed} failed: run it again`}\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    await aws.close();
  }
}

async function plannedFor(client: Client, flags: Values, signal: AbortSignal): Promise<readonly Cleanup[]> {
  const { freeOrphans, releaseAll, resources: onprem } = await loadOnprem();
  const [blocks, services] = await Promise.all([
    listOf<IPBlock>(client, onprem.ipblocks, signal),
    listOf<Service>(client, resources.services, signal),
  ]);
  const world = { blocks: blocks ?? [], services: services ?? [] };
  if (flags['release-all'] !== true) return freeOrphans(world);
  return releaseAll(
    world,
    (flags['load-balancer-class'] as readonly string[] | undefined) ?? ['none', 'fairlead.dev/onprem'],
  );
}

/** A controller that runs would put back what is taken away. */
async function requireNoLeader(client: Client, flags: Values, signal: AbortSignal): Promise<void> {
  const [namespace, name] = ['namespace', 'name'].map((part) => flags[`leader-elect-resource-${part}`] as string);
  const leases = (await listOf<Lease>(client, resources.leases, signal, namespace)) ?? [];
  const { spec } = leases.find(({ metadata }) => metadata.name === name) ?? {};
  const untilMs = Date.parse(spec?.renewTime ?? '') + (spec?.leaseDurationSeconds ?? 0) * 1000;
  if (spec?.holderIdentity === undefined || spec.holderIdentity === '' || !(untilMs > Date.now())) return;
  throw new InputError([
    `${spec.holderIdentity} holds the Lease ${namespace}/${name}: stop the controller first (kubectl scale deployment fairlead-controller --replicas=0), then wait for the Lease to end`,
  ]);
}

async function confirmed(count: number, { stdin, stdout }: Terminal): Promise<boolean> {
  if (stdin.isTTY !== true)
    throw new InputError(['--delete asks before it deletes, and there is no terminal to ask on; add --yes']);
  const prompt = createInterface({ input: stdin, output: stdout as unknown as NodeJS.WritableStream });
  try {
    return (await prompt.question(`${count} to do. Go on? [y/N] `)).trim().toLowerCase() === 'y';
  } finally {
    prompt.close();
  }
}
