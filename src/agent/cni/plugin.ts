import { type Attachment, keyOf, nameOf } from '../../core/cni/attachment.ts';
import { type CniCall, callOf, type Head, NO_NETNS, NOT_A_NETNS, OWN_NETNS } from '../../core/cni/call.ts';
import { checkedInterface, checkProblems } from '../../core/cni/check.ts';
import { CniFailure, cniCodes, failureJson, isCniFailure } from '../../core/cni/failure.ts';
import { compareHostPorts, hostPortsOf, portClash } from '../../core/cni/hostports.ts';
import { type NetConf, parseJson, parseNetConf, versionOf } from '../../core/cni/netconf.ts';
import { appended, emptyResult, resultJson } from '../../core/cni/result.ts';
import { versionAnswer } from '../../core/cni/versions.ts';
import { hostLinkName, macsOf, unrouteMessages, type Wiring, wiringResult } from '../../core/cni/wiring.ts';
import type { Clock, Log } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import type { RouteChannel } from '../netlink/channel.ts';
import type { NodeTable } from '../part.ts';
import type { Caller } from './caller.ts';
import type { Journal } from './journal.ts';
import { errnoText, isDone } from './links.ts';
import { createLocks } from './locks.ts';
import { ourLinks } from './open.ts';
import { createTeardown, type Teardown } from './teardown.ts';
import type { Refused, Wirer } from './wirer.ts';

export interface PluginOptions {
  readonly journal: Journal;
  readonly route: RouteChannel;
  readonly table: Pick<NodeTable, 'hostPorts' | 'written'>;
  readonly clock: Clock & Timers;
  readonly log: Log;
  /** MTU for pods whose configuration states none. */
  readonly mtu: () => number;
  /** Who wires for a caller. */
  readonly wirerFor: (caller: Caller) => Wirer;
  /** Indexes of new links. */
  readonly indexes: Indexes;
  readonly signal: AbortSignal;
}

/** Indexes for the two ends of new links, from 100000 up: below, the kernel chooses. */
export interface Indexes {
  next(): { readonly host: number; readonly pod: number };
}

export function createIndexes(used: readonly number[]): Indexes {
  let last = Math.max(FIRST_INDEX, ...used.filter((index) => index >= FIRST_INDEX && index < LAST_INDEX));
  return {
    next() {
      last = last + 2 > LAST_INDEX ? FIRST_INDEX : last + 2;
      return { host: last - 1, pod: last };
    },
  };
}

const FIRST_INDEX = 100_000;
const LAST_INDEX = 2 ** 31 - 1;

export interface Plugin {
  /** Serves one call to its end, the answer included. Never rejects. */
  serve(caller: Caller): Promise<void>;
  readonly teardown: Teardown;
  readonly journal: Journal;
}

/** How long ADD waits for the node's table when a pod has host ports, and for what a failed ADD takes down. */
const TABLE_MS = 10_000;
const UNDO_MS = 10_000;
/** How long ADD waits for the end of the same attachment before it. */
const REMOVAL_MS = 20_000;
const NOTE_MS = 200;
/** Each try takes new indexes; a name that is taken stays taken. */
const TRIES = 3;
/** EEXIST, EBUSY: a name or an index that the kernel has already, in one of the two namespaces. */
const TAKEN = [17, 16];
const ESRCH = 3;
const ENODEV = 19;

/**
 * The commands of the CNI specification on this node. Two calls for the same attachment never run at once; whatever a
 * failing ADD did is undone, and nothing else.
 */
