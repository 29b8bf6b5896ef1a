import { existsSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { Cluster, User } from '@kubernetes/client-node/dist/config_types.js';
import { parse as parseYaml } from 'yaml';
import { failure, isProviderError } from '../core/errors.ts';
import { type Credentials, createHttpTransport, type HttpOptions } from './http.ts';
import type { Transport } from './request.ts';

export type { KubeConfig };

export interface KubeConfigOptions {
  /** --kubeconfig: this file and nothing else. */
  readonly kubeconfig?: string;
  /** --master: overrides the server's URL. */
  readonly master?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What stands before /var/run/secrets (''). */
  readonly root?: string;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Where the API server is and who we are: `kubeconfig`, else $KUBECONFIG (several files: the first that names a thing
 * wins, as kubectl does), else the pod's service account, else ~/.kube/config, else `master` alone.
 * Throws ProviderError FL_KUBE_CONFIG when there is none or it does not hold together.
 */
export function loadKubeConfig(options: KubeConfigOptions): KubeConfig {
  const { master, env, root = '' } = options;
  const files = filesOf(options);
  const config =
    files !== undefined ? fromFiles(files) : isInCluster(env, root) ? inCluster(env, root) : fromHome(env, master);
  return completed(config, master);
}

/** HTTP on kept connections; certificates, tokens and exec plugins are followed by client-node's rules. */
export function httpTransport(
  config: KubeConfig,
  {
    env = {},
    ...options
  }: Pick<HttpOptions, 'credentialsAgeMs'> & { readonly env?: HttpOptions['proxyEnv'] & {} } = {},
): Transport {
  const { server, proxyUrl } = clusterOf(config);
  const isSocks = proxyUrl?.startsWith('socks') === true;
  let current = copyOf(config);
  return createHttpTransport({
    ...options,
    url: server,
    credentials: async () => await credentialsOf(current, isSocks),
    // client-node caches tokens, plugin results and agents inside the KubeConfig: a new one has none.
    renew: () => {
      current = copyOf(config);
    },
    ...(isSocks ? {} : { proxyEnv: proxyUrl === undefined ? env : { HTTPS_PROXY: proxyUrl, HTTP_PROXY: proxyUrl } }),
  });
}

async function credentialsOf(config: KubeConfig, withAgent: boolean): Promise<Credentials> {
  const filled: Parameters<KubeConfig['applyToHTTPSOptions']>[0] & Record<string, unknown> = { headers: {} };
  await config.applyToHTTPSOptions(filled);
  const { headers, auth, ca, cert, key, servername, rejectUnauthorized, agent } = filled as unknown as Credentials;
  return {
    headers,
    ...(auth === undefined ? {} : { auth }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    ...(withAgent && agent !== undefined ? { agent } : {}),
  };
}

function filesOf({ kubeconfig, env }: KubeConfigOptions): readonly string[] | undefined {
  if (kubeconfig !== undefined) return [kubeconfig];
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length === 0) return undefined;
  const present = listed.filter((file) => existsSync(file));
  if (present.length === 0) throw invalid(`$KUBECONFIG: none of these files exists: ${listed.join(', ')}`);
  return present;
}

function fromFiles(files: readonly string[]): KubeConfig {
  const [first, ...others] = files.map(fromFile);
  const config = first as KubeConfig;
  for (const other of others) {
    config.clusters.push(...other.clusters.filter(({ name }) => config.clusters.every((one) => one.name !== name)));
    config.users.push(...other.users.filter(({ name }) => config.users.every((one) => one.name !== name)));
    config.contexts.push(...other.contexts.filter(({ name }) => config.contexts.every((one) => one.name !== name)));
    config.currentContext ||= other.currentContext;
  }
  requireWhole(config, files.join(', '));
  return config;
}

function fromFile(file: string): KubeConfig {
  try {
    const document = parseYaml(readFileSync(file, 'utf8')) as RawConfig | null;
    if (typeof document !== 'object' || document === null) throw new Error('it is no YAML map');
    const config = new KubeConfig();
    config.loadFromString(JSON.stringify(prepared(document, dirname(file))));
    config.makePathsAbsolute(dirname(file));
    return config;
  } catch (error) {
    if (isProviderError(error)) throw error;
    throw invalid(`${file}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

interface RawConfig {
  readonly clusters?:
    | readonly { readonly name?: string; readonly cluster?: Readonly<Record<string, unknown>> }[]
    | null;
  readonly users?: readonly { readonly name?: string; readonly user?: RawUser | null }[] | null;
  readonly contexts?: readonly { readonly context?: { readonly cluster?: string; readonly user?: string } }[] | null;
}
interface RawUser {
  readonly [field: string]: unknown;
  readonly tokenFile?: string;
  readonly exec?: {
    readonly apiVersion?: string;
    readonly provideClusterInfo?: boolean;
    readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
  } | null;
}

/** Fields of a kubeconfig (client-go's `clientcmdapi`) that client-node does not know, said in its words. */
function prepared(document: RawConfig, folder: string): RawConfig {
  const users = (document.users ?? []).map((entry) => {
    const user = entry.user ?? {};
    const unsupported = ['as-uid', 'as-groups', 'as-user-extra'].filter((field) => user[field] !== undefined);
    if (unsupported.length > 0) throw new Error(`users "${entry.name}": ${unsupported.join(', ')} is not supported`);
    return { ...entry, user: withExecInfo(withTokenFile(user, folder), entry.name, document) };
  });
  return { ...document, users };
}

/** client-node reads a token file once; its `tokenFile` provider reads it again every minute. */
function withTokenFile(user: RawUser, folder: string): RawUser {
  const { tokenFile, ...rest } = user;
  if (tokenFile === undefined) return user;
  // tokenFile wins over token (clientcmdapi), and client-node's token wins over every provider.
  const { token: _token, ...others } = rest;
  const path = isAbsolute(tokenFile) ? tokenFile : join(folder, tokenFile);
  return { ...others, 'auth-provider': { name: 'tokenFile', config: { tokenFile: path } } };
}

/** Plugins are told in KUBERNETES_EXEC_INFO which version to print (KEP-541); some refuse to run without it. */
function withExecInfo(user: RawUser, name: string | undefined, document: RawConfig): RawUser {
  const { exec } = user;
  if (exec === undefined || exec === null || exec.apiVersion === undefined) return user;
  const env = exec.env ?? [];
  if (env.some((one) => one.name === 'KUBERNETES_EXEC_INFO')) return user;
  const context = (document.contexts ?? []).find((one) => one.context?.user === name)?.context;
  const cluster = (document.clusters ?? []).find((one) => one.name === context?.cluster)?.cluster;
  const info = {
    apiVersion: exec.apiVersion,
    kind: 'ExecCredential',
    spec: { interactive: false, ...(exec.provideClusterInfo === true && cluster !== undefined ? { cluster } : {}) },
  };
  return { ...user, exec: { ...exec, env: [...env, { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }] } };
}

function isInCluster(env: KubeConfigOptions['env'], root: string): boolean {
  return (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '' && existsSync(`${root}${SERVICE_ACCOUNT}/token`);
}

function inCluster(env: KubeConfigOptions['env'], root: string): KubeConfig {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const folder = `${root}${SERVICE_ACCOUNT}`;
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    {
      name: 'in-cluster',
      caFile: `${folder}/ca.crt`,
      server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
      skipTLSVerify: false,
    },
    { name: 'service-account', authProvider: { name: 'tokenFile', config: { tokenFile: `${folder}/token` } } },
  );
  return config;
}

function fromHome(env: KubeConfigOptions['env'], master: string | undefined): KubeConfig {
  const file = join(env['HOME'] ?? '', '.kube', 'config');
  if ((env['HOME'] ?? '') !== '' && existsSync(file)) return fromFiles([file]);
  if (master === undefined) {
    throw invalid(
      `no API server is given: set --kubeconfig or $KUBECONFIG, run in a pod with a service account, or have ${file}`,
    );
  }
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'master', server: master, skipTLSVerify: false }, { name: 'anonymous' });
  return config;
}

/** The current context, its cluster and its user are there; a context without a user is anonymous. */
function requireWhole(config: KubeConfig, files: string): void {
  const name = config.getCurrentContext();
  if (!name) throw invalid(`${files}: current-context is not set`);
  const context = config.getContextObject(name);
  if (context === null) throw invalid(`${files}: current-context: there is no context "${name}"`);
  if (config.getCluster(context.cluster) === null) {
    throw invalid(`${files}: contexts "${name}": there is no cluster "${context.cluster}"`);
  }
  if (context.user && config.getUser(context.user) === null) {
    throw invalid(`${files}: contexts "${name}": there is no user "${context.user}"`);
  }
}

/** One cluster and one user, `master` laid over, in a form that client-node accepts for every server. */
function completed(config: KubeConfig, master: string | undefined): KubeConfig {
  const cluster = clusterOf(config);
  const server = (master ?? cluster.server).replace(/\/$/, '');
  if (!/^https?:\/\//.test(server) || !URL.canParse(server)) {
    throw invalid(`server "${server}": write it as https://HOST:PORT`);
  }
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace;
  // client-node throws for plain HTTP that is not said to be insecure, and takes no CA without a user.
  const plain = server.startsWith('http:');
  const result = new KubeConfig();
  result.loadFromOptions({
    clusters: [{ ...cluster, server, skipTLSVerify: plain || cluster.skipTLSVerify } satisfies Cluster],
    users: [(config.getCurrentUser() ?? { name: 'anonymous' }) satisfies User],
    contexts: [
      {
        name: 'fairlead',
        cluster: cluster.name,
        user: config.getCurrentUser()?.name ?? 'anonymous',
        ...(namespace === undefined ? {} : { namespace }),
      },
    ],
    currentContext: 'fairlead',
  });
  return result;
}

function copyOf(config: KubeConfig): KubeConfig {
  const { clusters, users, contexts, currentContext } = config;
  const copy = new KubeConfig();
  copy.loadFromOptions({ clusters, users, contexts, currentContext });
  return copy;
}

function clusterOf(config: KubeConfig): Cluster {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw invalid('the kubeconfig names no cluster');
  return cluster;
}

function invalid(message: string, cause?: unknown): Error {
  return failure('FL_KUBE_CONFIG', message, { field: '--kubeconfig', ...(cause === undefined ? {} : { cause }) });
}
