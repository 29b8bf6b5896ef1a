import type { Action, LoadBalancerParts, Progress } from '../../../src/core/provider.ts';
import type { Appliance, NewServer, Server } from './appliance.ts';

export type Act = Action<'putServer' | 'dropServer'> & { readonly server?: NewServer };
export type Parts = LoadBalancerParts<NewServer, Server | undefined, Act>;

/** A provider that breaks a promise, and the tests of the suite that must notice. */
export interface Breach {
  /** "a provider that ..." */
  readonly name: string;
  /** Replaces members of sound parts. Called again after each restart. */
  readonly breaks: (sound: Parts, appliance: Appliance) => Partial<Parts>;
  readonly seenBy: readonly string[];
}

const put = (server: NewServer): Act => ({ kind: 'putServer', target: server.name, reason: 'test', server });
const drop = (target: string): Act => ({ kind: 'dropServer', target, reason: 'test' });
const ready: Progress = { state: 'ready', ingress: [] };

/** The mistakes that providers make (the issues in controllers.md "Traps" tell of most). */
export const breaches: readonly Breach[] = [
  {
    name: 'takes the same Service of another cluster for its own',
    breaks: (sound, appliance) => ({
      observe: async ({ uid }) => (await appliance.list()).find(({ name }) => name.endsWith(uid)),
      diff(wanted, found) {
        const isOurs = found?.owner.startsWith('fairlead/contract/') === true;
        if (wanted === undefined && found && !isOurs) return [[drop(found.name)]];
        return sound.diff(wanted, isOurs ? found : undefined);
      },
    }),
    seenBy: ['what others own stays as it is through create, change and removal'],
  },
  {
    name: 'calls everything an orphan that no Service wants',
    breaks: (_, appliance) => ({
      observeAll: async () => (await appliance.list()).map((server) => ({ uid: server.name, observed: server })),
    }),
    seenBy: ['what others own is no orphan and no business of an audit'],
  },
  {
    name: 'says done while its server still drains',
    breaks: (sound) => ({
      progress: (wanted, found) => (wanted === undefined ? ready : sound.progress(wanted, found)),
    }),
    seenBy: ['a removal is done exactly when nothing is left, and doing it again writes nothing'],
  },
  {
    name: 'takes a read that failed for absence',
    breaks: (sound) => ({
      observe: async (service, call) => await sound.observe(service, call).catch(() => undefined),
      observeAll: async (call) => await sound.observeAll(call).catch(() => []),
    }),
    seenBy: ['a read that fails is no absence: ensure, remove, preview and audit reject, and nothing is written'],
  },
  {
    name: 'takes only a bulk read that failed for absence',
    breaks: (sound) => ({ observeAll: async (call) => await sound.observeAll(call).catch(() => []) }),
    seenBy: ['a read that fails is no absence: ensure, remove, preview and audit reject, and nothing is written'],
  },
  {
    name: 'writes at every ensure',
    breaks: (sound) => ({
      diff: (wanted, found) => (wanted === undefined ? sound.diff(wanted, found) : [[put(wanted)]]),
      progress: (wanted, found) => sound.progress(wanted, found),
    }),
    seenBy: ['a second ensure writes nothing, also after a restart', 'ensure ends ready, with an ingress'],
  },
  {
    name: 'remembers what it should read',
    breaks(sound, appliance) {
      const known = new Set<string>();
      return {
        observe: async (service, call) => (known.has(service.uid) ? await sound.observe(service, call) : undefined),
        async apply({ target, server }) {
          known.add(target.slice('contract-'.length));
          await (server === undefined ? appliance.drop(target) : appliance.put(server));
        },
      };
    },
    seenBy: [
      'a second ensure writes nothing, also after a restart',
      'a crash at any write of a removal leaves nothing in the end',
    ],
  },
  {
    name: 'writes while it only looks',
    breaks: (sound, appliance) => ({
      async observe(service, call) {
        await appliance.put({ name: 'scratch', owner: 'fairlead/contract/scratch', label: '', ports: [] });
        return await sound.observe(service, call);
      },
    }),
    seenBy: [
      'a preview says what ensure would write, and writes nothing',
      'an aborted call writes nothing and is no success',
    ],
  },
  {
    name: 'does not see that the ports changed',
    breaks: (sound) => ({ diff: (wanted, found) => (wanted && found ? [] : sound.diff(wanted, found)) }),
    seenBy: [
      'a change of ports is written, and keeps the address',
      'an audit finds what is to do, what is wrong and what nobody wants, and writes nothing',
    ],
  },
  {
    name: 'publishes another address after each change',
    breaks: (sound) => ({
      progress(wanted, found) {
        const progress = sound.progress(wanted, found);
        if (wanted === undefined || progress.state !== 'ready') return progress;
        return { ...progress, ingress: [{ hostname: `${String(found?.ports).replaceAll(/\D+/g, '-')}.example` }] };
      },
    }),
    seenBy: ['a change of ports is written, and keeps the address'],
  },
  {
    name: 'is ready without an ingress',
    breaks: (sound) => ({
      progress: (wanted, found) => {
        const progress = sound.progress(wanted, found);
        return progress.state === 'ready' ? ready : progress;
      },
    }),
    seenBy: ['ensure ends ready, with an ingress'],
  },
  {
    name: 'waits without saying how long',
    breaks: (sound) => ({
      progress: (wanted, found) => ({ ...sound.progress(wanted, found), retryAfterMs: 0 }),
    }),
    seenBy: ['a removal is done exactly when nothing is left, and doing it again writes nothing'],
  },
  {
    name: 'builds what makes no sense',
    breaks: (sound) => ({
      plan: (spec) => ({ ...sound.plan({ ...spec, listeners: [...spec.listeners, fallback] }), ports: portsOf(spec) }),
    }),
    seenBy: [
      'invalid input names its field, writes nothing, and leaves what serves',
      'an audit finds what is to do, what is wrong and what nobody wants, and writes nothing',
    ],
  },
  {
    name: 'refuses bad input without naming the field',
    breaks: (sound) => ({
      plan(spec) {
        if (spec.listeners.length > 0) return sound.plan(spec);
        throw Object.assign(new Error('bad'), { name: 'ProviderError', kind: 'invalid', code: 'EX_SPEC' });
      },
    }),
    seenBy: ['invalid input names its field, writes nothing, and leaves what serves'],
  },
  {
    name: 'changes the spec that it is given',
    breaks: (sound) => ({
      plan(spec) {
        (spec.listeners as unknown[]).sort();
        return sound.plan(spec);
      },
    }),
    seenBy: ['ensure ends ready, with an ingress'],
  },
  {
    name: 'finds no orphans',
    breaks: () => ({ observeAll: async () => [] }),
    seenBy: ['an audit finds what is to do, what is wrong and what nobody wants, and writes nothing'],
  },
  {
    name: 'sees in an audit less than in an ensure',
    breaks: (sound) => ({
      observeAll: async (call) =>
        (await sound.observeAll(call)).map(({ observed, ...name }) => ({
          ...name,
          observed: observed && { ...observed, ports: [] },
        })),
    }),
    seenBy: ['an audit of a settled world finds nothing to do and writes nothing, also after a restart'],
  },
  {
    name: 'has an error for what is not there',
    breaks: (sound) => ({
      async observe(service, call) {
        const found = await sound.observe(service, call);
        if (found === undefined) throw new Error('not found');
        return found;
      },
    }),
    seenBy: ['removing what never was is done at once', 'an audit misses no Service that the bulk read lacks'],
  },
  {
    name: 'removes all of the cluster with one Service',
    breaks: (sound, appliance) => ({
      async apply(action, call) {
        if (action.kind !== 'dropServer') return await sound.apply(action, call);
        for (const { name, owner } of await appliance.list()) {
          if (owner.startsWith('fairlead/contract/')) await appliance.drop(name);
        }
      },
    }),
    seenBy: ['removing one Service leaves the others'],
  },
  {
    name: 'never makes again what it has deleted',
    breaks(sound) {
      const dropped = new Set<string>();
      return {
        async apply(action, call) {
          if (action.kind === 'dropServer') dropped.add(action.target);
          else if (dropped.has(action.target)) return;
          await sound.apply(action, call);
        },
      };
    },
    seenBy: ['a Service that comes back after its removal is served again'],
  },
  {
    name: 'does not see that a creation was left half done',
    breaks: (sound) => ({
      diff: (wanted, found) =>
        wanted !== undefined && found === undefined
          ? [[put({ ...wanted, ports: [] })], [put(wanted)]]
          : halfDone(sound)(wanted, found),
    }),
    seenBy: ['a crash at any write of a creation converges to the same state'],
  },
  {
    name: 'does not see that a change was left half done',
    breaks: (sound) => ({
      diff(wanted, found) {
        const stages = halfDone(sound)(wanted, found);
        return wanted && found && stages.length > 0 ? [[put({ ...wanted, ports: [] })], [put(wanted)]] : stages;
      },
    }),
    seenBy: ['a crash at any write of a change converges to the same state'],
  },
  {
    name: 'marks what it makes only afterwards',
    breaks: (sound) => ({
      diff: (wanted, found) =>
        wanted !== undefined && found === undefined
          ? [[put({ ...wanted, owner: '' })], [put(wanted)]]
          : sound.diff(wanted, found),
    }),
    seenBy: [
      'a crash at any write of a creation converges to the same state',
      'after a crash in a creation the Service can be removed',
    ],
  },
  {
    name: 'takes its mark off before it deletes',
    breaks: (sound) => ({
      diff(wanted, found) {
        const stages = sound.diff(wanted, found);
        return wanted === undefined && found && stages.length > 0
          ? [[put({ ...found, owner: '' })], ...stages]
          : stages;
      },
    }),
    seenBy: ['a crash at any write of a removal leaves nothing in the end'],
  },
];

/** A server without ports is taken for a finished one. */
const halfDone =
  (sound: Parts): Parts['diff'] =>
  (wanted, found) =>
    wanted && found?.ports.length === 0 ? [] : sound.diff(wanted, found);

const fallback = { name: '', protocol: 'TCP', port: 80, targetPort: 80 } as const;
const portsOf = ({ listeners }: Parameters<Parts['plan']>[0]): readonly string[] =>
  listeners.map(({ protocol, port, targetPort }) => `${protocol} ${port} to ${targetPort}`).sort();
