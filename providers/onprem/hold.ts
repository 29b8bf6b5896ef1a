import type { Allocator } from '../../src/core/ipam/allocator.ts';
import type { Decision } from '../../src/core/ipam/decide.ts';
import type { Change, Made } from './commit.ts';
import type { Desired } from './plan.ts';

/** Takes what the request should hold and gives nothing up. Whenever it is made again it decides anew. */
export function holdChange(allocator: Allocator, request: Desired): Change {
  return { make: () => madeOf(allocator.take(request)) };
}

/** What `decision`, which is in memory already, needs in the blocks. Throws its failure when the Service holds nothing. */
export function madeOf({ keep, take, update, failure: error }: Decision): Made {
  if (error !== undefined && keep.length === 0) throw error;
  const addressOf = ({ address }: { readonly address: string }) => address;
  return { changed: [...take, ...update].map(addressOf), needed: keep.map(addressOf) };
}
