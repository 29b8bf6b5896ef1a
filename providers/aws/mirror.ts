import type { LoadBalancer, TargetGroup } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { ResourceTagMapping } from '@aws-sdk/client-resource-groups-tagging-api';
import type { Call, Clock } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { loadBalancerOf, securityGroupOf, tagsOf, targetGroupOf } from './convert.ts';
import { isNotFound } from './errors.ts';
import { createFlight } from './flight.ts';
import type { ObservedLoadBalancer, ObservedSecurityGroup, ObservedTargetGroup, Tags } from './model.ts';
import { LBC_TAG, TAG } from './names.ts';
import { chunksOf, pages } from './pages.ts';
import { createShelf, LAG_MS, type Row, type Shelf } from './shelf.ts';

/**
 * What this process knows of the account: lists that all Services share, with the answers to our own writes on top. It is
 * rebuilt by `refresh`, and nothing is lost with it.
 */
export interface Mirror {
  readonly loadBalancers: Shelf<ObservedLoadBalancer>;
  readonly targetGroups: Shelf<ObservedTargetGroup>;
  /** All of the VPC. */
  readonly securityGroups: Shelf<ObservedSecurityGroup>;
  /** Things of the region that count against a quota. */
  counts(): { readonly loadBalancers: number; readonly targetGroups: number };
  /** Counts the times that the lists were taken over. */
  readonly version: number;
  /** Makes sure that the lists are no older than this. `sweep`: also who owns what is asked anew. */
  refresh(
    call: Call,
    how: { readonly maxAgeMs: number; readonly sweep?: true; readonly priority?: number },
  ): Promise<void>;
  /** The lists may be wrong now: a write has failed, and nobody knows whether it took effect. */
  doubt(): void;
  /** A creation for this Service has ended without an answer: it may exist although no list shows it yet. */
  mayHaveMade(uid: string): void;
  /** So long, in ms, nobody can say that nothing of this Service is there; 0: the lists can. */
  unsureMs(uid: string): number;
  /** Tags that AWS has taken from us. */
  tagged(arn: string, tags: Tags): void;
  /** They are asked for again with the next lists. */
  forgetTags(arn: string): void;
}

export interface MirrorOptions {
  readonly clients: AwsClients;
  readonly clock: Clock;
  readonly cluster: string;
  readonly vpcId: string;
  /** Names of load balancers that Services ask for by annotation. */
  readonly wantedNames: () => Promise<ReadonlySet<string>>;
}

/** Owner of what carries the tags of a Service of ours. */
export const ours = (uid: string): string => `uid:${uid}`;
/** Of what the AWS Load Balancer Controller made for that Service. */
export const lbcs = (key: string): string => `lbc:${key}`;
/** Of everything of ours. */
export const ANY = 'any';

/** What DescribeTags takes. */
const ARNS = 20;
/** What GetResources takes. */
const SWEPT = 100;
/** A new thing of ours may not be in the tagging API's index yet. */
const INDEX_LAG_MS = 600_000;