export function createPlugin(options: PluginOptions): Plugin {
  const { journal, route, table, clock, log, mtu, wirerFor, indexes, signal } = options;
  const locks = createLocks();
  const unnoted = new Set<string>(); // networks whose last_reserved_ip is behind
  const wired = new Set(
    journal
      .list()
      .filter(({ state }) => state === 'ready')
      .map(keyOf),
  ); // what host ports may lead to
  const teardown = createTeardown({ journal, route, clock, log, unpublished, signal });
  publish();

  /** Gives the host ports of all wired pods to the node's table. */
  function publish(): void {
    const all = journal.list().filter((attachment) => wired.has(keyOf(attachment)));
    table.hostPorts(all.flatMap(hostPortsOf).sort(compareHostPorts));
  }

  async function unpublished({ portMappings }: Attachment): Promise<void> {
    if (portMappings.length > 0) await table.written(signal);
  }

  function withdraw(attachment: Attachment): void {
    wired.delete(keyOf(attachment));
    if (attachment.portMappings.length > 0) publish();
  }

  async function add(call: CniCall, conf: NetConf, caller: Caller): Promise<void> {
    const key = `${call.containerId}/${call.ifname}`;
    await locks.with(key, async () => {
      await checkFree(key, call);
      const attachment = reserve(call, conf);
      try {
        const wiring = await wire(attachment, call, conf, wirerFor(caller));
        if (conf.portMappings.length > 0) {
          wired.add(key);
          publish();
          await bounded(table.written, TABLE_MS, 'the node table does not take the host ports');
        }
        journal.setState(key, 'ready');
        wired.add(key);
        const result = appended(conf.prevResult ?? emptyResult, wiringResult(wiring, conf.dns));
        const isDelivered = await caller.answer(0, resultJson(conf.version, result));
        if (!isDelivered) throw new CniFailure(cniCodes.io, 'the runtime was gone before it had the answer');
      } catch (error) {
        await undo(attachment);
        throw error;
      }
      log.debug({ key, addresses: attachment.addresses, netns: call.netns }, 'pod wired');
    });
    noteSoon(conf.name);
  }

  /** Where the round of addresses stands, for host-local and the next start: once for all pods of a moment. */
  function noteSoon(network: string): void {
    const isUnderWay = unnoted.size > 0;
    unnoted.add(network);
    if (isUnderWay) return;
    clock.after(NOTE_MS, () => {
      try {
        if (!signal.aborted) for (const one of unnoted) journal.noteLast(one);
      } catch (err) {
        log.debug({ err }, 'last_reserved_ip is not written');
      }
      unnoted.clear();
    });
  }

  /** No attachment of that name, or an end of it that can be waited for. */
  async function checkFree(key: string, call: CniCall): Promise<void> {
    const before = journal.get(key);
    if (before === undefined) return;
    if (before.state === 'ready' && !(await isLinked(before))) {
      // Its namespace is gone, and nobody said DEL.
      await undo(before);
      return checkFree(key, call);
    }
    if (before.state === 'adding' || before.state === 'removing') {
      const gone = teardown.add(key).then(() => true);
      if (await Promise.race([gone, clock.sleep(REMOVAL_MS, signal).then(() => false)])) return;
      throw new CniFailure(
        cniCodes.tryAgain,
        `${nameOf(before)} is still being torn down`,
        'The log of the agent says what it waits for.',
      );
    }
    throw new CniFailure(
      cniCodes.logic,
      `container veth name provided (${call.ifname}) already exists`,
      `${nameOf(before)} has ${before.addresses.join(', ')} in ${before.netns === '' ? 'a namespace' : before.netns}; DEL comes first`,
    );
  }

  async function isLinked({ link }: Attachment): Promise<boolean> {
    return link !== undefined && ourLinks(await route.links()).get(link.name)?.index === link.index;
  }

  function reserve(call: CniCall, conf: NetConf): Attachment {
    const name = hostLinkName(call.containerId, call.ifname);
    const other = journal.byLink(name);
    if (other !== undefined)
      throw new CniFailure(cniCodes.logic, `${name} is the link of ${nameOf(other)}`, 'a new sandbox gets another one');
    const attachment = journal.reserve({
      network: conf.name,
      containerId: call.containerId,
      ifname: call.ifname,
      netns: call.netns,
      ...(call.args.pod === undefined ? {} : { pod: call.args.pod }),
      link: { name, index: indexes.next().host },
      portMappings: conf.portMappings,
      wanted: conf.addresses,
    });
    try {
      checkPorts(attachment);
      return attachment;
    } catch (error) {
      journal.forget(keyOf(attachment));
      throw error;
    }
  }

  function checkPorts(attachment: Attachment): void {
    const own = hostPortsOf(attachment);
    if (own.length === 0) return;
    for (const other of journal.list()) {
      if (keyOf(other) === keyOf(attachment) || other.state === 'removing') continue;
      const clash = hostPortsOf(other).find((port) => own.some((mine) => portClash(mine, port)));
      if (clash === undefined) continue;
      throw new CniFailure(
        cniCodes.addressTaken,
        `host port ${clash.hostPort}/${clash.protocol} is taken`,
        `${nameOf(other)} has it`,
      );
    }
  }

  async function wire(attachment: Attachment, call: CniCall, conf: NetConf, wirer: Wirer): Promise<Wiring> {
    let wiring = wiringOf(attachment, call, conf);
    for (let tries = 1; ; tries += 1) {
      const outcome = await wirer.wire(wiring);
      if (outcome.kind === 'done') return wiring;
      if (outcome.kind === 'lost')
        throw new CniFailure(cniCodes.io, 'the plugin was gone before it had wired the pod', 'What it did is undone.');
      if (!outcome.isFirst || !TAKEN.includes(outcome.errno)) throw refusal(outcome, call);
      if (tries === TRIES)
        throw new CniFailure(
          cniCodes.logic,
          `container veth name provided (${call.ifname}) already exists`,
          refusedText(outcome),
        );
      await clearName(wiring.link.name, attachment);
      const { host } = indexes.next();
      wiring = wiringOf(journal.relink(keyOf(attachment), { name: wiring.link.name, index: host }), call, conf);
    }
  }

  /** A link with our name and mark that no attachment is about was left by a shim that died with the agent. */
  async function clearName(name: string, attachment: Attachment): Promise<void> {
    const links = await route.links();
    const found = links.find((link) => link.name === name);
    if (found === undefined) return;
    if (!ourLinks(links).has(name))
      throw new CniFailure(
        cniCodes.logic,
        `the host has an interface ${name} that Fairlead did not make`,
        'Rename or delete it.',
      );
    log.warn({ link: name, key: keyOf(attachment) }, 'a link that a killed call left is deleted');
    await route.send([{ kind: 'deleteLink', link: { index: found.index, name } }]);
  }

  function wiringOf(attachment: Attachment, call: CniCall, conf: NetConf): Wiring {
    const { addresses, link } = attachment;
    if (link === undefined) throw new TypeError('an attachment that is being added has a link');
    const macs = macsOf(addresses);
    return {
      link,
      peerIndex: link.index + 1,
      ifname: call.ifname,
      netns: call.netns,
      hostMac: macs.host,
      mac: conf.mac ?? macs.pod,
      mtu: conf.mtu ?? mtu(),
      addresses: addresses.map((address) => ({
        family: address.includes(':') ? 'ipv6' : 'ipv4',
        address,
        gateway: journal.gatewayOf(address),
      })),
      alias: aliasOf(attachment),
      // Only where it is asked for: it lets the pod send to 127.0.0.1 of the node as well.
      routeLocalnet: attachment.portMappings.some(({ hostIP }) => hostIP?.startsWith('127.') === true),
    };
  }

  /** Everything that ADD did, and its addresses; waits until it is gone, within bounds. */
  async function undo(attachment: Attachment): Promise<void> {
    const key = keyOf(attachment);
    withdraw(attachment);
    try {
      journal.setState(key, 'removing');
    } catch (err) {
      // A start undoes what is `adding` as well.
      log.warn({ err, key }, 'the state of a failed call cannot be written');
    }
    await Promise.race([teardown.add(key), clock.sleep(UNDO_MS, signal).catch(() => {})]);
  }

  async function del(call: Pick<CniCall, 'containerId' | 'ifname'>): Promise<void> {
    const key = `${call.containerId}/${call.ifname}`;
    await locks.with(key, async () => {
      const attachment = journal.get(key);
      if (attachment === undefined || attachment.state === 'removing') return;
      if (attachment.state === 'adopted') return journal.forget(key);
      await remove(attachment);
    });
  }

  /** Returns when nothing reaches the pod any more; its link goes in the background. */
  async function remove(attachment: Attachment): Promise<void> {
    const key = keyOf(attachment);
    let isNoted = true;
    try {
      journal.setState(key, 'removing');
    } catch (err) {
      log.warn({ err, key }, 'state cannot be written; the call waits until the pod is torn down');
      isNoted = false;
    }
    withdraw(attachment);
    const acks = await route.send(unrouteMessages(attachment));
    const refused = acks.find((ack) => !isDone(ack, [ESRCH, ENODEV]));
    if (refused !== undefined)
      log.warn({ key, errno: refused.errno }, 'a route is not deleted; its link takes it along');
    const gone = teardown.add(key, isNoted ? 'quiet' : 'now');
    if (!isNoted) await gone;
  }

  async function check(call: CniCall, conf: NetConf, caller: Caller): Promise<void> {
    const { prevResult } = conf;
    if (prevResult === undefined) throw new CniFailure(cniCodes.logic, 'Required prevResult missing');
    checkedInterface(prevResult, call.ifname, call.netns);
    const key = `${call.containerId}/${call.ifname}`;
    await locks.with(key, async () => {
      const attachment = journal.get(key);
      if (attachment === undefined || attachment.state !== 'ready')
        throw new CniFailure(
          cniCodes.changed,
          `container ${call.containerId} has no ${call.ifname} of ours`,
          'ADD comes first',
        );
      const pod = await wirerFor(caller).dumpPod(call.netns);
      if (pod === undefined) throw new CniFailure(cniCodes.io, 'the plugin was gone before it had looked at the pod');
      if ('kind' in pod) throw refusal(pod, call);
      const host = { links: await route.links(), routes: await route.routes() };
      const problems = checkProblems({ attachment, prevResult, ifname: call.ifname, netns: call.netns, host, pod });
      if (problems.length > 0) throw new CniFailure(cniCodes.changed, `${nameOf(attachment)}: ${problems.join('; ')}`);
    });
  }

  async function collect(conf: NetConf): Promise<void> {
    if (conf.validAttachments === undefined)
      throw new CniFailure(
        cniCodes.config,
        'cni.dev/valid-attachments is missing',
        'Without it everything would be deleted.',
      );
    const valid = new Set(conf.validAttachments.map(keyOf));
    const failures: unknown[] = [];
    for (const attachment of journal.list()) {
      if (attachment.network !== conf.name || valid.has(keyOf(attachment))) continue;
      log.info({ key: keyOf(attachment), addresses: attachment.addresses }, 'garbage collected');
      // One that fails does not keep the others (specification, GC).
      await del(attachment).catch((error: unknown) => failures.push(error));
    }
    if (failures.length === 0) return;
    const details = failures
      .map((failure) => (failure instanceof Error ? failure.message : String(failure)))
      .join('; ');
    throw new CniFailure(cniCodes.logic, `${failures.length} attachments could not be removed`, details, failures[0]);
  }

  /** The node could take a pod now. */
  function status(): void {
    const full = journal.usage().find(({ size, used }) => BigInt(used) >= size);
    if (journal.usage().length === 0)
      throw new CniFailure(cniCodes.notAvailable, 'this node has no pod CIDR yet', 'Node spec.podCIDRs is empty.');
    if (full !== undefined)
      throw new CniFailure(cniCodes.notAvailable, `no free address in ${full.cidr}`, `${full.used} are in use`);
  }

  async function bounded(wait: (signal: AbortSignal) => Promise<void>, ms: number, what: string): Promise<void> {
    const limit = new AbortController();
    const cancel = clock.after(ms, () => limit.abort(new CniFailure(cniCodes.tryAgain, what, `waited ${ms / 1000} s`)));
    await wait(AbortSignal.any([signal, limit.signal])).finally(cancel);
  }

  async function run(call: CniCall, caller: Caller): Promise<void> {
    const { head, stdin } = caller;
    const conf = parseNetConf(parseJson(stdin), call);
    switch (call.command) {
      case 'ADD':
        checkNetns(call, head);
        return await add(call, conf, caller);
      case 'DEL':
        await del(call);
        break;
      case 'CHECK':
        checkNetns(call, head);
        await check(call, conf, caller);
        break;
      case 'GC':
        await collect(conf);
        break;
      case 'STATUS':
        status();
        break;
      case 'VERSION':
        await caller.answer(0, versionAnswer(conf.version));
        return;
      default:
        return call.command satisfies never;
    }
    await caller.answer(0, '');
  }

  return {
    teardown,
    journal,
    async serve(caller) {
      const { CNI_COMMAND: command, CNI_CONTAINERID: containerId, CNI_IFNAME: ifname } = caller.head.env;
      try {
        await run(callOf(caller.head.env), caller);
      } catch (error) {
        const level = isCniFailure(error) && error.code === cniCodes.notAvailable ? 'debug' : 'warn';
        log[level]({ command, containerId, ifname, pod: podOf(caller), err: error }, 'CNI call failed');
        await caller.answer(1, failureJson(versionOf(caller.stdin), error));
      }
    },
  };
}

