import type { OnpremProvider, Why } from '../../providers/onprem/index.ts';
import { keyOf, type Service } from '../core/objects.ts';
import { desiredOf } from '../core/service/desired.ts';
import { failureOf } from '../core/service/retry.ts';
import { stateOf } from '../core/service/state.ts';
import { defaultClasses, selectionOf, wantedOf } from '../core/service/wanted.ts';
import { print } from '../kube/json.ts';
import { resources } from '../kube/resource.ts';
import { type Command, InputError, type Terminal } from './command.ts';
import { connect } from './connect.ts';
import { clusterFlags, namespaceFlag, outputFlag, providerFlags } from './flag-table.ts';
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
  summary: 'Explain why a Service has its address, or none: each pool, each rule, who holds what it asks for',
  usage: 'svc/NAME',
  maxArgs: 1,
  flags: [
    namespaceFlag,
    outputFlag('text', 'json'),
    ...providerFlags.map((flag) =>
      flag.name === 'provider' ? { ...flag, default: 'onprem', choices: ['onprem'] } : flag,
    ),
    ...clusterFlags,
  ],
  examples: ['fairlead why svc/shop -n web', 'fairlead why svc/web/shop -o json'],
  async run(input, terminal) {
    const { flags, args } = input;
    if (args[0] === undefined) throw new InputError(['name a Service: fairlead why svc/NAME']);
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
