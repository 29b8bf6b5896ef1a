import { failure, type ProviderError } from '../errors.ts';
import type { Cidr, Route } from '../provider.ts';

/** Others' routes stand where one of ours belongs: FL_ROUTE_FOREIGN, which names them. */
export function obstacleError(destination: Cidr, obstacles: readonly Route[]): ProviderError {
  const them = obstacles.map(({ id, table, destination: theirs, nextHop }) => {
    const name = [theirs, ...(table === undefined ? [] : [`in ${table}`]), ...(id === undefined ? [] : [`(${id})`])];
    return `${name.join(' ')} to ${nextHop === '' ? 'nowhere' : nextHop}`;
  });
  const message = `${destination}: a route that is not ours would take its traffic: ${them.join(', ')}`;
  return failure('FL_ROUTE_FOREIGN', message, { field: 'spec.podCIDRs' });
}
