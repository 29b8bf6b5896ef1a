/**
 * A cluster on AWS without either: a real kube-apiserver, moto as AWS, and the controller as a process of its own with the
 * rights of deploy/kustomize. What people do goes by kubectl.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Seeded } from '../../../localstack/seed.ts';
import type { Node, Service } from '../../../src/core/objects.ts';
import { ask, kubectl } from '../../kube/ask.ts';
import { type Api, freePort, realApi, serviceAccountToken } from '../../kube/cluster.ts';
import { type Guarded, guarded, type Running } from '../../kube/guard.ts';
import { type Account, moto } from '../../localstack/moto.ts';
import { eventually, must } from '../world.ts';
import { type Cloud, createCloud } from './cloud.ts';

const repository = join(import.meta.dirname, '..', '..', '..');
export const CLUSTER = 'e2e';
/** A process starts, several calls go to a server in Python, on a machine that has other work too. */
export const PATIENCE_MS = 90_000;

export interface World {
  readonly api: Api;
  /** The controller's calls: recorded, and to be failed. */
  readonly account: Account;
  readonly cloud: Cloud;
  readonly seeded: Seeded;
  /** Runs until the test ends, or `stop`. */
  start(name: string, flags?: readonly string[]): Promise<Controller>;
  /** `kubectl apply` of this object. Throws with kubectl's words. */
  apply(object: object): Promise<void>;
  kubectl(...args: readonly string[]): Promise<string>;
  service(name: string): Promise<Service>;
  /** A Node as a kubelet registers and reports it. */
  join(node: NodeOptions): Promise<void>;
  node(name: string): Promise<Node | undefined>;
  /** 'Warning Reason: message', oldest first. */
  events(kind: string, name: string): Promise<readonly string[]>;
}
export interface NodeOptions {
  readonly name: string;
  readonly providerID?: string;
  readonly podCIDRs?: readonly string[];
  readonly address?: string;
  readonly taints?: readonly object[];
  readonly ready?: 'True' | 'False' | 'Unknown';
}
export interface Controller {
  readonly program: Running;
  /** Its log: what it said at these levels. */
  said(...levels: readonly string[]): readonly { readonly msg: string; readonly [field: string]: unknown }[];
  /** SIGTERM; resolves with how it ended. */
  stop(): Promise<string>;
}

/** Leaves the test out, and answers `undefined`, where one of the two servers is missing. */
export async function createWorld(t: TestContext): Promise<World | undefined> {
  const api = await realApi(t);
  if (api === undefined) return undefined;
  const server = await moto(t);
  if (server === undefined) return undefined;
  const account = await server.account(t);
  const seeded = await account.seed(CLUSTER);
  const cloud = createCloud(t, account.aside, seeded);
  const guard = guarded('fairlead-aws-');
  t.after(() => guard.close());
  const overlay = join(repository, 'deploy', 'kustomize', 'overlays', 'aws-cloud-controller-manager');
  await run(api, ['apply', '-k', overlay]);
  const token = await serviceAccountToken(api, 'fairlead-system', 'fairlead-controller');
  const kubeconfig = api.writeKubeconfig({ name: 'fairlead-controller', token });

  return {
    api,
    account,
    cloud,
    seeded,
    start: (name, flags = []) => startController({ guard, name, env: account.env, kubeconfig, seeded, flags }),
    apply: async (object) => void (await run(api, ['apply', '-f', '-'], JSON.stringify(object))),
    kubectl: (...args) => run(api, args),
    service: async (name) => (await must(ask(api, 'GET', `/api/v1/namespaces/default/services/${name}`))) as Service,
    join: (options) => joinNode(api, options),
    async node(name) {
      const answer = await ask(api, 'GET', `/api/v1/nodes/${name}`);
      return answer.status === 404 ? undefined : ((await must(Promise.resolve(answer))) as Node);
    },
    async events(kind, name) {
      const { items } = (await must(ask(api, 'GET', '/api/v1/events'))) as { readonly items: readonly Event[] };
      return items
        .filter(({ involvedObject }) => involvedObject.kind === kind && involvedObject.name === name)
        .sort((a, b) => (a.firstTimestamp ?? '').localeCompare(b.firstTimestamp ?? ''))
        .map(({ type, reason, message }) => `${type} ${reason}: ${message}`);
    },
  };
}

interface Event {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly firstTimestamp?: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

async function run(api: Api, args: readonly string[], stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await kubectl(api, args, stdin);
  assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** As a kubelet does it: the object, then its status. */
async function joinNode(api: Api, options: NodeOptions): Promise<void> {
  const { name, providerID, podCIDRs = [], address, taints = [], ready = 'True' } = options;
  const spec = {
    ...(providerID === undefined ? {} : { providerID }),
    ...(podCIDRs.length === 0 ? {} : { podCIDR: podCIDRs[0], podCIDRs }),
    ...(taints.length === 0 ? {} : { taints }),
  };
  const labels = { 'kubernetes.io/hostname': name };
  await must(ask(api, 'POST', '/api/v1/nodes', { metadata: { name, labels }, spec }));
  const now = new Date().toISOString();
  const condition = { type: 'Ready', status: ready, lastHeartbeatTime: now, lastTransitionTime: now };
  const addresses = address === undefined ? [] : [{ type: 'InternalIP', address }];
  const status = { conditions: [condition], addresses };
  await must(ask(api, 'PATCH', `/api/v1/nodes/${name}/status`, { status }));
}

async function startController({
  guard,
  name,
  env,
  kubeconfig,
  seeded,
  flags,
}: {
  readonly guard: Guarded;
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  readonly kubeconfig: string;
  readonly seeded: Seeded;
  readonly flags: readonly string[];
}): Promise<Controller> {
  const port = await freePort();
  const variables = Object.entries({ ...env, AWS_EC2_METADATA_DISABLED: 'true' }).map(
    ([key, value]) => `${key}=${value}`,
  );
  const program = guard.start(name, 'env', [
    ...variables,
    process.execPath,
    join(repository, 'src', 'main.ts'),
    'controller',
    '--provider=aws',
    `--kubeconfig=${kubeconfig}`,
    `--cluster-name=${CLUSTER}`,
    `--aws-vpc-id=${seeded.vpcId}`,
    `--secure-port=${port}`,
    '--leader-elect-resource-name=cloud-controller-manager',
    ...flags,
  ]);
  const controller: Controller = {
    program,
    said: (...levels) =>
      readFileSync(join(guard.folder, `${name}.log`), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as { readonly msg: string; readonly level: string })
        .filter(({ level }) => levels.includes(level)),
    async stop() {
      program.signal('SIGTERM');
      return await program.ended;
    },
  };
  await eventually(async () => {
    if (program.end !== undefined) return;
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
    assert.equal(answer.status, 200, await answer.text());
  }, PATIENCE_MS);
  assert.equal(program.end, undefined, `the controller has ended (${program.end}): ${program.log()}`);
  return controller;
}
