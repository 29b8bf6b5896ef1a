import type { Route as Ec2Route, RouteTable as Ec2Table, Filter } from '@aws-sdk/client-ec2';
import { failure } from '../../src/core/errors.ts';
import { parseCidr } from '../../src/core/net/cidr.ts';
import type { Call, Cidr, RouteTable } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { pages } from './pages.ts';

/** A route as EC2 has it. */
export interface TableRoute {
  readonly table: string;
  readonly destination: Cidr;
  /** What it leads to, as EC2 names it: 'eni-1', 'i-1', 'igw-1', 'local'; '' when it does not say. */
  readonly target: string;
  /** Set for interfaces of instances, while EC2 knows the instance. */
  readonly instanceId?: string;
  readonly interfaceId?: string;
  readonly blackhole: boolean;
}
/** The tables at one time: all routes but those to prefix lists, and how full each is. */
export interface Tables {
  readonly routes: readonly TableRoute[];
  readonly quotas: readonly RouteTable[];
}

export interface TablesOptions {
  readonly clients: Pick<AwsClients, 'ec2'>;
  readonly cluster: string;
  readonly vpcId: string;
  /** The only one, tagged or not. */
  readonly routeTableId?: string;
}

/** Routes of one IP family that a new account may have in one table, and what it may be raised to (Amazon VPC quotas). */
const LIMIT = 50;
const RAISED_LIMIT = 1000;
const PAGE = 100;

/** Every table of the VPC with the cluster's tag, or the one that is configured. Throws FL_AWS_ROUTE_TABLE when there is none. */
export async function readTables(
  { clients, cluster, vpcId, routeTableId }: TablesOptions,
  call: Call,
): Promise<Tables> {
  // Not by the filter tag-key: with two keys moto wants both of them on a table.
  const filters: Filter[] = [
    routeTableId === undefined
      ? { Name: 'vpc-id', Values: [vpcId] }
      : { Name: 'route-table-id', Values: [routeTableId] },
  ];
  const all = await pages(
    (token) =>
      clients.ec2.describeRouteTables(
        { Filters: filters, MaxResults: PAGE, ...(token === undefined ? {} : { NextToken: token }) },
        call,
      ),
    ({ NextToken }) => NextToken,
  );
  const tables = all
    .flatMap(({ RouteTables = [] }) => RouteTables)
    .filter(({ Tags }) => routeTableId !== undefined || hasClusterTag(Tags, cluster));
  if (tables.length === 0) throw noTable(routeTableId, vpcId, cluster);
  return { routes: tables.flatMap(routesOf), quotas: tables.map(quotaOf) };
}

/** By the key of today, whatever its value, or by the older one with the cluster's name. */
export function hasClusterTag(
  tags: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] = [],
  cluster: string,
): boolean {
  return tags.some(
    ({ Key, Value }) =>
      Key === `kubernetes.io/cluster/${cluster}` || (Key === 'KubernetesCluster' && Value === cluster),
  );
}

function noTable(routeTableId: string | undefined, vpcId: string, cluster: string): Error {
  const message =
    routeTableId === undefined
      ? `${vpcId} has no route table with the tag kubernetes.io/cluster/${cluster}: pod routes have nowhere to go`
      : `RouteTableID of the cloud config: there is no route table ${routeTableId}`;
  return failure('FL_AWS_ROUTE_TABLE', message, { field: 'RouteTableID' });
}

function routesOf({ RouteTableId = '', Routes = [] }: Ec2Table): readonly TableRoute[] {
  return Routes.flatMap((route) => {
    const destination = parseCidr(route.DestinationCidrBlock ?? route.DestinationIpv6CidrBlock ?? '');
    if (destination === undefined) return []; // to a prefix list: no pod CIDR is one
    const { InstanceId: instanceId = '', NetworkInterfaceId: interfaceId = '', State } = route;
    return {
      table: RouteTableId,
      destination,
      target: targetOf(route),
      ...(instanceId === '' ? {} : { instanceId }),
      ...(interfaceId === '' ? {} : { interfaceId }),
      blackhole: State === 'blackhole',
    };
  });
}

function targetOf(route: Ec2Route): string {
  const targets = [
    route.NetworkInterfaceId,
    route.InstanceId,
    route.GatewayId,
    route.NatGatewayId,
    route.TransitGatewayId,
    route.VpcPeeringConnectionId,
    route.EgressOnlyInternetGatewayId,
    route.LocalGatewayId,
    route.CarrierGatewayId,
    route.CoreNetworkArn,
  ];
  return targets.find((target) => target !== undefined && target !== '') ?? '';
}

/** Both families have the quota, each for itself. What a gateway propagates does not count. */
function quotaOf({ RouteTableId: id = '', Routes = [] }: Ec2Table): RouteTable {
  const counted = Routes.filter(({ Origin }) => Origin !== 'EnableVgwRoutePropagation');
  const ipv6 = counted.filter(({ DestinationIpv6CidrBlock = '' }) => DestinationIpv6CidrBlock !== '').length;
  const used = Math.max(ipv6, counted.length - ipv6);
  return { id, used, limit: used > LIMIT ? RAISED_LIMIT : LIMIT };
}
