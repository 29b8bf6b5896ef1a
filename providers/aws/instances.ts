import type { Instance as Ec2Instance, Filter, NetworkInterface } from '@aws-sdk/client-ec2';
import { isProviderError } from '../../src/core/errors.ts';
import { canonicalIp } from '../../src/core/net/ip.ts';
import type { Call, Instance, Instances, IpFamily, NodeAddress, NodeRef } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { chunksOf, pages } from './pages.ts';

export interface InstancesOptions {
  readonly clients: Pick<AwsClients, 'ec2'>;
  readonly region: string;
  /** Nodes that are known by their private DNS name only are looked for in here; two VPCs may have the same names. */
  readonly vpcId: string;
  /** Families of the InternalIPs, in their order (NodeIPFamilies). */
  readonly ipFamilies: readonly IpFamily[];
  /** Gets every instance that was read. */
  readonly read?: (rows: readonly Ec2Instance[]) => void;
}

const SCHEME = 'aws';
/** Of the zone, the same in every account; beside the zone's name, which is not. */
const ZONE_ID_LABEL = 'topology.k8s.aws/zone-id';
/** Values of all filters of a request together (EC2). */
const VALUES = 200;
const PAGE = 1000;
/** A terminated instance keeps no DNS name, so these are all that a name can find (cloud-provider-aws). */
const ALIVE = ['pending', 'running', 'shutting-down', 'stopping', 'stopped'];
const ZONES_DENIED = 'zone ids are not known: DescribeAvailabilityZones is not allowed';

/** How a node is looked for; a Fargate node by the address of its network interface. */
type Question = { readonly id: string } | { readonly dnsName: string } | { readonly address: string };

/**
 * EC2 instances of nodes by DescribeInstances, 200 in a call. Filters and not ids, for one unknown id among them fails a
 * whole call. Gone is what is not there any more, or is terminated; a malformed id is left out. A
 * Fargate node is its network interface, and is left out when its name has no address.
 */
