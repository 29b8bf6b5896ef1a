import { hostname } from 'node:os';
import type { OnpremProvider, Why } from '../../providers/onprem/index.ts';
import { keyOf, type Service } from '../core/objects.ts';
import { desiredOf } from '../core/service/desired.ts';
import { failureOf } from '../core/service/retry.ts';
import { stateOf } from '../core/service/state.ts';
import { defaultClasses, selectionOf, wantedOf } from '../core/service/wanted.ts';
import { print } from '../kube/json.ts';
import { resources } from '../kube/resource.ts';
import { systemClock } from '../work/clock.ts';
import { type Command, type Input, InputError, type Terminal } from './command.ts';
import { connect } from './connect.ts';
import { clusterFlags, namespaceFlag, outputFlag, providerFlags } from './flag-table.ts';
import { parse } from './flags.ts';
import { serviceNamed } from './plan.ts';
import { viewing } from './provider-config.ts';
import { createReplica } from './replica.ts';
import { paint, table } from './table.ts';

export interface Reasons {
  readonly service: string;
  /** Whether it is ours, and if not, why not. */
  readonly wanted: string;
  readonly state: string;
  readonly message: string;
  /** Absent where the provider cannot tell, or the request makes no sense. */
  readonly addresses?: Why;
  /** What is wrong with the request. */
  readonly problem?: string;
}

export const command: Command = {
  name: 'why',
  summary:
    'Explain why a Service has its address, or none: each pool, each rule, who holds what it asks for; on a node, with --from: what happens to a connection',
  usage: 'svc/NAME',
  maxArgs: 1,
  flags: [
    namespaceFlag,
    outputFlag('text', 'json'),
    ...providerFlags.map((flag) =>
      flag.name === 'provider' ? { ...flag, default: 'onprem', choices: ['onprem'] } : flag,
    ),
    ...clusterFlags,
    {
      name: 'from',
      value: 'IP',
      help: 'On a node: who connects; what happens is read from the rules in its kernel',
      parse: parse.text,
    },
    {
      name: 'to',
      value: 'IP:PORT',
      help: "With --from: what is connected to, also as IP:PORT/udp [the Service's ClusterIP and first port]",
      parse: parse.text,
    },
    {
      name: 'node-name',
      value: 'NAME',
      help: "With --from: this node's name in the API [$NODE_NAME, else the host name]",
      parse: parse.text,
    },
  ],
  examples: [
    'fairlead why svc/shop -n web',
    'fairlead why svc/web/shop -o json',
    'fairlead why svc/web/shop --from=10.244.1.7 --to=192.0.2.10:80',
  ],
  async run(input, terminal) {
    const { flags, args } = input;
    if (args[0] === undefined) throw new InputError(['name a Service: fairlead why svc/NAME']);
    if (flags['to'] !== undefined && flags['from'] === undefined) throw new InputError(['--to needs --from']);
    if (flags['from'] !== undefined) return await onNode(input, terminal);
    if (flags['provider'] !== 'onprem') throw new InputError(['--provider: why explains on-prem addresses only']);
    const key = serviceNamed(args[0], flags['namespace'] as string);
    const live = connect(flags, terminal);
    const replica = await createReplica({ live, namespace: flags['metallb-namespace'] as string, terminal });
    try {
      const service = (await replica.list<Service>(resources.services)).find((one) => keyOf(one) === key);
      if (service === undefined) throw new InputError([`there is no Service ${key}`]);
      const provider = (await replica.provider('onprem', await viewing(input, terminal), 'why')) as OnpremProvider;
      const classes = flags['load-balancer-class'] as readonly string[] | undefined;
      const selection = selectionOf(
        classes ?? defaultClasses(provider, { defaultClass: flags['default-class'] === true }),
      );
      const reasons = reasonsOf(service, provider, selection);
      await provider.close();
      terminal.stdout.write(flags['output'] === 'json' ? `${print(reasons)}\n` : reasonsText(reasons, terminal));
      return 0;
    } finally {
      await replica.close();
      live.close();
    }
  },
};

