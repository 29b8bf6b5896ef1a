import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLeader, type Leader, type LeaderOptions } from '../controllers/leader.ts';
import type { ControllerOptions } from '../controllers/roster.ts';
import { webhookResponder } from '../controllers/webhook.ts';
import { isProviderError } from '../core/errors.ts';
import type { Cidr, Log } from '../core/provider.ts';
import { createHealth, type HealthOptions } from '../obs/health.ts';
import { createLog, type Level } from '../obs/log.ts';
import { createMetrics } from '../obs/metrics.ts';
import { type Serving, serve } from '../obs/serve.ts';
import { systemClock } from '../work/clock.ts';
import { type Command, type Input, InputError, type Terminal, type Values } from './command.ts';
import { connect } from './connect.ts';
import { controllerFlags, controllersOf, flagProblems, inertGiven } from './flag-table.ts';
import { nodeOptions } from './node-flags.ts';
import { loadProvider } from './provider.ts';
import { providerConfig } from './provider-config.ts';
import { version } from './version.ts';

export const command: Command = {
  name: 'controller',
  summary: 'Give LoadBalancer Services their load balancers; one leader of several replicas works',
  usage: '',
  maxArgs: 0,
  flags: controllerFlags,
  examples: [
    'fairlead controller --provider=onprem',
    'fairlead controller --provider=onprem --controllers=service --load-balancer-class=fairlead.dev/onprem',
    'fairlead controller --provider=./mine.js --kubeconfig=kubeconfig --leader-elect=false',
  ],
  async run(input, terminal) {
    const problems = flagProblems(input);
    if (problems.length > 0) throw new InputError(problems);
    return await work(input, terminal);
  },
};

async function work(input: Input, terminal: Terminal): Promise<number> {
  const { flags } = input;
  const log = createLog({ level: flags['log-level'] as Level, destination: terminal.stdout });
  const metrics = createMetrics({
    provider: flags['provider'] as string,
    only: (family) => !family.startsWith('fairlead_proxy_'),
  });
  const client = connect(flags, terminal, metrics.client);
  const module = await loadProvider(flags['provider'] as string, terminal.cwd);
  const identity = `${hostname()}_${randomUUID()}`;
  log.info(
    {
      version: await version(),
      identity,
      provider: flags['provider'],
      controllers: [...controllersOf(flags['controllers'] as readonly string[])],
    },
    'starting',
  );
  for (const flag of inertGiven(input)) log.warn({ flag }, 'this flag has no effect in this version');
  const leader = createLeader({
    client,
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
    module,
    providerConfig: await providerConfig(input, terminal),
    cluster: flags['cluster-name'] as string,
    identity,
    ...leaseOf(flags),
    ...controllerOptions(flags),
    ...(flags['webhook-cert-file'] === undefined ? {} : { webhook: true as const }),
  });
  const health = await createHealth({
    log,
    clock: systemClock,
    client,
    readyz: { stores: () => leader.unready() },
    healthz: { lease: () => leader.unhealthy() },
    pages: { '/metrics': { contentType: metrics.contentType, text: () => metrics.text() } },
    ...servingOf(flags),
  });
  let webhook: Serving | undefined;
  try {
    webhook = await serveWebhook(flags, leader, log);
    const end = await leader.run(terminal.signal);
    return end === 'lost' ? 1 : 0;
  } catch (error) {
    if (isProviderError(error) && error.kind === 'invalid') throw new InputError([`${error.message} (${error.code})`]);
    throw error;
  } finally {
    await webhook?.close();
    await health.close();
    client.close();
  }
}

/** On every replica, whoever leads. */
async function serveWebhook(flags: Values, leader: Leader, log: Log): Promise<Serving | undefined> {
  const [certFile, keyFile] = [flags['webhook-cert-file'], flags['webhook-key-file']] as (string | undefined)[];
  if (certFile === undefined || keyFile === undefined) return undefined;
  const host = flags['webhook-bind-address'] as string | undefined;
  return await serve({
    respond: webhookResponder(leader.review),
    posts: true,
    flag: '--webhook-secure-port',
    port: flags['webhook-secure-port'] as number,
    ...(host === undefined ? {} : { host }),
    tls: { certFile, keyFile, flags: ['--webhook-cert-file', '--webhook-key-file'] },
    clock: systemClock,
    log,
  });
}

/**
 * Once, after the first look at everything: what the lists and that look left behind is a third of the heap, and a process
 * that then idles would keep it. A pause of some 50 ms.
 */
function giveBackMemory(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

function leaseOf(flags: Values): Pick<LeaderOptions, 'lease'> {
  if (flags['leader-elect'] === false) return {};
  return {
    lease: {
      name: flags['leader-elect-resource-name'] as string,
      namespace: flags['leader-elect-resource-namespace'] as string,
      leaseDurationMs: flags['leader-elect-lease-duration'] as number,
      renewDeadlineMs: flags['leader-elect-renew-deadline'] as number,
      retryPeriodMs: flags['leader-elect-retry-period'] as number,
    },
  };
}

/** Those of `--controllers`, each with its own flags. */
function controllerOptions(flags: Values): ControllerOptions {
  const asked = controllersOf(flags['controllers'] as readonly string[]);
  return {
    ...(asked.has('service') ? { service: serviceOptions(flags) } : {}),
    ...nodeOptions(flags, asked),
    ...(asked.has('route') ? { route: routeOptions(flags) } : {}),
  };
}

function serviceOptions(flags: Values): NonNullable<ControllerOptions['service']> {
  const classes = flags['load-balancer-class'] as readonly string[] | undefined;
  const concurrency = flags['concurrent-service-syncs'] as number | undefined;
  return {
    defaultClass: flags['default-class'] as boolean,
    driftCheckPeriodMs: flags['drift-check-period'] as number,
    deleteOrphans: flags['delete-orphans'] as boolean,
    takeoverFieldManagers: flags['takeover-field-managers'] as readonly string[],
    audited: giveBackMemory,
    ...(classes === undefined ? {} : { classes }),
    ...(concurrency === undefined ? {} : { concurrency }),
  };
}

function routeOptions(flags: Values): NonNullable<ControllerOptions['route']> {
  return {
    configure: flags['configure-cloud-routes'] as boolean,
    clusterCidrs: flags['cluster-cidr'] as readonly Cidr[],
    periodMs: flags['route-reconciliation-period'] as number,
  };
}

function servingOf(flags: Values): Partial<HealthOptions> {
  const pick = (name: string) => flags[name] as string | undefined;
  const port = flags['secure-port'] as number;
  const bindAddress = pick('bind-address');
  const metrics = flags['metrics-bind-address'] as HealthOptions['metrics'];
  const [certFile, keyFile] = [pick('tls-cert-file'), pick('tls-private-key-file')];
  return {
    ...(port === 0 ? {} : { port }),
    ...(bindAddress === undefined ? {} : { bindAddress }),
    ...(metrics === undefined ? {} : { metrics }),
    ...(certFile === undefined || keyFile === undefined ? {} : { tls: { certFile, keyFile } }),
  };
}
