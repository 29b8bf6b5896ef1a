import type { Call, Clock } from '../../src/core/provider.ts';
import { recordedKeys } from './attributes.ts';
import type { AwsClients } from './client.ts';
import { attributesOf, listenerOf, tagsOf, targetOf } from './convert.ts';
import { isNotFound } from './errors.ts';
import type { Mirror } from './mirror.ts';
import type {
  Desired,
  ObservedListener,
  ObservedLoadBalancer,
  ObservedTarget,
  ObservedTargetGroup,
  Tags,
} from './model.ts';
import { chunksOf, pages } from './pages.ts';
import type { Shelf } from './shelf.ts';

/** How deep one Service's load balancer is looked into. AWS gives each of these by one request per part only. */
export interface Depth {
  /** Target health: 'unread' once, 'moving' again while something of it changes by itself, 'all' anew. */
  readonly targets: 'no' | 'unread' | 'moving' | 'all';
  /** Listeners with their certificates. */
  readonly listeners: 'no' | 'unread' | 'all';
  /** Attributes of load balancer, target groups and, where one was ever set, of listeners; tags of listeners. */
  readonly attributes: 'no' | 'unread' | 'all';
}
export const whole: Depth = { targets: 'all', listeners: 'all', attributes: 'all' };
export const missing: Depth = { targets: 'unread', listeners: 'unread', attributes: 'unread' };

export interface Parts {
  /** Reads what is asked for into the mirror. A part that AWS does not know any more is dropped from it. */
  read(
    owned: Owned,
    depth: Depth,
    call: Call,
    how: { readonly desired?: Desired; readonly priority?: number },
  ): Promise<void>;
  /** Attributes of load balancers that are about to be deleted: somebody may have protected one since. */
  readProtection(owned: Owned, call: Call): Promise<void>;
  /** Monotonic ms of the last look at all listeners and attributes of this load balancer. */
  lookedMs(arn: string): number | undefined;
}
export interface Owned {
  readonly loadBalancers: readonly ObservedLoadBalancer[];
  readonly targetGroups: readonly ObservedTargetGroup[];
}

/** A target's state as of so long ago is asked for again, when somebody waits for it. */
const STALE_MS = 2000;
/** Whoever looks again in so long is in the same removal. */
const PROTECTION_MS = 10_000;
/** While somebody waits, a healthy target is looked at that often: the switch to another load balancer hangs on it. */
const WAITING_MS = 60_000;

