import type { NetworkInterface } from '@aws-sdk/client-ec2';
import { canonicalIp } from '../../src/core/net/ip.ts';
import type { Call, Clock } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { createBatch } from './flight.ts';
import type { InterfaceFacts } from './model.ts';
import { pages } from './pages.ts';

/** A target of which it is asked behind which network interface it is. */
export interface Located {
  /** Instance id or pod address. */
  readonly id: string;
  /** Instance of its node: what a pod's address falls back to where pods have no addresses of interfaces. Absent: unknown. */
  readonly instanceId?: string;
}

export interface Interfaces {
  /** Target id -> its interface, of what is known already. */
  readonly known: ReadonlyMap<string, InterfaceFacts>;
  /** Asks for those that are not known, or not any more. One that is not found is missing. */
  locate(targets: readonly Located[], call: Call): Promise<ReadonlyMap<string, InterfaceFacts>>;
}

const MAX_AGE_MS = 600_000;
/** An address may be attached after the pod is ready to be seen. */
const MISSING_AGE_MS = 30_000;
/** EC2 takes 200 values in all filters of a request together, and one is the VPC's. */
const VALUES = 199;
/** So long the first of many Services waits for the others. */
const WAIT_MS = 20;

export function createInterfaces({
  clients,
  clock,
  vpcId,
}: {
  readonly clients: AwsClients;
  readonly clock: Clock;
  readonly vpcId: string;
}): Interfaces {
  const known = new Map<string, InterfaceFacts>();
  const askedMs = new Map<string, number>(); // target id -> monotonic ms of the last question

  /** Instances by their primary interface; addresses by whichever has them. One batch for each kind of filter. */
  const batch = (filter: string, keysOf: (row: NetworkInterface) => readonly string[]) =>
    createBatch<string, InterfaceFacts>({
      size: VALUES,
      waitMs: WAIT_MS,
      clock,
      async send(ids, call) {
        const wanted = new Set(ids);
        const Filters = [
          { Name: 'vpc-id', Values: [vpcId] },
          { Name: filter, Values: [...ids] },
        ];
        const all = await pages(
          (token) =>
            clients.ec2.describeNetworkInterfaces(
              { Filters, ...(token === undefined ? {} : { NextToken: token }) },
              call,
            ),
          ({ NextToken }) => NextToken,
        );
        const rows = all.flatMap(({ NetworkInterfaces = [] }) => NetworkInterfaces);
        return new Map(
          rows.flatMap((row) =>
            keysOf(row)
              .filter((key) => wanted.has(key))
              .map((key) => [key, factsOf(row)] as const),
          ),
        );
      },
    });
  // Not by the filter for the index: moto has none.
  const instances = batch('attachment.instance-id', ({ Attachment: { InstanceId, DeviceIndex } = {} }) =>
    InstanceId === undefined || DeviceIndex !== 0 ? [] : [InstanceId],
  );
  const ipv4 = batch('addresses.private-ip-address', ({ PrivateIpAddresses = [] }) =>
    PrivateIpAddresses.flatMap(({ PrivateIpAddress }) => PrivateIpAddress ?? []),
  );
  const ipv6 = batch('ipv6-addresses.ipv6-address', ({ Ipv6Addresses = [] }) =>
    Ipv6Addresses.flatMap(({ Ipv6Address = '' }) => canonicalIp(Ipv6Address) ?? Ipv6Address),
  );

  const isStale = (id: string, nowMs: number): boolean => {
    const sinceMs = askedMs.get(id);
    return sinceMs === undefined || nowMs - sinceMs > (known.has(id) ? MAX_AGE_MS : MISSING_AGE_MS);
  };

  function take(ids: readonly string[], found: ReadonlyMap<string, InterfaceFacts>, nowMs: number): void {
    for (const id of ids) {
      askedMs.set(id, nowMs);
      const facts = found.get(id);
      if (facts === undefined) known.delete(id);
      else known.set(id, facts);
    }
  }

  async function ask(ids: readonly string[], call: Call): Promise<void> {
    const nowMs = clock.monotonicMs();
    const stale = [...new Set(ids)].filter((id) => isStale(id, nowMs));
    const kinds = [
      { batch: instances, ids: stale.filter((id) => id.startsWith('i-')) },
      { batch: ipv6, ids: stale.filter((id) => id.includes(':')) },
      { batch: ipv4, ids: stale.filter((id) => !id.startsWith('i-') && !id.includes(':')) },
    ];
    await Promise.all(
      kinds.map(async ({ batch: from, ids: some }) => {
        if (some.length > 0) take(some, await from.load(some, call), nowMs);
      }),
    );
  }

  /** What nobody has asked for in a while is of pods that are gone. */
  function prune(): void {
    const nowMs = clock.monotonicMs();
    if (askedMs.size < 10_000) return;
    for (const [id, ms] of askedMs) {
      if (nowMs - ms <= 2 * MAX_AGE_MS) continue;
      askedMs.delete(id);
      known.delete(id);
    }
  }

  return {
    known,
    async locate(targets, call) {
      prune();
      await ask(
        targets.map(({ id }) => id),
        call,
      );
      // Pods on a network of their own: their packets come in by the node's interface.
      const lost = targets.filter(
        ({ id, instanceId }) => !known.has(id) && instanceId !== undefined && instanceId !== id,
      );
      if (lost.length > 0) {
        await ask(
          lost.map(({ instanceId }) => instanceId as string),
          call,
        );
      }
      const found = new Map<string, InterfaceFacts>();
      for (const { id, instanceId } of targets) {
        const facts = known.get(id) ?? known.get(instanceId ?? '');
        if (facts !== undefined) found.set(id, facts);
      }
      return found;
    },
  };
}

function factsOf({ NetworkInterfaceId = '', Groups = [] }: NetworkInterface): InterfaceFacts {
  return { id: NetworkInterfaceId, securityGroups: Groups.flatMap(({ GroupId }) => GroupId ?? []).sort() };
}
