/**
 * API servers for tests, behind one interface. The real one is kube-apiserver with etcd, started by and for one test
 * (never a cluster that somebody else runs: tests delete and kill), on loopback, in a temporary folder.
 */
import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpTransport, loadKubeConfig } from '../../src/kube/config.ts';
import { type Client, createClient, type Transport } from '../../src/kube/request.ts';
import { systemClock } from '../../src/work/clock.ts';
import { leaveOut } from '../left-out.ts';
import { type Answer, ask, type Where } from './ask.ts';
import { ensureKube, howToGetKube, type KubePrograms, kubePrograms } from './build.ts';
import { type Guarded, guarded, type Running } from './guard.ts';

/** A test context, or `{ after }` of node:test for one server per file. */
export interface Scope {
  after(run: () => void | Promise<void>): void;
}

export interface Api extends Where {
  readonly name: 'kube-apiserver' | 'sandbox';
  /** Path of the admin's kubeconfig. */
  readonly kubeconfig: string;
  /** Path of a kubectl; absent where the machine has none. */
  readonly kubectl: string | undefined;
  /** For the test's own files; goes with the server. */
  readonly folder: string;
  /** Our own way to it, as the admin; each call makes a new one, closed with the server. */
  transport(): Transport;
  /** A client on a transport of its own, without a limit. */
  client(): Client;
  /** A kubeconfig of somebody else: a service account's token, a proxy's URL. Returns its path. */
  writeKubeconfig(who: { readonly name: string; readonly token?: string; readonly url?: string }): string;
  /** SIGKILL to the API server: connections break, what it had stored stays. */
  kill(): Promise<void>;
  /** The API server again, on the same port and data; ready when it resolves. Does nothing while it runs. */
  start(): Promise<void>;
  /** Ends everything and removes the folder. Idempotent; also called at the end of the scope. */
  stop(): Promise<void>;
}

export interface ApiOptions {
  /** --service-cluster-ip-range (10.96.0.0/16: 65,534 Services); two, with a comma, for dual stack. */
  readonly serviceClusterIpRange?: string;
}
export interface RealApiOptions extends ApiOptions {
  /** Pods get their service account's token, as in a cluster; without nodes that only gets in the way. */
  readonly admitServiceAccounts?: true;
  /** Further flags of kube-apiserver; the last one wins. */
  readonly args?: readonly string[];
  /** Limit of each start (60,000). */
  readonly startMs?: number;
}

/** One kind of API server, for tests that hold on both. */
export interface ApiKind {
  readonly name: Api['name'];
  /** A server of its own for this test; without the programs for one the test is left out and the answer `undefined`. */
  start(t: Pick<TestContext, 'after' | 'skip'>, options?: ApiOptions): Promise<Api | undefined>;
}

/**
 * The sandbox and the real API server, so that one file tests both:
 * `for (const { name, start } of apis) test(..., async (t) => { const api = await start(t); if (api === undefined) return; ... })`
 */
export const apis: readonly ApiKind[] = [
  { name: 'sandbox', start: (t, options) => sandboxApi(t, options) },
  { name: 'kube-apiserver', start: (t, options) => realApi(t, options) },
];

/** A real API server for this test. Without its programs: with CI=true they are built, else the test is left out. */
export async function realApi(
  t: Pick<TestContext, 'after' | 'skip'>,
  options: RealApiOptions = {},
): Promise<Api | undefined> {
  const api = await findRealApi(t, options);
  if (api === undefined) leaveOut(t, 'real kube-apiserver', howToGetKube);
  return api;
}

/** The same for any scope, such as `{ after }` of a whole file; the caller leaves out what needs it. */
export async function findRealApi(scope: Scope, options: RealApiOptions = {}): Promise<Api | undefined> {
  const programs = await ensureKube();
  if (programs === undefined) return undefined;
  for (let tries = 3; ; tries -= 1) {
    try {
      return await startRealApi(scope, programs, options);
    } catch (error) {
      // Another process took a port between our look and the bind.
      if (tries === 1 || !String(error).includes('address already in use')) throw error;
    }
  }
}

