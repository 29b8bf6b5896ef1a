import { readFileSync } from 'node:fs';
import { type Attachment, keyOf, nameOf } from '../../core/cni/attachment.ts';
import { conflistText } from '../../core/cni/conflist.ts';
import { masqueradeSets } from '../../core/cni/masquerade.ts';
import { podMtu } from '../../core/cni/mtu.ts';
import { rerouteMessages } from '../../core/cni/wiring.ts';
import { failure, isProviderError } from '../../core/errors.ts';
import { formatBlock, parseBlock } from '../../core/net/cidr.ts';
import type { LinkRecord, RouteEvent, RouteRecord } from '../../core/net/rtnetlink.ts';
import type { Node } from '../../core/objects.ts';
import type { Cidr } from '../../core/provider.ts';
import { exec } from '../exec.ts';
import type { RouteChannel } from '../netlink/channel.ts';
import type { AgentContext, CleanupContext, Part } from '../part.ts';
import { createSysctls, enableForwarding } from '../sysctl.ts';
import { agentWirer } from './agent-wirer.ts';
import type { Caller } from './caller.ts';
import { disk } from './disk.ts';
import { installPlugin, uninstall, writeConflist } from './install.ts';
import { isDone, orphansOf, removeLinks } from './links.ts';
import { type Opened, openJournal } from './open.ts';
import type { CniOptions } from './options.ts';
import { createIndexes, createPlugin, type Plugin } from './plugin.ts';
import { listen } from './server.ts';
import { shimWirer } from './wirer.ts';

/** Between two looks at everything, with events of the kernel, and on a channel without them. */
const AUDIT_MS = 10_000;
const POLL_MS = 1_000;

/** Serves the CNI plugin of this node: pods' interfaces, their addresses, their host ports, and masquerading. */
export async function create(context: AgentContext, options: CniOptions): Promise<Part> {
  let readiness: string | undefined = 'the CNI part has not begun';
  return {
    name: 'cni',
    ready: () => readiness,
    run: (signal) =>
      keep(context, options, signal, (reason) => {
        readiness = reason;
      }),
  };
}

/** Removes conflist and plugin. Pods that run keep their network. */
export async function cleanup(_: CleanupContext, options: CniOptions): Promise<void> {
  uninstall(options);
}

async function keep(
  context: AgentContext,
  options: CniOptions,
  signal: AbortSignal,
  tell: (reason: string | undefined) => void,
): Promise<void> {
  const { clock, log, table } = context;
  tell('the node has no pod CIDR yet');
  const podCidrs = await ownCidrs(context, signal);
  tell('the pods that were there before are being looked at');
  const route = await context.routes();
  const links = await route.links();
  await forward(context, links, podCidrs);
  const opened = open(context, options, podCidrs, links);
  const { journal } = opened;
  let mtu = podMtu(links, await route.routes(), options.encapsulation);
  const sysctls = createSysctls({ root: context.sysctlRoot, log });
  const inAgent = agentWirer({ host: route, openRoute: options.openRoute, sysctls, exec });
  const plugin = createPlugin({
    journal,
    route,
    table,
    clock,
    log,
    mtu: () => (options.mtu === 0 ? mtu : options.mtu),
    wirerFor: (caller) => (caller.head.shim === undefined ? inAgent : shimWirer(caller.exchange)),
    indexes: createIndexes(links.map(({ index }) => index)),
    signal,
  });
  report(context, opened);
  for (const attachment of opened.unfinished) void plugin.teardown.add(keyOf(attachment));
  const endMasquerade = masquerade(context, options, podCidrs);
  tell('the node table is being written');
  await table.written(signal);
  installPlugin(options.shim, options);
  const serve = (caller: Caller): Promise<void> => plugin.serve(options.effects?.caller(caller) ?? caller);
  const server = await listen({ path: options.socket, log, timers: clock, serve });
  const conflist = conflistText({ name: options.network, type: options.plugin, chained: options.chained });
  const endEvents = route.events((event) => onEvent(event, plugin, route, context));
  try {
    writeConflist(conflist, options);
    log.info({ podCidrs, mtu, socket: options.socket }, 'CNI plugin ready');
    tell(undefined);
    while (!signal.aborted) {
      mtu = await audit(route, plugin, context, options, mtu);
      if (writeConflist(conflist, options))
        log.warn({ folder: options.confDir }, 'conflist was changed or gone; written again');
      checkCidrs(context, podCidrs);
      await clock.sleep(endEvents === undefined ? POLL_MS : AUDIT_MS, signal).catch(() => {});
    }
  } finally {
    endEvents?.();
    endMasquerade();
    await server.close();
  }

  /** Everything compared once; what cannot be read now is read the next time. */
  async function audit(...[route, plugin, { log }, { encapsulation }, before]: AuditInput): Promise<number> {
    try {
      const links = await route.links();
      const routes = await route.routes();
      const orphans = orphansOf(links, (name) => plugin.journal.byLink(name) !== undefined);
      if (orphans.length > 0) {
        log.warn({ links: orphans.map(({ name }) => name) }, 'links of pods that are not known are deleted');
        await removeLinks(route, orphans);
      }
      for (const attachment of unrouted(plugin.journal.list(), links, routes))
        await reroute(attachment, route, context);
      return podMtu(links, routes, encapsulation);
    } catch (err) {
      log.warn({ err }, 'links and routes cannot be compared');
      return before;
    }
  }
}

