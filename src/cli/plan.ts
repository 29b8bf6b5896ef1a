import type { KubeObject, Service } from '../core/objects.ts';
import { keyOf } from '../core/objects.ts';
import type { Action, Ingress, Provider } from '../core/provider.ts';
import { type Failure, failureOf } from '../core/service/retry.ts';
import { defaultClasses, selectionOf, wantedOf } from '../core/service/wanted.ts';
import { print } from '../kube/json.ts';
import { resources } from '../kube/resource.ts';
import { type Command, type Input, InputError, type Terminal } from './command.ts';
import { connect } from './connect.ts';
import { clusterFlags, namespaceFlag, outputFlag, providerFlags } from './flag-table.ts';
import { parse } from './flags.ts';
import { type Manifest, readManifests } from './manifest.ts';
import { type PoolPlan, planPools, poolText } from './plan-pools.ts';
import { viewing } from './provider-config.ts';
import { callFor, createReplica, type Replica, specsIn } from './replica.ts';
import { paint } from './table.ts';

/** What Fairlead would do for one Service. */
export interface ServicePlan {
  readonly service: string;
  readonly actions: readonly PlannedAction[];
  readonly outcome:
    | { readonly state: 'ready'; readonly ingress: readonly Ingress[] }
    | { readonly state: 'pending'; readonly reason: string }
    | { readonly state: 'not ours'; readonly reason: string }
    | ({ readonly state: 'error' } & Failure);
  /** What is worth a look although it works: unknown annotations, parts that this backend cannot do. */
  readonly warnings: readonly string[];
}

export interface PlannedAction extends Pick<Action, 'kind' | 'target' | 'reason'> {
  /** What would be sent, where the provider can say. */
  readonly request?: object;
}

export const command: Command = {
  name: 'plan',
  summary: 'Show what Fairlead would do for Services or pools; nothing is written',
  usage: '[svc/NAME]',
  maxArgs: 1,
  flags: [
    {
      name: 'filename',
      aliases: ['f'],
      value: 'FILE',
      help: 'Manifests; - reads standard input',
      parse: parse.list,
      repeats: true,
    },
    namespaceFlag,
    outputFlag('text', 'json'),
    ...providerFlags.map((flag) => (flag.name === 'provider' ? { ...flag, default: 'onprem' } : flag)),
    ...clusterFlags,
  ],
  examples: [
    'fairlead plan -f service.yaml -f pools.yaml',
    'cat service.yaml | fairlead plan -f - --kubeconfig=kubeconfig',
    'fairlead plan svc/shop -n web -o json',
    'fairlead plan --provider=aws --aws-region=eu-west-1 --aws-vpc-id=vpc-0a -f service.yaml -o json',
  ],
  run: async (input, terminal) => await plan(input, terminal),
};

async function plan(input: Input, terminal: Terminal): Promise<number> {
  const { flags, given, args } = input;
  const files = (flags['filename'] as readonly string[] | undefined) ?? [];
  const named = args[0] === undefined ? undefined : serviceNamed(args[0], flags['namespace'] as string);
  if (files.length === 0 && named === undefined) {
    throw new InputError(['nothing to plan: give manifests with -f FILE, or name a live Service as svc/NAME']);
  }
  const manifests = await readManifests(files, terminal);
  const needsCluster = named !== undefined || given.has('kubeconfig') || given.has('master');
  const live = needsCluster ? connect(flags, terminal) : undefined;
  const replica = await createReplica({
    namespace: flags['metallb-namespace'] as string,
    terminal,
    ...(live === undefined ? {} : { live }),
  });
  try {
    const pools = await planPools(replica, input, manifests, terminal, live !== undefined);
    const services = pools.objections.length > 0 ? [] : await planServices(replica, input, manifests, named, terminal);
    const result = { ...(pools.shown ? { pools: pools.plan } : {}), services };
    terminal.stdout.write(
      flags['output'] === 'json'
        ? `${print(result)}\n`
        : `${pools.shown ? poolText(pools.plan, terminal) : ''}${servicesText(services, terminal)}`,
    );
    return exitCode(pools.plan, services);
  } finally {
    await replica.close();
    live?.close();
  }
}

/** 'svc/NAME', 'service/NAME', with or without a namespace before the name; an InputError for anything else. */
export function serviceNamed(text: string, namespace: string): string {
  const [, , inner, name] = /^(svc|service|services)\/(?:([^/]+)\/)?([^/]+)$/.exec(text) ?? [];
  if (name === undefined) throw new InputError([`${JSON.stringify(text)} names no Service; write svc/NAME`]);
  return `${inner ?? namespace}/${name}`;
}