export function createInstances({ clients, region, vpcId, ipFamilies, read }: InstancesOptions): Instances {
  const { ec2 } = clients;
  let zoneIds: Promise<ReadonlyMap<string, string>> | undefined; // of zone names; a failed read is forgotten

  async function describe(filters: readonly Filter[], call: Call): Promise<readonly Ec2Instance[]> {
    const all = await pages(
      (token) =>
        ec2.describeInstances(
          { Filters: [...filters], MaxResults: PAGE, ...(token === undefined ? {} : { NextToken: token }) },
          call,
        ),
      ({ NextToken }) => NextToken,
    );
    const rows = all.flatMap(({ Reservations = [] }) => Reservations.flatMap((one) => one.Instances ?? []));
    read?.(rows);
    return rows;
  }

  async function byIds(ids: readonly string[], call: Call): Promise<ReadonlyMap<string, Ec2Instance>> {
    const found = await Promise.all(
      chunksOf(ids, VALUES).map((Values) => describe([{ Name: 'instance-id', Values: [...Values] }], call)),
    );
    return new Map(found.flat().map((instance) => [instance.InstanceId ?? '', instance]));
  }

  /** Those with a DNS name that several instances have are 'unclear'. */
  async function byNames(names: readonly string[], call: Call): Promise<ReadonlyMap<string, Ec2Instance | 'unclear'>> {
    const found = await Promise.all(
      chunksOf(names, VALUES - ALIVE.length - 1).map((Values) =>
        describe(
          [
            { Name: 'vpc-id', Values: [vpcId] },
            { Name: 'private-dns-name', Values: [...Values] },
            { Name: 'instance-state-name', Values: ALIVE },
          ],
          call,
        ),
      ),
    );
    const instances = new Map<string, Ec2Instance | 'unclear'>();
    for (const instance of found.flat()) {
      const name = instance.PrivateDnsName ?? '';
      instances.set(name, instances.has(name) ? 'unclear' : instance);
    }
    return instances;
  }

  /** Interfaces of Fargate nodes by their primary address. */
  async function byAddresses(addresses: readonly string[], call: Call): Promise<ReadonlyMap<string, NetworkInterface>> {
    const found = await Promise.all(
      chunksOf(addresses, VALUES - 1).map((Values) =>
        pages(
          (token) =>
            ec2.describeNetworkInterfaces(
              {
                Filters: [
                  { Name: 'vpc-id', Values: [vpcId] },
                  { Name: 'addresses.private-ip-address', Values: [...Values] },
                ],
                ...(token === undefined ? {} : { NextToken: token }),
              },
              call,
            ),
          ({ NextToken }) => NextToken,
        ),
      ),
    );
    const rows = found.flat().flatMap(({ NetworkInterfaces = [] }) => NetworkInterfaces);
    return new Map(rows.map((row) => [row.PrivateIpAddress ?? '', row]));
  }

  async function toFargate(node: NodeRef, row: NetworkInterface, call: Call): Promise<Instance> {
    const zone = row.AvailabilityZone ?? '';
    const zoneId = await zoneIdOf({ Placement: { AvailabilityZone: zone } }, call);
    return {
      providerId: node.providerId ?? `${SCHEME}:///${zone}/${node.name}`,
      type: '', // what EKS has labelled it with stays
      zone,
      region,
      addresses: addressesOf(
        {
          PrivateDnsName: row.PrivateDnsName,
          NetworkInterfaces: [{ ...row, Attachment: { DeviceIndex: 0 } }],
        } as Ec2Instance,
        ipFamilies,
      ),
      shutdown: false,
      ...(zoneId === undefined ? {} : { labels: { [ZONE_ID_LABEL]: zoneId } }),
    };
  }

  /** Without the right to ask, nodes go without that one label. */
  async function zoneIdOf(instance: Ec2Instance, call: Call): Promise<string | undefined> {
    const { AvailabilityZone: zone, AvailabilityZoneId: id } = instance.Placement ?? {};
    if (id !== undefined || zone === undefined) return id;
    zoneIds ??= readZones(call).catch((error: unknown) => {
      zoneIds = undefined;
      throw error;
    });
    return (await zoneIds).get(zone);
  }

  async function readZones(call: Call): Promise<ReadonlyMap<string, string>> {
    try {
      const { AvailabilityZones = [] } = await ec2.describeAvailabilityZones({}, call);
      return new Map(AvailabilityZones.map(({ ZoneName = '', ZoneId = '' }) => [ZoneName, ZoneId]));
    } catch (error) {
      if (!isProviderError(error) || error.kind !== 'denied') throw error;
      call.log.warn({ err: error }, ZONES_DENIED);
      return new Map();
    }
  }

  async function toInstance(instance: Ec2Instance, call: Call): Promise<Instance | undefined> {
    const { InstanceId = '', InstanceType = '', Placement, State } = instance;
    if (State?.Name === 'terminated') return undefined;
    const zone = Placement?.AvailabilityZone ?? '';
    const zoneId = await zoneIdOf(instance, call);
    return {
      providerId: `${SCHEME}:///${zone}/${InstanceId}`,
      type: InstanceType,
      zone,
      region,
      addresses: addressesOf(instance, ipFamilies),
      // One that is stopping still serves; one that is shutting down never comes back, and is gone soon.
      shutdown: State?.Name === 'stopped',
      ...(zoneId === undefined ? {} : { labels: { [ZONE_ID_LABEL]: zoneId } }),
    };
  }

  return {
    scheme: SCHEME,
    async find(nodes, call) {
      const questions = new Map<string, Question>(); // by node name
      for (const node of nodes) {
        const question = questionOf(node);
        if (question !== undefined) questions.set(node.name, question);
        else if (!isFargate(node))
          // one without an address in its name is left alone
          call.log.warn({ node: node.name, providerID: node.providerId }, 'no id of an instance');
      }
      const [ids, names, interfaces] = await Promise.all([
        byIds(unique(questions, 'id'), call),
        byNames(unique(questions, 'dnsName'), call),
        byAddresses(unique(questions, 'address'), call),
      ]);
      const refs = new Map(nodes.map((node) => [node.name, node]));
      const answers = await Promise.all(
        [...questions].map(async ([node, question]) => {
          if ('address' in question) {
            const row = interfaces.get(question.address);
            const ref = refs.get(node) as NodeRef;
            return [[node, row === undefined ? undefined : await toFargate(ref, row, call)] as const];
          }
          const instance = 'id' in question ? ids.get(question.id) : names.get(question.dnsName);
          if (instance !== 'unclear')
            return [[node, instance === undefined ? undefined : await toInstance(instance, call)] as const];
          call.log.warn({ node }, 'several instances have its DNS name');
          return [];
        }),
      );
      return new Map(answers.flat());
    },
  };
}

