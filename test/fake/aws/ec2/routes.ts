import type {
  CreateRouteRequest,
  DeleteRouteRequest,
  DescribeRouteTablesRequest,
  ReplaceRouteRequest,
  Route as RouteView,
} from '@aws-sdk/client-ec2';
import { type Cloud, reachable, type Scope } from '../cloud.ts';
import { AwsError, invalidValue } from '../error.ts';
import type { Given } from '../given.ts';
import { networkOf } from '../net.ts';
import type { Route, RouteTable } from '../records.ts';
import { select, tagValues, toTagSet } from './filters.ts';

export function describeRouteTables({ cloud, atMs }: Scope, input: Given<DescribeRouteTablesRequest>): object {
  const { items, next } = select({
    all: cloud.routeTables.values(atMs),
    idOf: ({ id }) => id,
    ids: input.RouteTableIds,
    notFound: 'InvalidRouteTableID.NotFound',
    filters: input.Filters,
    maxResults: input.MaxResults,
    nextToken: input.NextToken,
    values({ id, vpcId, main, subnets, routes, tags }, filter) {
      switch (filter) {
        case 'route-table-id':
        case 'association.route-table-id':
          return [id];
        case 'vpc-id':
          return [vpcId];
        case 'association.main':
          return main ? ['true'] : ['false'];
        case 'association.subnet-id':
          return subnets;
        case 'route.destination-cidr-block':
          return routes.map(({ destination }) => destination).filter((cidr) => !cidr.includes(':'));
        case 'route.destination-ipv6-cidr-block':
          return routes.map(({ destination }) => destination).filter((cidr) => cidr.includes(':'));
        case 'route.gateway-id':
          return routes.map(({ target }) => ('gatewayId' in target ? target.gatewayId : undefined));
        default:
          return tagValues(tags, filter);
      }
    },
  });
  return {
    RouteTables: items.map((table) => toView(cloud, table, atMs)),
    ...(next === undefined ? {} : { NextToken: next }),
  };
}

function toView(cloud: Cloud, { id, vpcId, main, subnets, routes, tags }: RouteTable, atMs: number): object {
  const association = (key: string, more: object) => ({
    RouteTableAssociationId: `rtbassoc-${key}`,
    RouteTableId: id,
    AssociationState: { State: 'associated' },
    ...more,
  });
  return {
    RouteTableId: id,
    VpcId: vpcId,
    OwnerId: cloud.account,
    Associations: [
      ...(main ? [association(id.slice('rtb-'.length), { Main: true })] : []),
      ...subnets.map((subnet) => association(`${id}-${subnet}`, { Main: false, SubnetId: subnet })),
    ],
    PropagatingVgws: [],
    Routes: routes.map((route) => toRoute(cloud, route, atMs)),
    Tags: toTagSet(tags),
  };
}

/** A route whose interface or instance has gone is a blackhole, and names no instance any more. */
function toRoute(cloud: Cloud, { destination, target }: Route, atMs: number): RouteView {
  const field = destination.includes(':') ? 'DestinationIpv6CidrBlock' : 'DestinationCidrBlock';
  if ('gatewayId' in target) {
    const Origin = target.gatewayId === 'local' ? 'CreateRouteTable' : 'CreateRoute';
    return { [field]: destination, GatewayId: target.gatewayId, Origin, State: 'active' };
  }
  const { instanceId } = cloud.interfaces.get(target.interfaceId, atMs) ?? {};
  const state = instanceId === undefined ? undefined : cloud.instances.get(instanceId, atMs)?.state;
  const isThere = state !== undefined && state !== 'terminated' && state !== 'shutting-down';
  return {
    [field]: destination,
    ...(isThere ? { InstanceId: instanceId, InstanceOwnerId: cloud.account } : {}),
    NetworkInterfaceId: target.interfaceId,
    Origin: 'CreateRoute',
    State: isThere ? 'active' : 'blackhole',
  };
}

export function createRoute(scope: Scope, input: Given<CreateRouteRequest>): object {
  const { cloud } = scope;
  const table = tableOf(scope, input.RouteTableId);
  const destination = destinationOf(input);
  const target = targetOf(scope, input);
  if (table.routes.some((route) => route.destination === destination)) {
    throw new AwsError('RouteAlreadyExists', `The route identified by ${destination} already exists.`);
  }
  const limit = cloud.settings.quotas.routesPerTable;
  if (table.routes.length >= limit) {
    throw new AwsError('RouteLimitExceeded', `The maximum number of routes has been reached: ${limit}`);
  }
  cloud.routeTables.put(table.id, { ...table, routes: [...table.routes, { destination, target }] });
  return { Return: true };
}

