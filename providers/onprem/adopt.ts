import type { Allocator } from '../../src/core/ipam/allocator.ts';
import type { Service } from '../../src/core/objects.ts';
import type { Book } from './book.ts';
import type { Commit } from './commit.ts';
import { publishedOf, type Services } from './services.ts';

/** Reserves what is published without a reservation, so that nobody else gets it (rule 3; take-over from MetalLB). */
export interface Adopter {
  /** In memory at once, in the block soon. Nothing for a Service that holds what it publishes, or something else. */
  adopt(service: Service): void;
}
export interface AdopterOptions {
  readonly allocator: Allocator;
  readonly services: Services;
  readonly book: Book;
  /** Absent: in memory only. */
  readonly commit?: Commit;
  readonly resync: (reason: string, uids: readonly string[]) => void;
}

export function createAdopter({ allocator, services, book, commit, resync }: AdopterOptions): Adopter {
  return {
    adopt(service) {
      const { uid } = service.metadata;
      const published = publishedOf(service);
      const held = allocator.holdings(uid).map(({ address }) => address);
      if (published.every((address) => held.includes(address))) return;
      const request = services.adoptionRequest(service);
      if (request === undefined) return;
      const adoption = allocator.adopt(request, published);
      if (adoption.notes.length > 0) book.notes.set(uid, adoption.notes);
      if (commit === undefined || adoption.adopted.length === 0) return;
      let isFirst = true;
      const make = () => {
        const { adopted, cleared, notes } = isFirst ? adoption : allocator.adopt(request, published);
        isFirst = false;
        if (cleared.length > 0) {
          // Somebody else has it in a block: that counts, and the Service gets another one.
          book.notes.set(uid, notes);
          resync('a published address is reserved for another Service', [uid]);
        }
        const needed = allocator.holdings(uid).map(({ address }) => address);
        return { changed: adopted.map(({ address }) => address), needed };
      };
      commit.commit({ make, insist: true }).catch(() => {}); // insists until the provider is closed
    },
  };
}
