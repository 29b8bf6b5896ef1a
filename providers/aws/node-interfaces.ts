import type { Instance as Ec2Instance, Filter } from '@aws-sdk/client-ec2';
import { failure } from '../../src/core/errors.ts';
import type { Call, Clock } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { createBatch } from './flight.ts';
import { chunksOf, pages } from './pages.ts';
import { hasClusterTag } from './route-tables.ts';
import { LAG_MS } from './shelf.ts';

/** What routes need to know of an instance. */
export interface RoutedInstance {
  readonly id: string;
  /** Has the cluster's tag. */
  readonly isOurs: boolean;
  /** Of device index 0; absent on an instance that is terminated. */
  readonly interfaceId?: string;
  /** AWS drops packets of other addresses, those of pods. */
  readonly sourceDestCheck: boolean;
}

export interface NodeInterfaces {
  /** The interface to route to; its source/dest check is off when this resolves. Throws FL_AWS_NOT_FOUND. */
  ready(instanceId: string, call: Call): Promise<string>;
  /** Of those that there are, also recently terminated ones. Not older than ten minutes. */
  describe(instanceIds: readonly string[], call: Call): Promise<ReadonlyMap<string, RoutedInstance>>;
  /** Instances that interfaces are attached to; an interface that is gone or is nobody's is missing. Always read. */
  owners(interfaceIds: readonly string[], call: Call): Promise<ReadonlyMap<string, string>>;
  /** Notes what somebody else has read just now: whoever initialises a node has asked for its instance already. */
  learn(rows: readonly Ec2Instance[]): void;
  /** The interface turned out to be another: read anew next time. */
  forget(instanceId: string): void;
}

const MAX_AGE_MS = 600_000;
/** Values of all filters of a request together (EC2). */
const VALUES = 200;
/** So long the first of many joining nodes waits for the others. */
const WAIT_MS = 50;

export function createNodeInterfaces({
  clients: { ec2 },
  clock,
  cluster,
}: {
  readonly clients: Pick<AwsClients, 'ec2'>;
  readonly clock: Clock;
  readonly cluster: string;
}): NodeInterfaces {
  const known = new Map<string, { readonly instance: RoutedInstance; readonly readMs: number }>();
  const openedMs = new Map<string, number>(); // instance -> monotonic ms of our write
  const opening = new Map<string, Promise<void>>(); // interface -> its check is being switched off

  // Filters and not ids, for one unknown id among them fails a whole call.
  const instances = createBatch<string, RoutedInstance>({
    size: VALUES,
    waitMs: WAIT_MS,
    clock,
    async send(ids, call) {
      const Filters: Filter[] = [{ Name: 'instance-id', Values: [...ids] }];
      const all = await pages(
        (token) => ec2.describeInstances({ Filters, ...(token === undefined ? {} : { NextToken: token }) }, call),
        ({ NextToken }) => NextToken,
      );
      const rows = all.flatMap(({ Reservations = [] }) => Reservations.flatMap(({ Instances = [] }) => Instances));
      return new Map(rows.map((row) => [row.InstanceId ?? '', toInstance(row, cluster)]));
    },
  });

  async function describe(ids: readonly string[], call: Call): Promise<ReadonlyMap<string, RoutedInstance>> {
    const nowMs = clock.monotonicMs();
    for (const [id, { readMs }] of known) if (nowMs - readMs > MAX_AGE_MS) known.delete(id);
    const missing = ids.filter((id) => !known.has(id));
    if (missing.length > 0) {
      const found = await instances.load(missing, call);
      for (const [id, instance] of found) known.set(id, { instance, readMs: nowMs });
    }
    return new Map(ids.flatMap((id) => (known.has(id) ? [[id, known.get(id)?.instance as RoutedInstance]] : [])));
  }

  async function open(interfaceId: string, call: Call): Promise<void> {
    await ec2.modifyNetworkInterfaceAttribute(
      { NetworkInterfaceId: interfaceId, SourceDestCheck: { Value: false } },
      call,
    );
  }

  return {
    describe,
    async ready(instanceId, call) {
      const instance = (await describe([instanceId], call)).get(instanceId);
      if (instance?.interfaceId === undefined) {
        known.delete(instanceId);
        const what = instance === undefined ? 'is not there' : 'has no network interface (it is terminated)';
        throw failure('FL_AWS_NOT_FOUND', `instance ${instanceId} ${what}`);
      }
      const { interfaceId } = instance;
      if (!instance.sourceDestCheck) return interfaceId;
      // Routes of one node come side by side, in several tables and families: one call for all.
      const running = opening.get(interfaceId) ?? open(interfaceId, call).finally(() => opening.delete(interfaceId));
      opening.set(interfaceId, running);
      await running;
      const nowMs = clock.monotonicMs();
      openedMs.set(instanceId, nowMs);
      known.set(instanceId, { instance: { ...instance, sourceDestCheck: false }, readMs: nowMs });
      return interfaceId;
    },
    async owners(ids, call) {
      const answers = await Promise.all(
        chunksOf(ids, VALUES).map((some) => {
          const Filters: Filter[] = [{ Name: 'network-interface-id', Values: [...some] }];
          return pages(
            (token) =>
              ec2.describeNetworkInterfaces({ Filters, ...(token === undefined ? {} : { NextToken: token }) }, call),
            ({ NextToken }) => NextToken,
          );
        }),
      );
      const rows = answers.flat().flatMap(({ NetworkInterfaces = [] }) => NetworkInterfaces);
      return new Map(
        rows.flatMap(({ NetworkInterfaceId = '', Attachment: { InstanceId } = {} }) =>
          InstanceId === undefined ? [] : [[NetworkInterfaceId, InstanceId] as const],
        ),
      );
    },
    learn(rows) {
      const readMs = clock.monotonicMs();
      for (const row of rows) {
        const { InstanceId: id = '' } = row;
        const instance = toInstance(row, cluster);
        // A read that was sent before our write, or lags behind it, may still say that the check is on.
        const isOff = readMs - (openedMs.get(id) ?? Number.NEGATIVE_INFINITY) < LAG_MS;
        if (!isOff) openedMs.delete(id);
        known.set(id, { instance: isOff ? { ...instance, sourceDestCheck: false } : instance, readMs });
      }
    },
    forget: (instanceId) => void known.delete(instanceId),
  };
}

function toInstance({ InstanceId: id = '', NetworkInterfaces = [], Tags, ...row }: Ec2Instance, cluster: string) {
  const primary = NetworkInterfaces.find(({ Attachment }) => (Attachment?.DeviceIndex ?? 0) === 0);
  const interfaceId = primary?.NetworkInterfaceId;
  return {
    id,
    isOurs: hasClusterTag(Tags, cluster),
    ...(interfaceId === undefined ? {} : { interfaceId }),
    sourceDestCheck: primary?.SourceDestCheck ?? row.SourceDestCheck ?? true,
  } satisfies RoutedInstance;
}
