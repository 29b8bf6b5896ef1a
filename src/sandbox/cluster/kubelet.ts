import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { KubeObject } from '../../core/objects.ts';
import type { Clock, Log } from '../../core/provider.ts';
import { createPatches } from '../../kube/patch.ts';
import { createReflector } from '../../kube/reflector.ts';
import { type Client, isNotFound } from '../../kube/request.ts';
import { pathOf, resources } from '../../kube/resource.ts';
import { createStore } from '../../kube/store.ts';
import { exponential } from '../../work/backoff.ts';
import type { Timers } from '../../work/clock.ts';
import { createQueue } from '../../work/queue.ts';
import type { Netns } from '../netns.ts';
import type { CniAttachment, CniRuntime } from './cni-runtime.ts';
import { podServer, programOf } from './inside.ts';

/**
 * Stands in for a kubelet and its container runtime: gives each pod of its node a network namespace through the CNI
 * plugin and runs one small server in it, whatever the pod's image, that answers on the pod's container ports.
 */
export interface Kubelet {
  /** Until the signal aborts; pods stay as they are. */
  run(signal: AbortSignal): Promise<void>;
  /** Namespace of a pod that runs here, by 'namespace/name'. */
  namespaceOf(key: string): string | undefined;
}

export interface KubeletOptions {
  readonly nodeName: string;
  readonly hostIPs: readonly string[];
  readonly client: Client;
  readonly netns: Netns;
  readonly cni: CniRuntime;
  readonly clock: Clock & Timers;
  readonly log: Log;
}

interface PodObject extends KubeObject {
  readonly spec: {
    readonly hostNetwork?: boolean;
    readonly terminationGracePeriodSeconds?: number;
    readonly containers: readonly {
      readonly name: string;
      readonly image?: string;
      readonly ports?: readonly {
        readonly containerPort: number;
        readonly protocol?: string;
        readonly hostPort?: number;
        readonly hostIP?: string;
      }[];
    }[];
  };
}

/** A pod as this node has it. */
interface Running {
  readonly uid: string;
  /** Absent: it uses the node's. */
  readonly attachment: CniAttachment | undefined;
  readonly ns: string;
  readonly child: ChildProcess;
  readonly ips: readonly string[];
}

/** Answered while proxies forget a pod that is going: far above what they take, far below what a person notices. */
const DRAIN_MS = 500;
const START_MS = 10_000;
const DEFAULT_PORT = 8080;