export function replaceRoute(scope: Scope, input: Given<ReplaceRouteRequest>): object {
  const table = tableOf(scope, input.RouteTableId);
  const destination = destinationOf(input);
  if (input.LocalTarget !== undefined) throw invalidValue('LocalTarget is not in the fake');
  const target = targetOf(scope, input);
  if (!table.routes.some((route) => route.destination === destination)) {
    throw invalidValue(`There is no route defined for '${destination}' in the route table. Use CreateRoute instead.`);
  }
  const routes = table.routes.map((route) => (route.destination === destination ? { destination, target } : route));
  scope.cloud.routeTables.put(table.id, { ...table, routes });
  return {};
}

export function deleteRoute(scope: Scope, input: Given<DeleteRouteRequest>): object {
  const table = tableOf(scope, input.RouteTableId);
  const destination = destinationOf(input);
  const found = table.routes.find((route) => route.destination === destination);
  if (found === undefined) {
    throw new AwsError(
      'InvalidRoute.NotFound',
      `no route with destination-cidr-block ${destination} in route table ${table.id}`,
    );
  }
  if ('gatewayId' in found.target && found.target.gatewayId === 'local') {
    throw invalidValue(`cannot remove local route ${destination} in route table ${table.id}`);
  }
  scope.cloud.routeTables.put(table.id, { ...table, routes: table.routes.filter((route) => route !== found) });
  return {};
}

function tableOf(scope: Scope, id: string): RouteTable {
  const found = reachable(scope.cloud.routeTables, id, scope);
  if (found === undefined)
    throw new AwsError('InvalidRouteTableID.NotFound', `The routeTable ID '${id}' does not exist`);
  return found;
}

interface Destination {
  readonly DestinationCidrBlock?: string | undefined;
  readonly DestinationIpv6CidrBlock?: string | undefined;
  readonly DestinationPrefixListId?: string | undefined;
}

function destinationOf({
  DestinationCidrBlock: v4,
  DestinationIpv6CidrBlock: v6,
  DestinationPrefixListId,
}: Destination): string {
  if (DestinationPrefixListId !== undefined) throw invalidValue('Prefix lists as destinations are not in the fake');
  if ((v4 === undefined) === (v6 === undefined))
    throw new AwsError('InvalidParameterCombination', 'Exactly one destination is wanted');
  const network = v4 === undefined ? networkOf(v6 ?? '', 'ipv6') : networkOf(v4, 'ipv4');
  if (network === undefined)
    throw invalidValue(
      `Value (${v4 ?? v6}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.`,
    );
  return network;
}

/** Of the targets that AWS has we use two. */
const unused = [
  'CarrierGatewayId',
  'CoreNetworkArn',
  'EgressOnlyInternetGatewayId',
  'LocalGatewayId',
  'NatGatewayId',
  'OdbNetworkArn',
  'TransitGatewayId',
  'VpcEndpointId',
  'VpcPeeringConnectionId',
] as const;

function targetOf(scope: Scope, input: Given<CreateRouteRequest> | Given<ReplaceRouteRequest>): Route['target'] {
  const { cloud } = scope;
  const other = unused.find((key) => input[key] !== undefined);
  if (other !== undefined) throw invalidValue(`${other}: such targets are not in the fake`);
  const { GatewayId: gatewayId, InstanceId: instanceId, NetworkInterfaceId: interfaceId } = input;
  if ([gatewayId, instanceId, interfaceId].filter((target) => target !== undefined).length !== 1) {
    throw new AwsError('InvalidParameterCombination', 'Exactly one target is wanted');
  }
  if (gatewayId !== undefined) return { gatewayId };
  if (interfaceId !== undefined) {
    if (reachable(cloud.interfaces, interfaceId, scope) === undefined) {
      throw new AwsError(
        'InvalidNetworkInterfaceID.NotFound',
        `The networkInterface ID '${interfaceId}' does not exist`,
      );
    }
    return { interfaceId };
  }
  const instance = reachable(cloud.instances, instanceId ?? '', scope);
  if (instance === undefined || instance.state === 'terminated') {
    throw new AwsError('InvalidInstanceID.NotFound', `The instance ID '${instanceId}' does not exist`);
  }
  const [only, ...more] = instance.interfaceIds;
  if (only === undefined || more.length > 0) {
    throw new AwsError(
      'InvalidInstanceID',
      `There are multiple interfaces attached to instance '${instanceId}'. Please specify an interface ID for the operation instead.`,
    );
  }
  return { interfaceId: only };
}