type AuditInput = readonly [
  route: RouteChannel,
  plugin: Plugin,
  context: AgentContext,
  options: CniOptions,
  before: number,
];

/** Waits for the Node's pod CIDRs; throws FL_CNI_POD_CIDR for ones that no pod can live in. */
async function ownCidrs({ nodes, nodeName }: AgentContext, signal: AbortSignal): Promise<readonly Cidr[]> {
  const store = nodes('own');
  await store.whenSynced(signal);
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  const look = (): void => {
    const cidrs = podCidrsOf(store.get(nodeName));
    if (cidrs.length > 0) resolve(cidrs);
  };
  const end = store.onChange(look);
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  look();
  try {
    return usable(await promise);
  } finally {
    end();
    signal.removeEventListener('abort', abort);
  }
}

function podCidrsOf(node: Node | undefined): readonly string[] {
  const { podCIDRs = [], podCIDR = '' } = node?.spec ?? {};
  if (podCIDRs.length > 0) return podCIDRs;
  return podCIDR === '' ? [] : [podCIDR];
}

function usable(texts: readonly string[]): readonly Cidr[] {
  const blocks = texts.map((text) => {
    const block = parseBlock(text);
    if (block === undefined)
      throw failure('FL_CNI_POD_CIDR', `spec.podCIDRs of the node: ${JSON.stringify(text)} is not a CIDR`);
    if (block.last - block.first < 3n)
      throw failure('FL_CNI_POD_CIDR', `spec.podCIDRs of the node: ${text} has no room for a pod`);
    return block;
  });
  if (new Set(blocks.map(({ family }) => family)).size < blocks.length)
    throw failure('FL_CNI_POD_CIDR', `spec.podCIDRs of the node: two of one family in ${texts.join(', ')}`);
  return blocks.toSorted((a, b) => Number(a.family === 'ipv6') - Number(b.family === 'ipv6')).map(formatBlock);
}

/** A Node that was registered anew may have others: everything about addresses begins anew then. */
function checkCidrs({ nodes, nodeName }: AgentContext, podCidrs: readonly Cidr[]): void {
  const now = podCidrsOf(nodes('own').get(nodeName));
  if (now.length === 0) return;
  const cidrs = usable(now);
  if (cidrs.join() !== podCidrs.join())
    throw failure(
      'FL_CNI_POD_CIDR',
      `spec.podCIDRs of the node changed from ${podCidrs.join(', ')} to ${cidrs.join(', ')}`,
    );
}

async function forward(
  { sysctlRoot, log }: AgentContext,
  links: readonly LinkRecord[],
  podCidrs: readonly Cidr[],
): Promise<void> {
  const has = (family: string): boolean => podCidrs.some((cidr) => cidr.includes(':') === (family === 'ipv6'));
  const interfaces = links.filter(({ loopback }) => !loopback).map(({ name }) => name);
  await enableForwarding(createSysctls({ root: sysctlRoot, log }), {
    ipv4: has('ipv4'),
    ipv6: has('ipv6'),
    interfaces,
  });
}