/**
 * `aws:///<zone>/<id>`, `aws:////<id>` or a bare id; without a providerID a node named by its instance (`i-0123.example`),
 * or by its private DNS name. Absent: no question can be asked about it.
 */
export function questionOf(node: NodeRef): Question | undefined {
  if (isFargate(node)) return addressIn(node);
  const { name, providerId } = node;
  if (providerId !== undefined) return idIn(providerId.slice(providerId.lastIndexOf('/') + 1));
  return name.startsWith('i-') ? idIn(name.split('.')[0] ?? '') : { dnsName: name };
}

const idIn = (text: string): Question | undefined => (/^i-[0-9a-f]+$/.test(text) ? { id: text } : undefined);

/** 'fargate-ip-192-168-1-2.eu-west-1.compute.internal', by name or at the end of the providerID. */
function addressIn({ name, providerId = '' }: NodeRef): Question | undefined {
  const [, ...parts] =
    /(?:^|\/)fargate-ip-(\d+)-(\d+)-(\d+)-(\d+)(?:\.|$)/.exec(name.startsWith('fargate-') ? name : providerId) ?? [];
  const address = canonicalIp(parts.join('.'));
  return address === undefined ? undefined : { address };
}

/** EKS makes these Nodes: there is a network interface behind, and no instance of ours. */
const isFargate = ({ name, providerId = '' }: NodeRef): boolean =>
  name.startsWith('fargate-') || /\/fargate-[^/]*$/.test(providerId);

function unique(questions: ReadonlyMap<string, Question>, kind: 'id' | 'dnsName' | 'address'): readonly string[] {
  const values = [...questions.values()].flatMap((question) => {
    const value = (question as Partial<Record<typeof kind, string>>)[kind];
    return value === undefined ? [] : [value];
  });
  return [...new Set(values)].sort();
}

/**
 * As cloud-provider-aws has them: all private IPv4 addresses of interfaces in use, by device index, then the public one and
 * the names; of each interface the first IPv6 address.
 */
function addressesOf(instance: Ec2Instance, families: readonly IpFamily[]): readonly NodeAddress[] {
  const interfaces = (instance.NetworkInterfaces ?? [])
    .filter(({ Status }) => Status === 'in-use')
    .sort((a, b) => indexOf(a) - indexOf(b));
  return families.flatMap((family) => {
    if (family === 'ipv6') {
      const first = interfaces.map(({ Ipv6Addresses = [] }) => Ipv6Addresses[0]?.Ipv6Address);
      return first.flatMap((address) => present('InternalIP', address));
    }
    const { PublicIpAddress, PrivateDnsName, PublicDnsName } = instance;
    const all = interfaces.flatMap(({ PrivateIpAddresses = [] }) => PrivateIpAddresses);
    return [
      ...all.flatMap(({ PrivateIpAddress }) => present('InternalIP', PrivateIpAddress)),
      ...present('ExternalIP', PublicIpAddress),
      ...present('InternalDNS', PrivateDnsName),
      ...present('Hostname', PrivateDnsName),
      ...present('ExternalDNS', PublicDnsName),
    ];
  });
}

const indexOf = ({ Attachment }: NonNullable<Ec2Instance['NetworkInterfaces']>[number]): number =>
  (Attachment?.NetworkCardIndex ?? 0) * 1000 + (Attachment?.DeviceIndex ?? 0);

/** Empty texts are absent ones; addresses in their one notation. */
const present = (type: NodeAddress['type'], address: string | undefined): readonly NodeAddress[] =>
  address === undefined || address === '' ? [] : [{ type, address: canonicalIp(address) ?? address }];
