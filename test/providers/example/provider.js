// A third party's provider in plain JavaScript, for `fairlead controller --provider ./provider.js`. It knows provider.ts
// and nothing else of Fairlead. Its backend is an appliance with virtual servers, given to it as `config.appliance`.
// @ts-check
/** @import { Action, Call, LoadBalancerParts, ProviderContext } from '../../../src/core/provider.ts' */
/** @import { Appliance, NewServer, Server } from './appliance.ts' */
// Outside of this repository: from 'fairlead/provider'.
import { defineLoadBalancers } from '../../../src/core/define.ts';

export const apiVersion = 1;

/** @param {ProviderContext} context */
export async function create({ cluster, config }) {
  const { appliance } = /** @type {{ appliance: Appliance }} */ (config);
  return { name: 'example', loadBalancers: defineLoadBalancers(parts(appliance, cluster)), close: async () => {} };
}

/** @typedef {Action<'putServer' | 'dropServer'> & { server?: NewServer }} Act */
/** @type {(appliance: Appliance, cluster: string) => LoadBalancerParts<NewServer, Server | undefined, Act>} */
export const parts = (appliance, cluster) => ({
  plan({ uid, key, listeners }) {
    if (listeners.length === 0) throw invalid('spec.ports', 'is empty; a virtual server needs a port');
    const ports = listeners.map(({ protocol, port, targetPort }) => `${protocol} ${port} to ${targetPort}`);
    return { name: nameOf(cluster, uid), owner: ownerOf(cluster, uid), label: key, ports: ports.sort() };
  },
  async observe({ uid }, call) {
    return await call.limit(() => appliance.get(nameOf(cluster, uid)));
  },
  async observeAll(call) {
    const servers = await call.limit(() => appliance.list());
    return servers.flatMap((server) => {
      const uid = uidOf(cluster, server);
      return uid === undefined ? [] : [{ uid, observed: server }];
    });
  },
  diff(wanted, found) {
    if (found !== undefined && uidOf(cluster, found) === undefined) {
      if (wanted === undefined) return []; // somebody else's: for us there is nothing
      throw providerError('conflict', 'EX_FOREIGN', `server ${found.name} belongs to ${found.owner}`);
    }
    if (found?.draining) return []; // it goes, and its name is free when it is gone
    if (wanted === undefined) {
      return found === undefined ? [] : [[{ kind: 'dropServer', target: found.name, reason: 'no Service wants it' }]];
    }
    if (found !== undefined && String(found.ports) === String(wanted.ports)) return [];
    const reason = found === undefined ? `${wanted.label} has none` : `the ports of ${wanted.label} changed`;
    return [[{ kind: 'putServer', target: wanted.name, reason, server: wanted }]];
  },
  async apply({ target, server }, call) {
    await call.limit(() => (server === undefined ? appliance.drop(target) : appliance.put(server)));
  },
  progress(wanted, found) {
    const isOurs = found !== undefined && uidOf(cluster, found) !== undefined;
    if (wanted === undefined) return isOurs ? waiting(`${found.name} drains`) : { state: 'ready', ingress: [] };
    return isOurs && !found.draining ? { state: 'ready', ingress: [{ ip: found.address }] } : waiting('no server yet');
  },
});

/** @type {(reason: string) => import('../../../src/core/provider.ts').Progress} */
const waiting = (reason) => ({ state: 'pending', reason, retryAfterMs: 1000 });
/** @type {(cluster: string, uid: string) => string} */
const nameOf = (cluster, uid) => `${cluster}-${uid}`;
/** @type {(cluster: string, uid: string) => string} */
const ownerOf = (cluster, uid) => `fairlead/${cluster}/${uid}`;
/** The Service whose server this is; undefined for somebody else's. @type {(cluster: string, server: Server) => string | undefined} */
const uidOf = (cluster, { owner }) => (owner.startsWith(ownerOf(cluster, '')) ? owner.split('/')[2] : undefined);
/** @type {(field: string, message: string) => Error} */
const invalid = (field, message) => providerError('invalid', 'EX_SPEC', `${field} ${message}`, { field });
/** @type {(kind: string, code: string, message: string, more?: object) => Error} */
const providerError = (kind, code, message, more) =>
  Object.assign(new Error(message), { name: 'ProviderError', kind, code, ...more });