export function createKubelet(options: KubeletOptions): Kubelet {
  const { nodeName, hostIPs, client, netns, cni, clock, log } = options;
  const store = createStore<PodObject>();
  const running = new Map<string, Running>(); // 'namespace/name' -> what runs
  const patches = createPatches(client);
  let made = 0;
  const queue = createQueue({
    name: `kubelet-${nodeName}`,
    controller: 'kubelet',
    concurrency: 8,
    clock,
    backoff: exponential({ baseMs: 200, capMs: 5000 }),
    log,
    reconcile,
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const pod = store.get(key);
    const known = running.get(key);
    const isOver = pod === undefined || pod.metadata.deletionTimestamp !== undefined;
    if (known !== undefined && (isOver || known.uid !== pod.metadata.uid)) await stop(key, known);
    if (pod === undefined) return;
    if (isOver) await remove(pod, signal);
    else if (!running.has(key)) await start(key, pod, signal);
  }

  async function start(key: string, pod: PodObject, signal: AbortSignal): Promise<void> {
    const { uid } = pod.metadata;
    made += 1;
    const ns = pod.spec.hostNetwork === true ? nodeName : `${nodeName}-p${made}`;
    const attachment = pod.spec.hostNetwork === true ? undefined : attachmentOf(pod, netns.path(ns));
    let child: ChildProcess | undefined;
    try {
      if (attachment !== undefined) await netns.add(ns);
      const result = attachment && (await cni.add(attachment));
      const ips = result?.ips.map(({ address }) => address.slice(0, address.indexOf('/'))) ?? hostIPs;
      child = await serve(pod, ns);
      const known = { uid, attachment, ns, child, ips };
      running.set(key, known);
      child.once('exit', () => {
        if (running.get(key) === known) queue.add(key);
      });
    } catch (error) {
      child?.kill('SIGKILL');
      if (attachment !== undefined) {
        // As a kubelet: what the failed ADD may have left goes at once, the next attempt is a new sandbox.
        await cni.del(attachment).catch((err: unknown) => log.warn({ pod: key, err }, 'CNI DEL failed'));
        await netns.remove(ns);
      }
      throw error;
    }
    await report(pod, running.get(key), signal);
  }

  async function serve(pod: PodObject, ns: string): Promise<ChildProcess> {
    // Node has no SCTP: such a port stays silent.
    const listed = pod.spec.containers.flatMap(({ ports = [] }) => ports).filter(({ protocol }) => protocol !== 'SCTP');
    const ports = listed.length === 0 ? [{ containerPort: DEFAULT_PORT }] : listed;
    const child = netns.spawn(ns, [process.execPath, '-e', programOf(podServer)], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        PATH: process.env['PATH'],
        NAME: pod.metadata.name,
        PORTS: JSON.stringify(ports.map(({ containerPort: port, protocol = 'TCP' }) => ({ port, protocol }))),
        DRAIN_MS: `${Math.min(DRAIN_MS, 1000 * (pod.spec.terminationGracePeriodSeconds ?? 30))}`,
      },
    });
    const ended = once(child, 'exit').then(() => 'ended');
    const ready = child.stdout === null ? ended : once(child.stdout, 'data').then(() => 'ready');
    const late = AbortSignal.timeout(START_MS);
    const outcome = await Promise.race([ended, ready, once(late, 'abort').then(() => 'late')]);
    if (outcome === 'ready') return child;
    child.kill('SIGKILL');
    throw new Error(`the server of pod ${pod.metadata.name} is not ready: ${outcome}`);
  }

  async function stop(key: string, { child, attachment, ns }: Running): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await Promise.race([ended, once(AbortSignal.timeout(DRAIN_MS + 2000), 'abort')]);
      child.kill('SIGKILL');
    }
    if (attachment !== undefined) {
      await cni.del(attachment);
      await netns.remove(ns);
    }
    running.delete(key);
  }

  /** The object goes last, when nothing of the pod is left. */
  async function remove({ metadata }: PodObject, signal: AbortSignal): Promise<void> {
    const { namespace = 'default', name, uid } = metadata;
    try {
      await client.call({
        method: 'DELETE',
        path: pathOf(resources.pods, { namespace, name }),
        body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0, preconditions: { uid } },
        signal,
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function report({ metadata, spec }: PodObject, known: Running | undefined, signal: AbortSignal): Promise<void> {
    if (known === undefined) return;
    const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const { namespace = 'default', name, uid } = metadata;
    const conditions = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({
      type,
      status: 'True',
      lastProbeTime: null,
      lastTransitionTime: now,
    }));
    const status = {
      phase: 'Running',
      conditions,
      hostIP: hostIPs[0],
      hostIPs: hostIPs.map((ip) => ({ ip })),
      podIP: known.ips[0],
      podIPs: known.ips.map((ip) => ({ ip })),
      startTime: now,
      containerStatuses: spec.containers.map((container) => ({
        name: container.name,
        image: container.image ?? '',
        imageID: '',
        ready: true,
        started: true,
        restartCount: 0,
        state: { running: { startedAt: now } },
      })),
    };
    const target = { resource: resources.pods, namespace, name, subresource: 'status' as const };
    try {
      await patches.strategic(target, { metadata: { uid }, status }, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  return {
    namespaceOf: (key) => running.get(key)?.ns,
    async run(signal) {
      const end = store.onChange((old, now) => {
        const object = now ?? old;
        if (object !== undefined) queue.add(`${object.metadata.namespace}/${object.metadata.name}`);
      });
      const fieldSelector = `spec.nodeName=${nodeName}`;
      const watched = { client, resource: resources.pods, store, clock, random: Math.random, log, fieldSelector };
      await createReflector(watched).run(signal);
      end();
      await queue.close();
    },
  };
}

function attachmentOf({ metadata, spec }: PodObject, netns: string): CniAttachment {
  const { uid, namespace = 'default', name } = metadata;
  const ports = spec.containers.flatMap((container) => container.ports ?? []);
  return {
    containerId: `${uid.replaceAll('-', '')}${netns.slice(netns.lastIndexOf('-') + 1)}`,
    netns,
    ifname: 'eth0',
    pod: { namespace, name, uid },
    portMappings: ports.flatMap(({ hostPort, containerPort, protocol = 'TCP', hostIP }) =>
      hostPort === undefined
        ? []
        : [{ hostPort, containerPort, protocol: protocol.toLowerCase(), ...(hostIP === undefined ? {} : { hostIP }) }],
    ),
  };
}