/** The API server in memory, on a socket in this process; a kill breaks its connections, and it keeps what it stored. */
export async function sandboxApi(scope: Scope, options: Pick<ApiOptions, 'serviceClusterIpRange'> = {}): Promise<Api> {
  const { createSandboxApi } = await import('../../src/sandbox/api/server.ts');
  // Before anything is open: it throws for programs that are half there.
  const kubectl = kubePrograms()?.kubectl;
  const guard = guarded('fairlead-sandbox-');
  const serviceCidrs = options.serviceClusterIpRange?.split(',');
  const sandbox = createSandboxApi({ clock: systemClock, ...(serviceCidrs === undefined ? {} : { serviceCidrs }) });
  // Without a token: on plain HTTP kubectl sends none. Who somebody is, and what he may do, is for the real server.
  const { url } = await sandbox.listen({ port: await freePort() });
  const where: Where = { url, token: 'admin', caFile: '/nonexistent' };
  let isUp = true;
  const api = apiAt('sandbox', where, guard, kubectl, {
    async kill() {
      if (isUp) await sandbox.kill();
      isUp = false;
    },
    async start() {
      if (!isUp) await sandbox.start();
      isUp = true;
    },
    stop: () => sandbox.close(),
  });
  scope.after(() => api.stop());
  return api;
}

/** A token of a service account that exists, good for an hour (TokenRequest API). */
export async function serviceAccountToken(api: Where, namespace: string, name: string): Promise<string> {
  const answer = await ask(api, 'POST', `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 3600 },
  });
  if (answer.status !== 201) throw new Error(`no token for ${namespace}/${name}: ${answer.status} ${answer.text}`);
  return (answer.json as { status: { token: string } }).status.token;
}

async function startRealApi(scope: Scope, programs: KubePrograms, options: RealApiOptions): Promise<Api> {
  const guard = guarded('fairlead-kube-');
  try {
    const api = await startIn(guard, programs, options);
    scope.after(() => api.stop());
    return api;
  } catch (error) {
    await guard.close();
    throw error;
  }
}

async function startIn(guard: Guarded, programs: KubePrograms, options: RealApiOptions): Promise<Api> {
  const { folder } = guard;
  const token = randomBytes(16).toString('hex');
  writeFileSync(join(folder, 'tokens.csv'), `${token},admin,1,system:masters\n`, { mode: 0o600 });
  writeServiceAccountKeys(folder);
  const etcd = await startEtcd(guard, programs.etcd);
  const port = await freePort();
  const where: Where = {
    url: `https://127.0.0.1:${port}`,
    token,
    caFile: join(folder, 'certs', 'apiserver.crt'), // made by the server at its first start; holds its CA too
  };
  let server: Running | undefined;
  const api = apiAt('kube-apiserver', where, guard, programs.kubectl, {
    async kill() {
      server?.signal('SIGKILL');
      await server?.ended;
    },
    async start() {
      if (server !== undefined && server.end === undefined) return;
      server = guard.start('kube-apiserver', programs.apiserver, apiserverArgs(etcd.url, port, options));
      await whenReady(where, [etcd.program, server], options.startMs ?? 60_000);
    },
    stop: async () => {},
  });
  await api.start();
  return api;
}

