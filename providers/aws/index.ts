import { failure } from '../../src/core/errors.ts';
import type { Node, Service } from '../../src/core/objects.ts';
import type { Call, Provider, ProviderContext } from '../../src/core/provider.ts';
import { createBackground } from './background.ts';
import { type AwsClients, type ClientOptions, createClients } from './client.ts';
import { type Config, parseConfig } from './config.ts';
import { identify } from './imds.ts';
import { createInstances } from './instances.ts';
import { limits } from './limits.ts';
import { CLASSES } from './names.ts';
import { createNodeInterfaces } from './node-interfaces.ts';
import { PRINT_ANNOTATION } from './progress.ts';
import { createRoutes } from './routes.ts';
import { createStacks, type Stacks } from './stacks.ts';
import { type LoadBalancerStatus, statusOf } from './status.ts';
import { instanceIdOf } from './targets.ts';

export const apiVersion = 1;

/** What a test gives instead of the network and the environment. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly client?: Pick<ClientOptions, 'requestHandler' | 'credentials' | 'endpoint'>;
}
export interface AwsProvider extends Provider {
  /** Load balancers of this cluster with the health of their targets, for `fairlead status`. */
  status(call: Call): Promise<readonly LoadBalancerStatus[]>;
  readonly stacks: Stacks;
  readonly clients: AwsClients;
}

/** Network Load Balancers, routes and instances of AWS. Throws FL_AWS_CONFIG, and what AWS answers to the first question. */
export async function create(
  context: ProviderContext,
  { env = process.env, client = {} }: Surroundings = {},
): Promise<AwsProvider> {
  const config = parseConfig(context.config);
  for (const warning of config.warnings) context.log.warn({}, warning);
  const place = await placeOf(config, env);
  const role = await credentialsOf(config, place.region);
  const clients = createClients({
    region: place.region,
    ...role,
    ...client,
    ...(context.metrics === undefined ? {} : { begun: (operation) => context.metrics?.begun(operation) ?? (() => {}) }),
  });
  const settings = { ...config.settings, cluster: config.settings.cluster ?? context.cluster };
  const vpcId = place.vpcId ?? (await vpcByTags(config, clients, unlimited(context)));
  const services = await context.objects(resources.services);
  const nodes = await context.objects(resources.nodes);
  const stacks = createStacks({
    clients,
    clock: context.clock,
    settings,
    region: place.region,
    vpcId,
    services: {
      settledPrintOf: (key) => (services.get(key) as Service | undefined)?.metadata.annotations?.[PRINT_ANNOTATION],
      exists: (uid) => services.list().some((each) => (each as Service).metadata.uid === uid),
    },
    instanceOf: (name) => instanceIdOf((nodes.get(name) as Node | undefined)?.spec?.providerID ?? ''),
  });
  const { loadBalancers, mirror, wanted, reads } = stacks;
  const background = createBackground({
    clock: context.clock,
    mirror,
    wanted,
    reads,
    resync: (reason, uids) => context.resync(reason, uids),
  });
  const { routeTableId } = config;
  const interfaces = createNodeInterfaces({ clients, clock: context.clock, cluster: settings.cluster });
  return {
    name: 'aws',
    classes: CLASSES,
    classlessByFlag: true,
    loadBalancers: {
      ...loadBalancers,
      async audit(specs, call) {
        const audit = await loadBalancers.audit(specs, call);
        background.start();
        return audit;
      },
    },
    routes: createRoutes({
      clients,
      clock: context.clock,
      cluster: settings.cluster,
      vpcId,
      interfaces,
      ...(routeTableId === undefined ? {} : { routeTableId }),
    }),
    instances: createInstances({
      clients,
      region: place.region,
      vpcId,
      ipFamilies: config.nodeIpFamilies,
      read: interfaces.learn,
    }),
    targetHealth: stacks.targetHealth,
    limits,
    status: (call) => statusOf({ mirror, reads }, call),
    stacks,
    clients,
    async close() {
      background.close();
      clients.close();
    },
  };
}

const resources = {
  services: { group: '', version: 'v1', plural: 'services' },
  nodes: { group: '', version: 'v1', plural: 'nodes' },
} as const;

interface Place {
  readonly region: string;
  /** Absent: by its tags. */
  readonly vpcId?: string;
}

/** Flags, then the environment as all AWS tools read it, then the instance on which we run. */
async function placeOf(config: Config, env: NonNullable<Surroundings['env']>): Promise<Place> {
  const region = config.region ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'];
  if (region !== undefined && region !== '' && config.vpc !== undefined) {
    return { region, ...('id' in config.vpc ? { vpcId: config.vpc.id } : {}) };
  }
  const missing = [
    ...(region === undefined || region === '' ? ['--aws-region'] : []),
    ...(config.vpc === undefined ? ['--aws-vpc-id or --aws-vpc-tags'] : []),
  ].join(' and ');
  try {
    const found = await identify({ env, signal: AbortSignal.timeout(IDENTIFY_MS) });
    const vpcId = config.vpc === undefined ? found.vpcId : 'id' in config.vpc ? config.vpc.id : undefined;
    return {
      region: region === undefined || region === '' ? found.region : region,
      ...(vpcId === undefined ? {} : { vpcId }),
    };
  } catch (error) {
    const why = (error as Error).message;
    throw failure('FL_AWS_CONFIG', `give ${missing}: it cannot be asked of the instance on which this runs: ${why}`, {
      cause: error,
    });
  }
}

const IDENTIFY_MS = 15_000;

/** [Global] RoleARN, assumed with what the SDK finds. */
async function credentialsOf({ roleArn }: Config, region: string): Promise<Pick<ClientOptions, 'credentials'>> {
  if (roleArn === undefined) return {};
  const { fromTemporaryCredentials } = await import('./sdk/credentials.ts');
  return {
    credentials: fromTemporaryCredentials({
      params: { RoleArn: roleArn, RoleSessionName: 'fairlead' },
      clientConfig: { region, maxAttempts: 3 },
    }),
  };
}

async function vpcByTags({ vpc }: Config, clients: AwsClients, call: Call): Promise<string> {
  const tags = vpc !== undefined && 'tags' in vpc ? Object.entries(vpc.tags) : [];
  const Filters = tags.map(([key, value]) => ({ Name: `tag:${key}`, Values: [value] }));
  const { Vpcs = [] } = await clients.ec2.describeVpcs({ Filters }, call);
  const [only, ...others] = Vpcs.map(({ VpcId = '' }) => VpcId);
  if (only !== undefined && others.length === 0) return only;
  const said = tags.map(([key, value]) => `${key}=${value}`).join(',');
  const found = only === undefined ? 'no VPC has' : `${[only, ...others].join(', ')} all have`;
  throw failure('FL_AWS_CONFIG', `--aws-vpc-tags: ${found} the tags ${said}; exactly one must`);
}

/** Before there is a limiter: one question, once. */
function unlimited({ log }: ProviderContext): Call {
  return { signal: AbortSignal.timeout(IDENTIFY_MS), log, limit: (fn) => fn() };
}