async function planServices(
  replica: Replica,
  input: Input,
  manifests: readonly Manifest[],
  named: string | undefined,
  terminal: Terminal,
): Promise<readonly ServicePlan[]> {
  const wanted = new Set(
    manifests.filter(({ kind }) => kind === 'Service').map((manifest) => keyOf(withNamespace(manifest))),
  );
  if (named !== undefined) wanted.add(named);
  const services = new Map(
    (await replica.list<Service>(resources.services)).map((service) => [keyOf(service), service]),
  );
  if (named !== undefined && !services.has(named)) throw new InputError([`there is no Service ${named}`]);
  const cluster = input.flags['cluster-name'] as string;
  const provider = await replica.provider(input.flags['provider'] as string, await viewing(input, terminal), cluster);
  try {
    const plans: ServicePlan[] = [];
    // In the order of the documents: each takes what the one before it left.
    for (const key of wanted) {
      const service = services.get(key);
      if (service !== undefined) plans.push(await planService(replica, provider, service, input, terminal));
    }
    return plans;
  } finally {
    await provider.close();
  }
}

async function planService(
  replica: Replica,
  provider: Provider,
  service: Service,
  { flags }: Input,
  { signal }: Terminal,
): Promise<ServicePlan> {
  const { loadBalancers } = provider;
  if (loadBalancers === undefined) throw new InputError([`provider "${provider.name}" has no load balancers to plan`]);
  const ref = { uid: service.metadata.uid, key: keyOf(service) };
  const classes = flags['load-balancer-class'] as readonly string[] | undefined;
  const selection = selectionOf(classes ?? defaultClasses(provider, { defaultClass: flags['default-class'] === true }));
  const verdict = wantedOf(service, selection);
  const warnings: string[] = [];
  const actions: Action[] = [];
  const result = (outcome: ServicePlan['outcome']): ServicePlan => ({
    service: ref.key,
    actions: actions.map((action) => plannedOf(action, loadBalancers.request)),
    outcome,
    warnings,
  });
  try {
    if (!verdict.want) {
      actions.push(...(await loadBalancers.preview(undefined, ref, callFor(signal))).flat());
      return result({ state: 'not ours', reason: verdict.reason });
    }
    const desired = (await specsIn(replica, provider, flags['cluster-name'] as string))(service);
    warnings.push(
      ...desired.warnings.map(({ message }) => message),
      ...desired.shortfalls.map(({ message }) => message),
    );
    if (loadBalancers.selfCleaning !== true) {
      actions.push(...(await loadBalancers.preview(desired.spec, ref, callFor(signal))).flat());
      return result({
        state: 'pending',
        reason: actions.length === 0 ? 'nothing to do' : `${actions.length} actions to do`,
      });
    }
    // All its effects are objects of the API, and this one is a copy: done for real, the next Service sees the result.
    const call = callFor(signal, (step) => {
      if (step.at === 'apply') actions.push(step.action);
    });
    const progress = await loadBalancers.ensure(desired.spec, call);
    if (progress.state === 'pending') return result({ state: 'pending', reason: progress.reason });
    warnings.push(...(progress.shortfalls ?? []).map(({ message }) => message));
    return result({ state: 'ready', ingress: progress.ingress });
  } catch (error) {
    return result({ state: 'error', ...failureOf(error) });
  }
}

function plannedOf(action: Action, request: ((action: Action) => object) | undefined): PlannedAction {
  const { kind, target, reason } = action;
  return { kind, target, reason, ...(request === undefined ? {} : { request: request(action) }) };
}

function withNamespace({ metadata, ...rest }: Manifest): KubeObject {
  return { ...rest, metadata: { namespace: 'default', ...metadata } } as unknown as KubeObject;
}

function servicesText(plans: readonly ServicePlan[], { stdout }: Pick<Terminal, 'stdout'>): string {
  return plans.map((plan) => serviceText(plan, stdout)).join('');
}

function serviceText({ service, actions, outcome, warnings }: ServicePlan, stdout: Terminal['stdout']): string {
  const lines = actions.map(({ kind, target, reason }) => `  ${kind} ${target}: ${reason}`);
  if (actions.length === 0 && outcome.state === 'ready') lines.push('  nothing to do');
  for (const warning of warnings) lines.push(`  ${paint('yellow', 'warning', stdout)}: ${warning}`);
  return `${service}: ${outcomeText(outcome, stdout)}\n${lines.map((line) => `${line}\n`).join('')}`;
}

function outcomeText(outcome: ServicePlan['outcome'], stdout: Terminal['stdout']): string {
  switch (outcome.state) {
    case 'ready':
      return paint('green', outcome.ingress.map(({ ip, hostname }) => ip ?? hostname ?? '').join(', '), stdout);
    case 'pending':
      return outcome.reason;
    case 'not ours':
      return `not served: ${outcome.reason}`;
    case 'error':
      return `${paint('red', outcome.kind, stdout)}: ${outcome.message} (${outcome.code})`;
    default:
      return outcome satisfies never;
  }
}

/** 2: the input is wrong; 1: it cannot be done now. */
function exitCode(pools: PoolPlan, services: readonly ServicePlan[]): number {
  const kinds = services.map(({ outcome }) => (outcome.state === 'error' ? outcome.kind : ''));
  if (pools.objections.length > 0 || kinds.includes('invalid')) return 2;
  return kinds.some((kind) => kind !== '') ? 1 : 0;
}
