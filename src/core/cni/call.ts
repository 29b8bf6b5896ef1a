import { CniFailure, cniCodes } from './failure.ts';

export const cniCommands = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type CniCommand = (typeof cniCommands)[number];

/** The environment of one call, as the runtime gave it to the plugin. Values may be empty. */
export interface CniCall {
  readonly command: CniCommand;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly args: CniArgs;
  readonly path: string;
}

/** CNI_ARGS, those that mean something to us. */
export interface CniArgs {
  readonly ip?: string;
  readonly mac?: string;
  /** Of Kubernetes: names the pod in errors and in the journal. */
  readonly pod?: PodName;
}
export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
}

/** One attachment of a pod to the network: what ADD, DEL and CHECK are about, and what locks and the journal are keyed by. */
export const attachmentKey = (containerId: string, ifname: string): string => `${containerId}/${ifname}`;

const lineNames = ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_ARGS', 'CNI_PATH'] as const;
type LineName = (typeof lineNames)[number];
type Environment = Readonly<Record<LineName, string>>;

/** What comes before stdin on the socket. */
export interface Head {
  readonly env: Environment;
  /** The C shim waits for a plan; absent: the shell form, which half-closes after stdin and can do nothing for us. */
  readonly shim?: ShimFacts;
}
export interface ShimFacts {
  /** Bytes of stdin that follow the head. */
  readonly length: number;
  /** 0: the namespace is open as descriptor 9. Else the errno of opening it; NOT_A_NETNS, OWN_NETNS or NO_NETNS. */
  readonly netns: number;
}
export const NOT_A_NETNS = -1;
export const OWN_NETNS = -2;
/** CNI_NETNS was empty. */
export const NO_NETNS = -3;

/** The text before the first empty line: six lines `NAME=value` in fixed order, a seventh from the C shim. */
export function parseHead(text: string): Head {
  const lines = text.split('\n');
  if (lines.length < lineNames.length || lines.length > lineNames.length + 1) throw malformed(`${lines.length} lines`);
  const env = Object.fromEntries(lineNames.map((name, at) => [name, lineValue(name, lines[at] ?? '')])) as Environment;
  const last = lines[lineNames.length];
  if (last === undefined) return { env };
  const [, length, netns] = /^SHIM=1 LEN=(\d{1,10}) NS=(-?\d{1,5})$/.exec(last) ?? [];
  if (length === undefined || netns === undefined) throw malformed(`line 7 is ${JSON.stringify(last.slice(0, 80))}`);
  return { env, shim: { length: Number(length), netns: Number(netns) } };
}

function lineValue(name: LineName, line: string): string {
  if (!line.startsWith(`${name}=`)) throw malformed(`${name} is missing`);
  return line.slice(name.length + 1);
}

const malformed = (what: string): CniFailure =>
  new CniFailure(
    cniCodes.decoding,
    `not a call of the Fairlead CNI plugin: ${what}`,
    'The shim in the CNI bin directory writes the calls; nothing else should connect to this socket.',
  );

/** Needed by command, in the order in which the reference names what is missing. */
const required: Readonly<Record<CniCommand, readonly LineName[]>> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'],
  GC: ['CNI_PATH'],
  STATUS: ['CNI_PATH'],
  VERSION: [],
};

/** Validates as containernetworking/cni pkg/skel does, with its codes and texts. */
export function callOf(env: Environment): CniCall {
  const command = cniCommands.find((known) => known === env.CNI_COMMAND);
  if (command === undefined)
    throw new CniFailure(
      cniCodes.environment,
      `unknown CNI_COMMAND: ${env.CNI_COMMAND}`,
      `one of ${cniCommands.join(' ')}`,
    );
  const missing = required[command].filter((name) => env[name] === '');
  if (missing.length > 0)
    throw new CniFailure(cniCodes.environment, `required env variables [${missing.join(',')}] missing`);
  if (env.CNI_CONTAINERID !== '') checkContainerId(env.CNI_CONTAINERID);
  if (env.CNI_IFNAME !== '') checkInterfaceName(env.CNI_IFNAME);
  return {
    command,
    containerId: env.CNI_CONTAINERID,
    netns: env.CNI_NETNS,
    ifname: env.CNI_IFNAME,
    // What made ADD fail must not keep the runtime from cleaning up after it.
    args: command === 'ADD' || command === 'CHECK' ? argsOf(env.CNI_ARGS) : {},
    path: env.CNI_PATH,
  };
}

/** Longer would not fit into one line of a host-local file and one name of a journal. No runtime comes near. */
const LONGEST_CONTAINER_ID = 200;

export function checkContainerId(id: string): void {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(id))
    throw new CniFailure(cniCodes.environment, 'invalid characters in containerID', id);
  if (id.length > LONGEST_CONTAINER_ID)
    throw new CniFailure(cniCodes.environment, `containerID is too long`, `at most ${LONGEST_CONTAINER_ID} characters`);
}

export function checkInterfaceName(name: string): void {
  if (new TextEncoder().encode(name).length > 15)
    throw new CniFailure(
      cniCodes.environment,
      'interface name is too long',
      'interface name should be less than 16 characters',
    );
  if (name === '.' || name === '..') throw new CniFailure(cniCodes.environment, 'interface name is . or ..');
  if (/[/:\s]/.test(name))
    throw new CniFailure(cniCodes.environment, 'interface name contains / or : or whitespace characters');
}

const podArgs = ['K8S_POD_NAMESPACE', 'K8S_POD_NAME', 'K8S_POD_UID', 'K8S_POD_INFRA_CONTAINER_ID'];
const ownArgs = ['IgnoreUnknown', 'IP', 'MAC', ...podArgs];

/** `K=V;K=V`. Unknown names are refused unless IgnoreUnknown is true, as types.LoadArgs of the reference does. */
function argsOf(text: string): CniArgs {
  const pairs = text === '' ? [] : text.split(';').filter((pair) => pair !== '');
  const args = new Map(pairs.map(pairOf));
  const unknown = [...args].filter(([name]) => !ownArgs.includes(name)).map(([name, value]) => `${name}=${value}`);
  if (unknown.length > 0 && !isTrue(args.get('IgnoreUnknown')))
    throw new CniFailure(
      cniCodes.environment,
      `ARGS: unknown args ${JSON.stringify(unknown)}`,
      `Known are ${ownArgs.join(', ')}; IgnoreUnknown=true lets others pass.`,
    );
  const ip = args.get('IP');
  const mac = args.get('MAC');
  const pod = podOf(args);
  return {
    ...(ip === undefined || ip === '' ? {} : { ip }),
    ...(mac === undefined || mac === '' ? {} : { mac }),
    ...(pod === undefined ? {} : { pod }),
  };
}

function pairOf(pair: string): readonly [string, string] {
  const at = pair.indexOf('=');
  if (at <= 0) throw new CniFailure(cniCodes.environment, `ARGS: invalid pair ${JSON.stringify(pair)}`);
  return [pair.slice(0, at), pair.slice(at + 1)];
}

function podOf(args: ReadonlyMap<string, string>): PodName | undefined {
  const namespace = args.get('K8S_POD_NAMESPACE') ?? '';
  const name = args.get('K8S_POD_NAME') ?? '';
  const uid = args.get('K8S_POD_UID') ?? '';
  if (namespace === '' || name === '') return undefined;
  return { namespace, name, ...(uid === '' ? {} : { uid }) };
}

/** UnmarshallableBool of the reference. */
const isTrue = (text = ''): boolean => text === '1' || text.toLowerCase() === 'true';