function open(
  { log }: AgentContext,
  options: CniOptions,
  podCidrs: readonly Cidr[],
  links: readonly LinkRecord[],
): Opened {
  const { stateDir, networksDir, bootId = readBootId(), effects } = options;
  try {
    return openJournal({ disk: effects?.disk ?? disk, log, bootId, stateDir, networksDir, podCidrs }, links);
  } catch (error) {
    if (isProviderError(error)) throw error;
    throw failure('FL_CNI_STATE', `the state of pods cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

const readBootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

function report({ log }: AgentContext, { journal, forgotten, unfinished, adopted, rebuilt, orphans }: Opened): void {
  const names = (attachments: readonly Attachment[]): readonly string[] => attachments.map(nameOf);
  log.info(
    {
      pods: journal.list().length,
      forgotten: names(forgotten),
      unfinished: names(unfinished),
      adopted: names(adopted),
      rebuilt: names(rebuilt),
      orphans: orphans.map(({ name }) => name),
    },
    'pods that were there before',
  );
}

/** Keeps the two sets of the masquerade rule current; until the returned function is called. */
function masquerade({ nodes, table }: AgentContext, options: CniOptions, podCidrs: readonly Cidr[]): () => void {
  if (!options.masquerade) {
    table.localPods([]);
    table.noMasq([]);
    return () => {};
  }
  const store = nodes('all');
  const write = (): void => {
    const { localPods, noMasq } = masqueradeSets(podCidrs, store.list().map(podCidrsOf), options);
    table.noMasq(noMasq);
    // Nothing is masqueraded before all destinations that are not are known.
    table.localPods(store.synced ? localPods : []);
  };
  write();
  const end = store.onChange((old, now) => {
    if (podCidrsOf(old).join() !== podCidrsOf(now).join()) write();
  });
  let isEnded = false;
  const never = new AbortController();
  void store.whenSynced(never.signal).then(
    () => isEnded || write(),
    () => {},
  );
  return () => {
    isEnded = true;
    never.abort();
    end();
  };
}

function onEvent(event: RouteEvent, { journal }: Plugin, route: RouteChannel, context: AgentContext): void {
  if (event.kind !== 'route' || !event.gone) return;
  const [address] = event.route.destination.split('/');
  const attachment = journal
    .list()
    .find(({ state, addresses }) => state === 'ready' && addresses.includes(address ?? ''));
  if (attachment?.link?.index === event.route.link && attachment !== undefined)
    void reroute(attachment, route, context);
}

const ENODEV = 19;
const EEXIST = 17;
const ENETDOWN = 100;

/** Puts the routes of a pod back that somebody deleted. That the link is gone as well says that the pod is. */
async function reroute(attachment: Attachment, route: RouteChannel, { log }: AgentContext): Promise<void> {
  try {
    const acks = await route.send(rerouteMessages(attachment));
    if (acks.some((ack) => isDone(ack)))
      log.warn({ pod: nameOf(attachment), addresses: attachment.addresses }, 'a lost route is back');
    const refused = acks.find((ack) => !isDone(ack, [EEXIST, ENODEV, ENETDOWN]));
    if (refused !== undefined)
      log.warn({ pod: nameOf(attachment), errno: refused.errno }, 'a lost route cannot be made again');
  } catch (err) {
    log.warn({ err, pod: nameOf(attachment) }, 'a lost route cannot be made again');
  }
}

/** Pods whose link is there and whose route is not. */
function unrouted(
  attachments: readonly Attachment[],
  links: readonly LinkRecord[],
  routes: readonly RouteRecord[],
): readonly Attachment[] {
  const up = new Set(links.filter((link) => link.up).map(({ index }) => index));
  const there = new Set(routes.map(({ destination, link }) => `${destination} ${link}`));
  return attachments.filter(
    ({ state, link, addresses }) =>
      state === 'ready' &&
      link !== undefined &&
      up.has(link.index) &&
      addresses.some((address) => !there.has(`${address}/${address.includes(':') ? 128 : 32} ${link.index}`)),
  );
}
