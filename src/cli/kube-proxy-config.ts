import { parse as parseYaml } from 'yaml';

/** What a KubeProxyConfiguration says, in the words of our flags. */
export interface KubeProxyConfig {
  /** Flag name -> text of its value. */
  readonly texts: ReadonlyMap<string, string>;
  /** Settings that mean nothing here, or that nobody knows: 'ipvs.scheduler', each with its value. */
  readonly ignored: readonly string[];
  /** What makes the file unusable. */
  readonly problems: readonly string[];
}

type Shape = 'text' | 'boolean' | 'number' | 'duration' | 'list';
interface Field {
  readonly shape: Shape;
  /** Absent: it has no meaning here. */
  readonly flag?: string;
  /** Counts only in these modes of kube-proxy. */
  readonly modes?: readonly string[];
  /** kube-proxy takes 0 for "not set". */
  readonly zeroIsUnset?: true;
}

const IPTABLES = ['', 'iptables', 'ipvs'];
const NFTABLES = ['nftables'];
const OTHER_MODE = 'the rules are nftables; without nodePortAddresses NodePorts answer on the primary address';

/** Path in the file -> its meaning (kube-proxy's config/v1alpha1/types.go). */
const fields: Readonly<Record<string, Field>> = {
  'clientConnection.kubeconfig': { shape: 'text', flag: 'kubeconfig' },
  'clientConnection.qps': { shape: 'number', flag: 'kube-api-qps', zeroIsUnset: true },
  'clientConnection.burst': { shape: 'number', flag: 'kube-api-burst', zeroIsUnset: true },
  'clientConnection.acceptContentTypes': { shape: 'text' },
  'clientConnection.contentType': { shape: 'text' },
  hostnameOverride: { shape: 'text', flag: 'node-name' },
  bindAddress: { shape: 'text', flag: 'bind-address' },
  healthzBindAddress: { shape: 'text', flag: 'healthz-bind-address' },
  metricsBindAddress: { shape: 'text', flag: 'metrics-bind-address' },
  bindAddressHardFail: { shape: 'boolean', flag: 'bind-address-hard-fail' },
  'iptables.masqueradeAll': { shape: 'boolean', flag: 'masquerade-all', modes: IPTABLES },
  'iptables.syncPeriod': { shape: 'duration', flag: 'sync-period', modes: IPTABLES, zeroIsUnset: true },
  'iptables.minSyncPeriod': { shape: 'duration', flag: 'min-sync-period', modes: IPTABLES, zeroIsUnset: true },
  'nftables.masqueradeAll': { shape: 'boolean', flag: 'masquerade-all', modes: NFTABLES },
  'nftables.syncPeriod': { shape: 'duration', flag: 'sync-period', modes: NFTABLES, zeroIsUnset: true },
  'nftables.minSyncPeriod': { shape: 'duration', flag: 'min-sync-period', modes: NFTABLES, zeroIsUnset: true },
  detectLocalMode: { shape: 'text', flag: 'detect-local-mode' },
  'detectLocal.bridgeInterface': { shape: 'text', flag: 'pod-bridge-interface' },
  'detectLocal.interfaceNamePrefix': { shape: 'text', flag: 'pod-interface-name-prefix' },
  clusterCIDR: { shape: 'text', flag: 'cluster-cidr' },
  nodePortAddresses: { shape: 'list', flag: 'nodeport-addresses' },
  oomScoreAdj: { shape: 'number', flag: 'oom-score-adj' },
  'conntrack.maxPerCore': { shape: 'number', flag: 'conntrack-max-per-core' },
  'conntrack.min': { shape: 'number', flag: 'conntrack-min' },
  'conntrack.tcpEstablishedTimeout': { shape: 'duration', flag: 'conntrack-tcp-timeout-established' },
  'conntrack.tcpCloseWaitTimeout': { shape: 'duration', flag: 'conntrack-tcp-timeout-close-wait' },
  'conntrack.tcpBeLiberal': { shape: 'boolean', flag: 'conntrack-tcp-be-liberal' },
  'conntrack.udpTimeout': { shape: 'duration', flag: 'conntrack-udp-timeout' },
  'conntrack.udpStreamTimeout': { shape: 'duration', flag: 'conntrack-udp-timeout-stream' },
};

/**
 * Reads kube-proxy's config file. A setting that means the same here becomes the text of our flag; every other one that
 * is not empty is ignored and named.
 */
export function readKubeProxyConfig(text: string): KubeProxyConfig {
  const texts = new Map<string, string>();
  const ignored: string[] = [];
  const problems: string[] = [];
  const document = documentOf(text, problems);
  if (document === undefined) return { texts, ignored, problems };
  const { mode = '' } = document;
  if (typeof mode !== 'string' || ![...IPTABLES, ...NFTABLES].includes(mode))
    problems.push(`mode: ${JSON.stringify(mode)} is none of iptables, ipvs, nftables`);
  else if (mode === 'iptables' || mode === 'ipvs') ignored.push(`mode: ${JSON.stringify(mode)} (${OTHER_MODE})`);
  for (const [path, value] of leavesOf(document)) {
    const field = fields[path];
    if (field?.flag === undefined || field.modes?.includes(String(mode)) === false) {
      if (!isEmpty(value)) ignored.push(`${path}: ${JSON.stringify(value)}`);
      continue;
    }
    const said = textOf(value, field.shape);
    if (said === undefined) problems.push(`${path}: ${JSON.stringify(value)} is no ${field.shape}`);
    else if (said !== '' && !(field.zeroIsUnset === true && isEmpty(value))) texts.set(field.flag, said);
  }
  return { texts, ignored, problems };
}

type Settings = Readonly<Record<string, unknown>>;

function documentOf(text: string, problems: string[]): Settings | undefined {
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    problems.push((error as Error).message);
    return undefined;
  }
  if (!isMap(document)) {
    problems.push('it is no YAML map');
    return undefined;
  }
  const { apiVersion, kind } = document;
  if (apiVersion !== 'kubeproxy.config.k8s.io/v1alpha1' || kind !== 'KubeProxyConfiguration') {
    const found = `${JSON.stringify(apiVersion)} ${JSON.stringify(kind)}`;
    problems.push(`it holds ${found}, not KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1`);
    return undefined;
  }
  return document;
}

/** Settings by their path; a known one is a leaf whatever its value is. */
function* leavesOf(map: Settings, path = ''): Iterable<readonly [string, unknown]> {
  for (const [name, value] of Object.entries(map)) {
    const here = `${path}${name}`;
    if (['apiVersion', 'kind', 'mode'].includes(here)) continue;
    if (isMap(value) && fields[here] === undefined) yield* leavesOf(value, `${here}.`);
    else yield [here, value];
  }
}

/** '' for a value that is not set. */
function textOf(value: unknown, shape: Shape): string | undefined {
  if (value === null || value === undefined) return '';
  switch (shape) {
    case 'text':
    case 'duration':
      return typeof value === 'string' ? value : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? String(value) : undefined;
    case 'number':
      return typeof value === 'number' ? String(value) : undefined;
    case 'list':
      return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value.join(',') : undefined;
    default:
      return shape satisfies never;
  }
}

const isMap = (value: unknown): value is Settings =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** As kubeadm writes what it does not set. */
const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === '' ||
  value === 0 ||
  value === false ||
  value === '0s' ||
  value === '0' ||
  (Array.isArray(value) && value.length === 0) ||
  (isMap(value) && Object.keys(value).length === 0);