export function createParts({
  clients,
  mirror,
  clock,
}: {
  readonly clients: AwsClients;
  readonly mirror: Mirror;
  readonly clock: Clock;
}): Parts {
  const { elb } = clients;
  const { loadBalancers, targetGroups } = mirror;
  const protectionMs = new Map<string, number>(); // ARN of a load balancer that is to go -> monotonic ms
  const lookedMs = new Map<string, number>(); // ARN of a load balancer or target group -> monotonic ms

  /** Puts what was read into what is known now, which may be more than it was when the request was sent. */
  async function into<T extends { readonly arn: string }>(
    shelf: Pick<Shelf<T>, 'get' | 'read' | 'stampOf' | 'isRecent'>,
    arn: string,
    ask: () => Promise<(now: T) => T>,
  ): Promise<void> {
    const before = shelf.stampOf(arn);
    try {
      const change = await ask();
      const now = shelf.get(arn);
      // A write of ours that ended meanwhile is newer than this answer; the next look finds what is left to say.
      if (now !== undefined && shelf.stampOf(arn) === before) shelf.read(arn, change(now));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // What we have just made is unknown to some reads for a moment: no absence, it stays as it is, unread at first.
      if (shelf.get(arn) !== undefined && shelf.isRecent(arn)) return;
      shelf.read(arn, undefined);
      mirror.doubt();
    }
  }

  async function readTargets(arn: string, call: Call, how: Priority): Promise<void> {
    await into(targetGroups, arn, async () => {
      const { TargetHealthDescriptions = [] } = await elb.describeTargetHealth({ TargetGroupArn: arn }, call, how);
      const targets = TargetHealthDescriptions.map(targetOf).sort(byTarget);
      lookedMs.set(arn, clock.monotonicMs());
      return (now) => ({ ...now, targets });
    });
  }

  async function readGroupAttributes(arn: string, call: Call, how: Priority): Promise<void> {
    await into(targetGroups, arn, async () => {
      const { Attributes } = await elb.describeTargetGroupAttributes({ TargetGroupArn: arn }, call, how);
      return (now) => ({ ...now, attributes: attributesOf(Attributes) });
    });
  }

  /** Listeners, and with `attributes` their tags and attributes in the same go. */
  async function readListeners(arn: string, want: ListenerWish, call: Call, how: Priority): Promise<void> {
    await into(loadBalancers, arn, async () => {
      const known = loadBalancers.get(arn)?.listeners;
      const old = new Map((known === 'unread' || known === undefined ? [] : known).map((each) => [each.arn, each]));
      const all = await pages(
        (marker) =>
          elb.describeListeners(
            { LoadBalancerArn: arn, PageSize: 400, ...(marker === undefined ? {} : { Marker: marker }) },
            call,
            how,
          ),
        ({ NextMarker }) => NextMarker,
      );
      const rows = all.flatMap(({ Listeners = [] }) => Listeners.map(listenerOf));
      const tags = want.attributes ? await listenerTags(rows, call, how) : undefined;
      const listeners = await Promise.all(
        rows.map(async (row): Promise<ObservedListener> => {
          const was = old.get(row.arn);
          const found = tags?.get(row.arn) ?? was?.tags ?? 'unread';
          return {
            ...row,
            ...(row.protocol === 'TLS' ? { certificates: await certificates(row.arn, call, how) } : {}),
            tags: found,
            attributes: want.attributes
              ? await listenerAttributes(row, found, want, call, how)
              : (was?.attributes ?? 'unread'),
          };
        }),
      );
      return (now) => ({ ...now, listeners: listeners.sort((a, b) => a.port - b.port) });
    });
  }

  async function certificates(arn: string, call: Call, how: Priority): Promise<readonly string[]> {
    const all = await pages(
      (marker) =>
        elb.describeListenerCertificates(
          { ListenerArn: arn, PageSize: 400, ...(marker === undefined ? {} : { Marker: marker }) },
          call,
          how,
        ),
      ({ NextMarker }) => NextMarker,
    );
    const rows = all.flatMap(({ Certificates = [] }) => Certificates);
    // The default one is in this list as well, once more in some answers.
    const first = rows.filter(({ IsDefault }) => IsDefault === true).map(({ CertificateArn = '' }) => CertificateArn);
    return [...new Set([...first, ...rows.map(({ CertificateArn = '' }) => CertificateArn).sort()])];
  }

  async function listenerTags(
    rows: readonly ObservedListener[],
    call: Call,
    how: Priority,
  ): Promise<ReadonlyMap<string, Tags>> {
    const arns = rows.map(({ arn }) => arn);
    const answers = await Promise.all(
      chunksOf(arns, 20).map((some) => elb.describeTags({ ResourceArns: [...some] }, call, how)),
    );
    const found = answers.flatMap(({ TagDescriptions = [] }) => TagDescriptions);
    return new Map([
      ...arns.map((arn) => [arn, {}] as const),
      ...found.map(({ ResourceArn = '', Tags: list }) => [ResourceArn, tagsOf(list)] as const),
    ]);
  }

  /** Only where one was ever set or is wanted: hundreds of listeners have none. */
  async function listenerAttributes(
    row: ObservedListener,
    tags: ObservedListener['tags'],
    { desired }: ListenerWish,
    call: Call,
    how: Priority,
  ): Promise<ObservedListener['attributes']> {
    const wanted = desired?.ports.find(({ port }) => port === row.port)?.listener.attributes ?? {};
    const wasSet = tags !== 'unread' && recordedKeys(tags).length > 0;
    if (Object.keys(wanted).length === 0 && !wasSet) return {};
    const { Attributes } = await elb.describeListenerAttributes({ ListenerArn: row.arn }, call, how);
    return attributesOf(Attributes);
  }

  async function readAttributes(arn: string, call: Call, how: Priority): Promise<void> {
    await into(loadBalancers, arn, async () => {
      const { Attributes } = await elb.describeLoadBalancerAttributes({ LoadBalancerArn: arn }, call, how);
      return (now) => ({ ...now, attributes: attributesOf(Attributes) });
    });
  }

  async function readCapacity(arn: string, call: Call, how: Priority): Promise<void> {
    await into(loadBalancers, arn, async () => {
      const { MinimumLoadBalancerCapacity: wanted } = await elb.describeCapacityReservation(
        { LoadBalancerArn: arn },
        call,
        how,
      );
      return (now) => ({ ...now, capacityUnits: wanted?.CapacityUnits ?? 0 });
    });
  }

  function isMoving({ arn, targets, loadBalancers: users }: ObservedTargetGroup): boolean {
    if (targets === 'unread') return true;
    const ageMs = clock.monotonicMs() - (lookedMs.get(arn) ?? Number.NEGATIVE_INFINITY);
    // Unused is what a target stays while its group has no listener; after that it is what it was.
    const isStarting = targets.some(({ state }) => state !== 'healthy' && (state !== 'unused' || users.length > 0));
    return ageMs >= (isStarting ? STALE_MS : WAITING_MS) && targets.length > 0;
  }

  async function readGroup(group: ObservedTargetGroup, depth: Depth, call: Call, how: Priority): Promise<void> {
    const { arn, targets, attributes } = group;
    const asksTargets =
      depth.targets === 'all' ||
      (depth.targets === 'unread' && targets === 'unread') ||
      (depth.targets === 'moving' && isMoving(group));
    if (asksTargets) await readTargets(arn, call, how);
    if (depth.attributes === 'all' || (depth.attributes === 'unread' && attributes === 'unread'))
      await readGroupAttributes(arn, call, how);
  }

  async function readLoadBalancer(
    one: ObservedLoadBalancer,
    depth: Depth,
    call: Call,
    how: Priority & { readonly desired?: Desired },
  ): Promise<void> {
    const { arn, listeners, attributes, capacityUnits } = one;
    const { desired } = how;
    const asksAttributes = depth.attributes === 'all' || (depth.attributes === 'unread' && attributes === 'unread');
    const lacksAttributes =
      depth.attributes === 'unread' &&
      listeners !== 'unread' &&
      listeners.some((each) => each.tags === 'unread' || each.attributes === 'unread');
    const asksListeners =
      depth.listeners === 'all' || (depth.listeners === 'unread' && listeners === 'unread') || lacksAttributes;
    if (asksListeners) {
      await readListeners(
        arn,
        { attributes: depth.attributes !== 'no', ...(desired === undefined ? {} : { desired }) },
        call,
        how,
      );
    }
    if (asksAttributes) await readAttributes(arn, call, how);
    const asksCapacity = desired?.capacityUnits !== undefined && depth.attributes !== 'no';
    if (asksCapacity && (depth.attributes === 'all' || capacityUnits === 'unread')) await readCapacity(arn, call, how);
    if (asksListeners && asksAttributes) lookedMs.set(arn, clock.monotonicMs());
  }

  /** What is known whole without a look is as we have made it, a moment ago. */
  function lookedAtMs(arn: string): number | undefined {
    const one = loadBalancers.get(arn);
    if (!lookedMs.has(arn) && one !== undefined && one.listeners !== 'unread' && one.attributes !== 'unread')
      lookedMs.set(arn, clock.monotonicMs());
    return lookedMs.get(arn);
  }

  async function readProtection({ loadBalancers: lbs }: Owned, call: Call): Promise<void> {
    const nowMs = clock.monotonicMs();
    for (const arn of protectionMs.keys()) if (loadBalancers.get(arn) === undefined) protectionMs.delete(arn);
    const due = lbs.filter(({ arn }) => nowMs - (protectionMs.get(arn) ?? Number.NEGATIVE_INFINITY) >= PROTECTION_MS);
    await Promise.all(
      due.map(async ({ arn }) => {
        await readAttributes(arn, call, {});
        protectionMs.set(arn, nowMs);
      }),
    );
  }

  return {
    readProtection,
    async read({ loadBalancers: lbs, targetGroups: tgs }, depth, call, { desired, priority }) {
      const how = { ...(priority === undefined ? {} : { priority }), ...(desired === undefined ? {} : { desired }) };
      await Promise.all([
        ...lbs.map((one) => readLoadBalancer(one, depth, call, how)),
        ...tgs.map((group) => readGroup(group, depth, call, how)),
      ]);
    },
    lookedMs: lookedAtMs,
  };
}

interface Priority {
  readonly priority?: number;
}
interface ListenerWish {
  readonly attributes: boolean;
  readonly desired?: Desired;
}

const byTarget = (a: ObservedTarget, b: ObservedTarget): number =>
  a.id === b.id ? a.port - b.port : a.id < b.id ? -1 : 1;