/** For the log, of a call that may not even be one. */
function podOf({ head }: Caller): string | undefined {
  const args = head.env.CNI_ARGS;
  const [, namespace] = /K8S_POD_NAMESPACE=([^;]+)/.exec(args) ?? [];
  const [, name] = /K8S_POD_NAME=([^;]+)/.exec(args) ?? [];
  return namespace === undefined || name === undefined ? undefined : `${namespace}/${name}`;
}

/** `ip link` shows it; the kernel takes 255 bytes. */
const aliasOf = ({ pod, containerId, ifname }: Attachment): string =>
  (pod === undefined ? `${containerId} ${ifname}` : `${pod.namespace}/${pod.name} ${ifname}`).slice(0, 255);

/** What the shim found when it opened CNI_NETNS; the texts are those of the reference. */
function checkNetns({ netns }: CniCall, { shim }: Head): void {
  if (shim === undefined || shim.netns === 0) return;
  const why: Readonly<Record<number, string>> = {
    [NOT_A_NETNS]: 'it is no network namespace',
    [OWN_NETNS]: "plugin's netns and netns from CNI_NETNS should not be the same",
    [NO_NETNS]: 'CNI_NETNS is empty',
  };
  throw new CniFailure(
    cniCodes.netns,
    `failed to open netns "${netns}": ${why[shim.netns] ?? errnoText(shim.netns)}`,
    'The sandbox is gone; the runtime makes a new one.',
  );
}

const refusedText = ({ what, errno, words }: Refused): string => `${what}: ${words ?? errnoText(errno)}`;

const refusal = (refused: Refused, call: CniCall): CniFailure =>
  new CniFailure(
    cniCodes.kernel,
    `${nameOf({ ...call, ...(call.args.pod === undefined ? {} : { pod: call.args.pod }) })} is not wired: ${refusedText(refused)}`,
    'Nothing of it is left.',
  );