export function createMirror({ clients, clock, cluster, vpcId, wantedNames }: MirrorOptions): Mirror {
  const nowMs = () => clock.monotonicMs();
  const ownersOf = ({ tags }: { readonly tags: Tags }): readonly string[] => {
    if (tags[TAG.cluster] === cluster)
      return [ANY, ...(tags[TAG.uid] === undefined ? [] : [ours(tags[TAG.uid] as string)])];
    return tags[LBC_TAG.cluster] === cluster && tags[LBC_TAG.stack] !== undefined
      ? [lbcs(tags[LBC_TAG.stack] as string)]
      : [];
  };
  const nameOf = ({ name }: { readonly name: string }) => name;
  const loadBalancers = createShelf<ObservedLoadBalancer>({
    nowMs,
    nameOf,
    ownersOf,
    settle: (known, { state, stateReason }) => {
      const { stateReason: _, ...rest } = known;
      return { ...rest, state, ...(stateReason === undefined ? {} : { stateReason }) };
    },
  });
  const targetGroups = createShelf<ObservedTargetGroup>({
    nowMs,
    nameOf,
    ownersOf,
    settle: (known, listed) => ({ ...known, loadBalancers: listed.loadBalancers }),
  });
  const securityGroups = createShelf<ObservedSecurityGroup>({ nowMs, nameOf, ownersOf, settle: (known) => known });
  const tags = new Map<string, Tags>(); // ARN -> tags, of everything that was asked
  const unanswered = new Map<string, number>(); // uid -> monotonic ms of the last creation whose answer was lost
  let version = 0;
  let count = { loadBalancers: 0, targetGroups: 0 };
  let ticket = 0; // grows with each refresh that starts, and each doubt
  let fresh = { ticket: -1, sentMs: Number.NEGATIVE_INFINITY, sweptMs: Number.NEGATIVE_INFINITY };
  let doubtTicket = -1;
  let wantsSweep = false;
  let priority: number | undefined;

  const flight = createFlight(async (call) => {
    const sentMs = nowMs();
    ticket += 1;
    const mine = ticket;
    const sweep = wantsSweep;
    wantsSweep = false;
    const how = priority === undefined ? {} : { priority };
    priority = undefined;
    try {
      const sweeping = sweep ? createSweep(call, how) : undefined;
      const [lbs, tgs, sgs] = await Promise.all([
        listLoadBalancers(call, how, sweeping),
        listTargetGroups(call, how, sweeping),
        listSecurityGroups(call, how),
      ]);
      await learnTags(lbs, tgs, await sweeping?.end(), call, how);
      loadBalancers.listed(sentMs, lbs.map(loadBalancerRow));
      targetGroups.listed(sentMs, tgs.map(targetGroupRow));
      securityGroups.listed(
        sentMs,
        sgs.map((row) => ({ id: row.id, name: row.name, make: () => row })),
      );
      count = { loadBalancers: lbs.filter(isNetwork).length, targetGroups: tgs.length };
      fresh = { ticket: mine, sentMs, sweptMs: sweep ? sentMs : fresh.sweptMs };
      version += 1;
    } catch (error) {
      wantsSweep ||= sweep;
      throw error;
    }
  });

  async function listLoadBalancers(call: Call, how: object, sweeping?: Sweep): Promise<readonly LoadBalancer[]> {
    const all = await pages(
      (marker) =>
        clients.elb.describeLoadBalancers(
          { PageSize: 400, ...(marker === undefined ? {} : { Marker: marker }) },
          call,
          how,
        ),
      ({ NextMarker }) => NextMarker,
      ({ LoadBalancers = [] }) =>
        sweeping?.add(LoadBalancers.filter(isNetwork).map(({ LoadBalancerArn = '' }) => LoadBalancerArn)),
    );
    return all.flatMap(({ LoadBalancers = [] }) => LoadBalancers);
  }

  async function listTargetGroups(call: Call, how: object, sweeping?: Sweep): Promise<readonly TargetGroup[]> {
    const all = await pages(
      (marker) =>
        clients.elb.describeTargetGroups(
          { PageSize: 400, ...(marker === undefined ? {} : { Marker: marker }) },
          call,
          how,
        ),
      ({ NextMarker }) => NextMarker,
      ({ TargetGroups = [] }) => sweeping?.add(TargetGroups.map(({ TargetGroupArn = '' }) => TargetGroupArn)),
    );
    return all.flatMap(({ TargetGroups = [] }) => TargetGroups);
  }

  async function listSecurityGroups(call: Call, how: object): Promise<readonly ObservedSecurityGroup[]> {
    const all = await pages(
      (token) =>
        clients.ec2.describeSecurityGroups(
          {
            Filters: [{ Name: 'vpc-id', Values: [vpcId] }],
            MaxResults: 1000,
            ...(token === undefined ? {} : { NextToken: token }),
          },
          call,
          how,
        ),
      ({ NextToken }) => NextToken,
    );
    return all.flatMap(({ SecurityGroups = [] }) => SecurityGroups.map(securityGroupOf));
  }

  /**
   * The tags of everything that the lists have, asked for while they come. By ARN and not by our cluster's tag: the pages
   * of a filter come one after the other, and thousands of Services have more than a hundred of them.
   */
  function createSweep(call: Call, how: object): Sweep {
    const asked: Promise<readonly ResourceTagMapping[]>[] = [];
    const ask = async (arns: readonly string[]): Promise<readonly ResourceTagMapping[]> => {
      const all = await pages(
        (token) =>
          clients.tagging.getResources(
            // AWS answers all at once; moto cuts by the number of tags.
            token === undefined ? { ResourceARNList: [...arns] } : { PaginationToken: token },
            call,
            how,
          ),
        ({ PaginationToken }) => PaginationToken,
      );
      return all.flatMap(({ ResourceTagMappingList = [] }) => ResourceTagMappingList);
    };
    return {
      add(arns) {
        for (const some of chunksOf(arns, SWEPT)) {
          const answer = ask(some);
          answer.catch(() => {}); // `end` tells, unless the lists fail before
          asked.push(answer);
        }
      },
      async end() {
        const rows = (await Promise.all(asked)).flat();
        return new Map(rows.map(({ ResourceARN = '', Tags: list }) => [ResourceARN, tagsOf(list)]));
      },
    };
  }

  /**
   * The tagging API's index is cheap to ask and late. What it does not have and could be ours, by its name, its age, or
   * because we held it for ours, is asked of the service itself.
   */
  async function learnTags(
    lbs: readonly LoadBalancer[],
    tgs: readonly TargetGroup[],
    swept: ReadonlyMap<string, Tags> | undefined,
    call: Call,
    how: object,
  ): Promise<void> {
    const named = await wantedNames();
    const youngMs = clock.now() - INDEX_LAG_MS;
    const rows = [
      ...lbs.filter(isNetwork).map((row) => ({
        arn: row.LoadBalancerArn ?? '',
        name: row.LoadBalancerName ?? '',
        isYoung: (row.CreatedTime?.getTime() ?? 0) > youngMs,
      })),
      ...tgs.map((row) => ({ arn: row.TargetGroupArn ?? '', name: row.TargetGroupName ?? '', isYoung: false })),
    ];
    const there = new Set(rows.map(({ arn }) => arn));
    for (const arn of [...tags.keys()]) if (!there.has(arn) && !isKnown(arn)) tags.delete(arn);
    for (const [arn, found] of swept ?? []) if (there.has(arn)) tags.set(arn, found);
    const asked = rows.filter(({ arn, name, isYoung }) => {
      const known = tags.get(arn);
      if (known === undefined) return isYoung || name.startsWith('k8s-') || named.has(name);
      return swept !== undefined && known[TAG.cluster] === cluster && !swept.has(arn);
    });
    const answers = await Promise.all(
      chunksOf(
        asked.map(({ arn }) => arn),
        ARNS,
      ).map((arns) => describeTags(arns, call, how)),
    );
    for (const answer of answers) for (const [arn, found] of answer) tags.set(arn, found);
  }

  async function describeTags(arns: readonly string[], call: Call, how: object): Promise<ReadonlyMap<string, Tags>> {
    try {
      const { TagDescriptions = [] } = await clients.elb.describeTags({ ResourceArns: [...arns] }, call, how);
      return new Map(TagDescriptions.map(({ ResourceArn = '', Tags: list }) => [ResourceArn, tagsOf(list)]));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      if (arns.length === 1) return new Map(); // it went since the list was made
      const each = await Promise.all(arns.map((arn) => describeTags([arn], call, how)));
      return new Map(each.flatMap((answer) => [...answer]));
    }
  }

  const isKnown = (arn: string): boolean => loadBalancers.get(arn) !== undefined || targetGroups.get(arn) !== undefined;

  function loadBalancerRow(row: LoadBalancer): Row<ObservedLoadBalancer> {
    const { LoadBalancerArn: id = '', LoadBalancerName: name = '' } = row;
    if (!isNetwork(row)) return { id, name };
    const listed = loadBalancerOf(row, tags.get(id) ?? {});
    return {
      id,
      name,
      make: (known) =>
        known === undefined
          ? listed
          : { ...listed, attributes: known.attributes, capacityUnits: known.capacityUnits, listeners: known.listeners },
    };
  }

  function targetGroupRow(row: TargetGroup): Row<ObservedTargetGroup> {
    const { TargetGroupArn: id = '', TargetGroupName: name = '' } = row;
    const listed = targetGroupOf(row, tags.get(id) ?? {});
    return {
      id,
      name,
      make: (known) =>
        known === undefined ? listed : { ...listed, attributes: known.attributes, targets: known.targets },
    };
  }

  return {
    loadBalancers,
    targetGroups,
    securityGroups,
    counts: () => count,
    get version() {
      return version;
    },
    async refresh(call, { maxAgeMs, sweep, priority: wish }) {
      const oldestMs = nowMs() - maxAgeMs;
      const askedMs = nowMs();
      const isFresh = () =>
        fresh.ticket > doubtTicket &&
        fresh.sentMs >= oldestMs &&
        (sweep !== true || fresh.sweptMs >= Math.min(oldestMs, askedMs));
      while (!isFresh()) {
        wantsSweep ||= sweep === true;
        // A refresh that somebody waits for is not to wait behind others.
        priority = wish;
        await flight.join(call);
      }
    },
    doubt() {
      ticket += 1;
      doubtTicket = ticket;
    },
    mayHaveMade: (uid) => void unanswered.set(uid, nowMs()),
    unsureMs(uid) {
      const leftMs = (unanswered.get(uid) ?? Number.NEGATIVE_INFINITY) + LAG_MS - nowMs();
      if (leftMs <= 0) unanswered.delete(uid);
      return Math.max(0, leftMs);
    },
    tagged: (arn, now) => void tags.set(arn, now),
    forgetTags: (arn) => void tags.delete(arn),
  };
}

interface Sweep {
  add(arns: readonly string[]): void;
  /** ARN -> its tags; what has none, or is not in the index yet, is missing. */
  end(): Promise<ReadonlyMap<string, Tags>>;
}

const isNetwork = ({ Type }: LoadBalancer): boolean => Type === undefined || Type === 'network';