/** What is the same for every server: its files and our own clients. */
export function apiAt(
  name: Api['name'],
  where: Where,
  guard: Guarded,
  kubectl: string | undefined,
  life: Pick<Api, 'kill' | 'start' | 'stop'>,
): Api {
  const transports: Transport[] = [];
  const write = (who: { readonly name: string }): string => writeKubeconfig(guard.folder, { ...where, ...who });
  const kubeconfig = write({ name: 'admin' });
  const transport = (): Transport => {
    const made = httpTransport(loadKubeConfig({ kubeconfig, env: {} }));
    transports.push(made);
    return made;
  };
  return {
    ...where,
    name,
    kubeconfig,
    kubectl,
    folder: guard.folder,
    transport,
    client: () => createClient({ transport: transport(), clock: systemClock }),
    writeKubeconfig: write,
    kill: life.kill,
    start: life.start,
    async stop() {
      for (const made of transports.splice(0)) made.close();
      await life.stop();
      await guard.close();
    },
  };
}

/** `sa.key` and `sa.pub`, with which the API server signs and verifies service accounts' tokens. */
export function writeServiceAccountKeys(folder: string): void {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  writeFileSync(join(folder, 'sa.pub'), publicKey);
  writeFileSync(join(folder, 'sa.key'), privateKey, { mode: 0o600 });
}

async function startEtcd(
  guard: Guarded,
  command: string,
): Promise<{ readonly url: string; readonly program: Running }> {
  const url = `http://127.0.0.1:${await freePort()}`;
  const peer = `http://127.0.0.1:${await freePort()}`;
  const program = guard.start('etcd', command, [
    '--data-dir=etcd',
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
  return { url, program };
}

function apiserverArgs(etcdUrl: string, port: number, options: RealApiOptions): readonly string[] {
  return [
    `--etcd-servers=${etcdUrl}`,
    `--secure-port=${port}`,
    '--bind-address=127.0.0.1',
    '--cert-dir=certs',
    '--service-account-issuer=https://kubernetes.default.svc',
    '--service-account-key-file=sa.pub',
    '--service-account-signing-key-file=sa.key',
    `--service-cluster-ip-range=${options.serviceClusterIpRange ?? '10.96.0.0/16'}`,
    '--token-auth-file=tokens.csv',
    '--authorization-mode=RBAC',
    '--allow-privileged=true',
    '--endpoint-reconciler-type=none',
    '--profiling=false',
    ...(options.admitServiceAccounts === true ? [] : ['--disable-admission-plugins=ServiceAccount']),
    ...(options.args ?? []),
  ];
}

// The namespaces that everybody expects come a moment after /readyz.
const readyPaths = ['/readyz', '/api/v1/namespaces/default', '/api/v1/namespaces/kube-system'];

/** Waits for the API server; rejects with the log of a program that ended, or of the last one when time is over. */
export async function whenReady(where: Where, programs: readonly Running[], withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (const path of readyPaths) {
    while ((await statusOf(where, path)) !== 200) {
      const dead = programs.find((program) => program.end !== undefined);
      if (dead !== undefined) throw new Error(`${dead.name} ended by itself (${dead.end}):\n${dead.log()}`);
      if (performance.now() > deadline) {
        throw new Error(`kube-apiserver: ${path} is not there after ${withinMs} ms:\n${programs.at(-1)?.log()}`);
      }
      await sleep(50);
    }
  }
}

/** `undefined` while nobody answers; whenReady has the deadline. */
async function statusOf(where: Where, path: string): Promise<number | undefined> {
  return ask(where, 'GET', path).then(
    (answer: Answer) => answer.status,
    () => undefined,
  );
}

/** Below the range that the kernel gives to outgoing connections, so that a port is still free for a restart. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 30_000);
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function writeKubeconfig(folder: string, who: Where & { readonly name: string }): string {
  const path = join(folder, `${who.name}.kubeconfig`);
  const trust = who.url.startsWith('https:')
    ? { 'certificate-authority': who.caFile }
    : { 'insecure-skip-tls-verify': true }; // client-node asks for it on plain HTTP
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: who.url, ...trust } }],
    users: [{ name: who.name, user: { token: who.token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: who.name } }],
    'current-context': 'test',
  };
  writeFileSync(path, JSON.stringify(config, undefined, 2), { mode: 0o600 });
  return path;
}