/** Needs root: it reads the kernel's tables. */
async function onNode({ flags, args }: Input, terminal: Terminal): Promise<number> {
  const service = serviceNamed(args[0] as string, flags['namespace'] as string);
  const { readWorld, whyOnNode } = await import('./why-node.ts');
  const { openChannels } = await import('../agent/netlink/choose.ts');
  const live = connect(flags, terminal);
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const channels = await openChannels({ kind: 'auto', helper: undefined, timers: systemClock, log });
  try {
    const nodeName =
      (flags['node-name'] as string | undefined) ?? terminal.env['NODE_NAME'] ?? hostname().toLowerCase();
    const to = flags['to'] as string | undefined;
    const question = { service, from: flags['from'] as string, ...(to === undefined ? {} : { to }), nodeName };
    const { outcome, owner, lines } = await whyOnNode(question, await readWorld(live, terminal.signal), channels.nft);
    const { verdict, reached } = outcome;
    terminal.stdout.write(
      flags['output'] === 'json'
        ? `${print({ service, owner, verdict, endpoints: reached.length, lines })}\n`
        : `${lines.join('\n')}\n`,
    );
    return 0;
  } finally {
    await channels.close();
    live.close();
  }
}

function reasonsOf(service: Service, provider: OnpremProvider, selection: ReturnType<typeof selectionOf>): Reasons {
  const verdict = wantedOf(service, selection);
  const { state, reason, message } = stateOf(service.status);
  const facts = {
    service: keyOf(service),
    wanted: verdict.want ? 'yes' : `no: ${verdict.reason}`,
    state: reason === '' ? state : `${state} (${reason})`,
    message,
  };
  if (!verdict.want) return facts;
  try {
    const interpret = provider.loadBalancers.interpret;
    const world = { cluster: 'why', members: [], slices: () => [], ...(interpret === undefined ? {} : { interpret }) };
    return { ...facts, addresses: provider.explain(desiredOf(service, world).spec) };
  } catch (error) {
    const { message: text, code } = failureOf(error);
    return { ...facts, problem: `${text} (${code})` };
  }
}

function reasonsText(
  { service, wanted, state, message, addresses, problem }: Reasons,
  { stdout }: Pick<Terminal, 'stdout'>,
): string {
  const lines = [`${service}`, `  ours: ${wanted}`, `  state: ${state}${message === '' ? '' : `: ${message}`}`];
  if (problem !== undefined) lines.push(`  ${paint('red', 'problem', stdout)}: ${problem}`);
  if (addresses === undefined) return `${lines.join('\n')}\n`;
  if (addresses.frozen !== undefined) lines.push(`  nothing new is given: ${addresses.frozen}`);
  for (const { message: text } of addresses.objections) lines.push(`  pools not taken: ${text}`);
  for (const { address, pool, users, retainedFor } of addresses.addresses) {
    const holders = users.map((user) => `${user.namespace}/${user.name}`);
    const kept = retainedFor.length === 0 ? '' : `, kept for ${retainedFor.join(', ')}`;
    lines.push(
      `  ${address}: ${pool === undefined ? 'in no pool' : `pool ${pool}`}, held by ${holders.join(', ') || 'nobody'}${kept}`,
    );
  }
  const { failure: refusal, shortfalls, take } = addresses.decision;
  if (refusal !== undefined) lines.push(`  would get: nothing: ${refusal.message}`);
  else if (take.length > 0) lines.push(`  would get: ${take.map(({ address }) => address).join(', ')}`);
  for (const { message: text } of shortfalls) lines.push(`  short of: ${text}`);
  const pools = table(
    [
      { title: 'POOL', cell: ({ pool }) => pool },
      { title: 'CANDIDATE', cell: ({ candidate }) => (candidate ? 'yes' : 'no') },
      { title: 'FREE IPV4', cell: ({ ipv4 }) => String(ipv4.available) },
      { title: 'FREE IPV6', cell: ({ ipv6 }) => String(ipv6.available) },
      { title: 'RULE', cell: ({ rule }) => rule },
    ],
    addresses.pools,
  );
  return `${lines.join('\n')}\n\n${pools}`;
}
