import { type AddressRequest, plainRequestOf, requestOf } from '../../src/core/ipam/request.ts';
import { keyOf, type Service } from '../../src/core/objects.ts';
import type { Interpretation, LoadBalancerSpec, ObjectReader } from '../../src/core/provider.ts';
import { SOURCE_RANGES_ANNOTATION } from '../../src/core/service/annotations.ts';
import { desiredOf } from '../../src/core/service/desired.ts';
import { isSelected, OWN_FINALIZER, type Selection, wantedOf } from '../../src/core/service/wanted.ts';
import { OLD_POOL_ANNOTATION, POOL_ANNOTATION } from './names.ts';

/** Of every Service here: there is nothing that could be a target. */
export const interpretation: Interpretation = { targetKind: 'none' };

/** The Services as the watch shows them, in the words of the allocator. */
export interface Services {
  /** Of this UID; undefined when another one has the name by now, or none. */
  find(uid: string, key: string): Service | undefined;
  get(key: string): Service | undefined;
  /** Those that we serve, oldest first: creationTimestamp, namespace, name. Costs a look at every Service. */
  wanted(): readonly Service[];
  isWanted(service: Service): boolean;
  /** It is served here, be it on its way out, or carries the finalizer that nobody else writes. */
  isOurs(service: Service): boolean;
  /** What it asks for. Throws ProviderError as `plan` does. */
  request(service: Service): AddressRequest;
  /** By what to keep what it publishes: its wishes or, where they make no sense, none; undefined without a cluster IP. */
  adoptionRequest(service: Service): AddressRequest | undefined;
}

export function createServices(reader: ObjectReader, selection: Selection, cluster: string): Services {
  const get = (key: string) => reader.get(key) as Service | undefined;
  const isWanted = (service: Service) => wantedOf(service, selection).want;
  const specOf = (service: Service): LoadBalancerSpec =>
    desiredOf(service, { cluster, interpret: () => interpretation, members: [], slices: () => [] }).spec;
  return {
    get,
    find(uid, key) {
      const service = get(key);
      return service?.metadata.uid === uid ? service : undefined;
    },
    wanted: () => (reader.list() as readonly Service[]).filter(isWanted).sort(byAge),
    isWanted,
    isOurs: (service) =>
      isSelected(service, selection) || service.metadata.finalizers?.includes(OWN_FINALIZER) === true,
    request: (service) => requestOf(specOf(service)),
    adoptionRequest(service) {
      const recordedPool = poolAnnotationOf(service);
      const recorded = recordedPool === undefined ? {} : { recordedPool };
      for (const make of [requestOf, plainRequestOf])
        for (const source of [service, withoutRanges(service)]) {
          try {
            return { ...make(specOf(source)), ...recorded };
          } catch {
            // What is wrong with it is told by its own run; here it matters only that nobody else gets its address.
          }
        }
      return undefined;
    },
  };
}

/** Who may send to an address does not decide whose it is: wrong ranges are no reason to lose it. */
function withoutRanges({ metadata, spec, ...service }: Service): Service {
  const { loadBalancerSourceRanges: _ranges, ...rest } = spec;
  const { [SOURCE_RANGES_ANNOTATION]: _text, ...annotations } = metadata.annotations ?? {};
  return { ...service, metadata: { ...metadata, annotations }, spec: rest };
}

/** The addresses that it shows to the world, in their order. */
export const publishedOf = ({ status }: Service): readonly string[] =>
  (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined || ip === '' ? [] : [ip]));

/** The pool that its annotation names; the new spelling wins. */
export function poolAnnotationOf({ metadata: { annotations = {} } }: Service): string | undefined {
  return annotations[POOL_ANNOTATION] ?? annotations[OLD_POOL_ANNOTATION];
}

export function byAge(a: Service, b: Service): number {
  const [left, right] = [ageKey(a), ageKey(b)];
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** '\0' sorts before every character of a name, so that namespace and name compare one after the other. */
const ageKey = (service: Service): string =>
  `${service.metadata.creationTimestamp}\0${keyOf(service).replace('/', '\0')}`;
