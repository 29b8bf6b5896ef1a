import type { Call, Route, Routes, RouteTable } from '../../src/core/provider.ts';
import { isCloudError } from './cloud-error.ts';
import { callCloud } from './errors.ts';
import type { CloudRoute, RouteTables } from './route-tables.ts';

/** Routes to nodes by providerID, one per table. Ours are tagged with the cluster; all others are foreign. */
export function memoryRoutes(cloud: RouteTables, cluster: string): Routes {
  let tables: readonly RouteTable[] = [];
  return {
    async list(call) {
      const all = await callCloud(call, 'read', () => cloud.list(call.signal));
      tables = cloud.tables.map((id) => ({
        id,
        used: all.filter(({ table }) => table === id).length,
        ...(cloud.limit === undefined ? {} : { limit: cloud.limit }),
      }));
      return all.map((route) => toRoute(route, cluster));
    },
    tables: () => tables,
    create: (route, call) => create(cloud, toCloud(route, cluster), call),
    async remove({ table = '', destination }, call) {
      await callCloud(call, 'write', () => cloud.remove(table, destination, cluster, call.signal));
    },
  };
}

function toRoute({ table, destination, target, tags }: CloudRoute, cluster: string): Route {
  return {
    table,
    node: tags['node'] ?? '',
    destination,
    nextHop: target,
    ...(target === '' ? { blackhole: true } : {}),
    ...(tags['cluster'] === cluster ? {} : { foreign: true }),
  };
}

function toCloud({ table = '', node, nodeUid = '', destination, nextHop }: Route, cluster: string): CloudRoute {
  return { table, destination, target: nextHop, tags: { cluster, node, uid: nodeUid } };
}

async function create(cloud: RouteTables, route: CloudRoute, call: Call): Promise<void> {
  const { table, destination, target, tags } = route;
  await callCloud(call, 'write', async () => {
    try {
      await cloud.create(route, call.signal);
    } catch (error) {
      if (!isCloudError(error, 'AlreadyExists')) throw error;
      // An earlier try of ours whose answer was lost; or another route, which the error says.
      const found = await cloud.find(table, destination, call.signal);
      if (found?.target !== target || found.tags['cluster'] !== tags['cluster']) throw error;
    }
  });
}
