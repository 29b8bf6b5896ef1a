import type { RouteTable } from '@aws-sdk/client-ec2';
import { failure } from '../../src/core/errors.ts';
import { parseCidr } from '../../src/core/net/cidr.ts';
import type { Call, Cidr, Clock } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { subnetOf } from './convert.ts';
import { createBatch, createFlight } from './flight.ts';
import type { SubnetFacts } from './model.ts';
import { pages } from './pages.ts';

/** The VPC as it is. */
export interface VpcFacts {
  /** Of both families, associated ones only. */
  readonly cidrs: readonly Cidr[];
  /** Of the VPC, and those of other VPCs that somebody named. */
  readonly subnets: readonly SubnetFacts[];
}

export interface FactsCache {
  /** At most 10 minutes old. `ids`: subnets that may be of other VPCs; one that does not exist is missing. */
  read(ids: readonly string[], call: Call): Promise<VpcFacts>;
  /** AWS has said something that does not fit them. */
  forget(): void;
}

/** LBC's figure: people who add a subnet wait for no longer. */
const MAX_AGE_MS = 600_000;
/** A subnet that an annotation names may be made after the Service. */
const MISSING_AGE_MS = 30_000;

export function createFacts(options: {
  readonly clients: AwsClients;
  readonly clock: Clock;
  readonly vpcId: string;
  readonly region: string;
}): FactsCache {
  const { clients, clock, vpcId, region } = options;
  let facts: (VpcFacts & { readonly sentMs: number }) | undefined;
  const elsewhere = new Map<string, { readonly subnet: SubnetFacts | undefined; readonly sentMs: number }>();

  const flight = createFlight(async (call) => {
    const sentMs = clock.monotonicMs();
    const ofVpc = [{ Name: 'vpc-id', Values: [vpcId] }];
    const next = (token: string | undefined) => (token === undefined ? {} : { NextToken: token });
    const [{ Vpcs: [vpc] = [] }, subnets, tables] = await Promise.all([
      clients.ec2.describeVpcs({ VpcIds: [vpcId] }, call),
      pages(
        (token) => clients.ec2.describeSubnets({ Filters: ofVpc, ...next(token) }, call),
        ({ NextToken }) => NextToken,
      ),
      pages(
        (token) => clients.ec2.describeRouteTables({ Filters: ofVpc, ...next(token) }, call),
        ({ NextToken }) => NextToken,
      ),
    ]);
    if (vpc === undefined) throw failure('FL_AWS_CONFIG', `VPC ${vpcId} does not exist in ${region}`);
    const isPublic = publicSubnets(tables.flatMap(({ RouteTables = [] }) => RouteTables));
    const associated = (state: { readonly State?: string | undefined } | undefined) =>
      !/^(dis|fail)/i.test(state?.State ?? '');
    facts = {
      sentMs,
      cidrs: [
        ...(vpc.CidrBlockAssociationSet ?? [])
          .filter(({ CidrBlockState }) => associated(CidrBlockState))
          .map(({ CidrBlock }) => CidrBlock),
        ...(vpc.Ipv6CidrBlockAssociationSet ?? [])
          .filter(({ Ipv6CidrBlockState }) => associated(Ipv6CidrBlockState))
          .map(({ Ipv6CidrBlock }) => Ipv6CidrBlock),
      ].flatMap((text) => parseCidr(text ?? '') ?? []),
      subnets: subnets
        .flatMap(({ Subnets = [] }) => Subnets)
        .map((row) => subnetOf(row, region, isPublic(row.SubnetId ?? '')))
        .sort((a, b) => (a.id < b.id ? -1 : 1)),
    };
  });

  const byId = createBatch<string, SubnetFacts>({
    size: 100,
    waitMs: 0,
    clock,
    async send(ids, call) {
      // By filter: one id that does not exist is then no error of the whole request.
      const { Subnets = [] } = await clients.ec2.describeSubnets(
        { Filters: [{ Name: 'subnet-id', Values: [...ids] }] },
        call,
      );
      return new Map(Subnets.map((row) => [row.SubnetId ?? '', subnetOf(row, region, false)]));
    },
  });

  async function readElsewhere(ids: readonly string[], call: Call): Promise<readonly SubnetFacts[]> {
    const nowMs = clock.monotonicMs();
    const stale = ids.filter((id) => {
      const known = elsewhere.get(id);
      return known === undefined || nowMs - known.sentMs > (known.subnet === undefined ? MISSING_AGE_MS : MAX_AGE_MS);
    });
    if (stale.length > 0) {
      const found = await byId.load(stale, call);
      for (const id of stale) elsewhere.set(id, { subnet: found.get(id), sentMs: nowMs });
    }
    return ids.flatMap((id) => elsewhere.get(id)?.subnet ?? []);
  }

  return {
    async read(ids, call) {
      while (facts === undefined || clock.monotonicMs() - facts.sentMs > MAX_AGE_MS) await flight.join(call);
      const { cidrs, subnets } = facts;
      const known = new Set(subnets.map(({ id }) => id));
      const others = ids.filter((id) => !known.has(id));
      return { cidrs, subnets: others.length === 0 ? subnets : [...subnets, ...(await readElsewhere(others, call))] };
    },
    forget() {
      facts = undefined;
      elsewhere.clear();
    },
  };
}

/** A subnet is public when its own table, else the VPC's main one, leads to an internet gateway. */
function publicSubnets(tables: readonly RouteTable[]): (id: string) => boolean {
  const leadsOut = ({ Routes = [] }: RouteTable) =>
    Routes.some(({ GatewayId, State }) => GatewayId?.startsWith('igw-') === true && State !== 'blackhole');
  const own = new Map<string, boolean>();
  let main = false;
  for (const table of tables) {
    for (const { Main, SubnetId } of table.Associations ?? []) {
      if (SubnetId !== undefined) own.set(SubnetId, leadsOut(table));
      else if (Main === true) main = leadsOut(table);
    }
  }
  return (id) => own.get(id) ?? main;
}
