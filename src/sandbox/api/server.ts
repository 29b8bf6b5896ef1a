import type { Readable } from 'node:stream';
import { blockOf, parseCidr } from '../../core/net/cidr.ts';
import { formatIp } from '../../core/net/ip.ts';
import { type KubeObject, keyOf } from '../../core/objects.ts';
import type { Cidr, Clock, ResourceName } from '../../core/provider.ts';
import type { Transport, TransportRequest, TransportResponse } from '../../kube/request.ts';
import type { Timers } from '../../work/clock.ts';
import { type PlaneOptions, runPlane } from '../plane/plane.ts';
import { type Answer, failureAnswer, json } from './answer.ts';
import type { VerbContext } from './context.ts';
import { canonical, createDecoder, type Decoder, lenient } from './decode.ts';
import { serveDefinitions } from './definitions.ts';
import { aggregated, apiVersions, groupDocument, groupList, resourceList, version } from './discovery.ts';
import { createOpenApi, type OpenApi } from './documents.ts';
import { connectionError, createFaults, type Faults, type Handle } from './faults.ts';
import { type Listening, type ListenOptions, listenHttp } from './http.ts';
import { clone, type Draft } from './json.ts';
import { seededRandom, uuid } from './random.ts';
import { createAddressRange, createPodCidrs, createPortRange } from './registry/ranges.ts';
import { type Catalogue, createCatalogue, type Resource } from './resources.ts';
import { type ApiRequest, targetOf } from './route.ts';
import { createRules } from './rules.ts';
import { internal, isStatusError } from './status.ts';
import { type ApiStore, createApiStore } from './store.ts';
import { bodyOf, inProcess } from './transport.ts';
import { answerObjects } from './verbs.ts';
import { createWrites, type Writes } from './write.ts';

export interface SandboxOptions {
  readonly clock: Clock & Timers;
  /** Equal seeds and equal requests give equal answers: names, uids, ports, faults. Default 1. */
  readonly seed?: number;
  /** How many changes watches can go back. Default 10,000. */
  readonly logCount?: number;
  /** How far watches can go back. Default 5 minutes. */
  readonly logMs?: number;
  /** ClusterIPs come from here, the primary family first. Default 10.96.0.0/16 and fd00:10:96::/112. */
  readonly serviceCidrs?: readonly string[];
  /** First and last node port. Default 30000 to 32767. */
  readonly nodePorts?: readonly [first: number, last: number];
  /** Nodes that bring no pod CIDR get one of these sizes from here, one per family. Default none. */
  readonly podCidrs?: readonly { readonly cidr: string; readonly prefixLength: number }[];
  /** The controllers beside the server; false: none. Default: all but heartbeats and workloads. */
  readonly plane?: Partial<PlaneOptions> | false;
}

/** A Kubernetes API server in memory. */
export interface SandboxApi {
  readonly store: ApiStore;
  /** Answers a request; rejects only where a fault breaks the connection. */
  handle(request: TransportRequest): Promise<TransportResponse>;
  /** Puts objects of another API server as they are, without admission; they get versions of this one. Throws for an unknown kind. */
  seed(resource: ResourceName, objects: readonly KubeObject[]): void;
  /** A client's end in this process. */
  transport(): Transport;
  /** Serves on loopback; a taken port makes it choose another. */
  listen(options?: ListenOptions): Promise<Listening>;
  /** What is to go wrong, for clients in this process and over HTTP alike. */
  readonly faults: Faults;
  /** Breaks every connection and refuses new ones, as a killed server does; what is stored stays. */
  kill(): Promise<void>;
  /** Serves again, on the same ports. */
  start(): Promise<void>;
  /** Ends watches and servers. */
  close(): Promise<void>;
}

const initialNamespaces = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];

export function createSandboxApi(options: SandboxOptions): SandboxApi {
  const { clock, seed = 1, logCount = 10_000, logMs = 300_000 } = options;
  const { serviceCidrs = ['10.96.0.0/16', 'fd00:10:96::/112'], nodePorts = [30_000, 32_767] } = options;
  const random = seededRandom(seed);
  const store = createApiStore({ clock, logCount, logMs });
  const catalogue = createCatalogue();
  const rulesOf = createRules({
    ranges: {
      addresses: serviceCidrs.map((cidr) => createAddressRange(cidrOf(cidr), random)),
      ports: createPortRange(...nodePorts, random),
    },
    ...(options.podCidrs === undefined ? {} : { podCidrs: createPodCidrs(options.podCidrs) }),
  });
  const writes = createWrites({ store, clock, random, rulesOf });
  const decode = createDecoder(rulesOf);
  const tokens = new Set<string>();
  const issueToken = (): string => {
    const token = `sandbox-${uuid(random)}`;
    tokens.add(token);
    return token;
  };
  const context: VerbContext = { store, writes, rulesOf, decode, clock, random, issueToken };
  const endDefinitions = serveDefinitions({ store, catalogue, writes, clock });
  const { plane = {} } = options;
  const endPlane =
    plane === false
      ? () => {}
      : runPlane(
          { store, catalogue, writes, clock },
          { endpointSlices: true, namespaces: true, owners: true, heartbeats: false, workloads: false, ...plane },
        );
  const bodies = new Set<Readable>();
  const servers = new Set<Listening>();

  seedObjects({ catalogue, writes, decode, serviceCidrs });

  const documents = { catalogue, openApi: createOpenApi(catalogue) };
  const serve: Handle = async (request, staleBy) => {
    const how = staleBy === undefined ? context : { ...context, staleBy };
    const { status, headers, body } = answered(how, documents, request);
    const stream = typeof body === 'string' ? bodyOf(body) : body;
    if (stream === body) {
      bodies.add(stream);
      stream.once('close', () => bodies.delete(stream));
    }
    return { status, headers: { 'content-type': 'application/json', ...headers }, body: stream };
  };

  const faults = createFaults(serve, { clock, seed });
  let down = false;
  const handle: Handle = async (request) => {
    if (down) throw connectionError('ECONNREFUSED');
    return await faults.handle(request);
  };

  return {
    store,
    faults,
    handle,
    seed(resource, objects) {
      const found = catalogue.find(resource.group, resource.version, resource.plural);
      if (found === undefined)
        throw new TypeError(`no kind ${resource.plural} of ${resource.group}/${resource.version}`);
      for (const object of objects) {
        const { kind: _kind, apiVersion: _version, ...content } = object;
        store.put(found.collection, keyOf(object), canonical(found, clone(content) as unknown as Draft));
      }
    },
    async kill() {
      down = true;
      for (const body of bodies) body.destroy(connectionError('ECONNRESET'));
      await Promise.all([...servers].map((server) => server.pause()));
    },
    async start() {
      down = false;
      await Promise.all([...servers].map((server) => server.resume()));
    },
    transport: () => inProcess(handle),
    async listen(how = {}) {
      const server = await listenHttp(handle, how, (token) => tokens.has(token));
      servers.add(server);
      return server;
    },
    async close() {
      endPlane();
      endDefinitions();
      for (const body of bodies) body.destroy();
      await Promise.all([...servers].map((server) => server.close()));
    },
  };
}

/** What every new cluster has: its namespaces and the Service of the API server itself. */
function seedObjects({
  catalogue,
  writes,
  decode,
  serviceCidrs,
}: {
  readonly catalogue: Catalogue;
  readonly writes: Writes;
  readonly decode: Decoder;
  readonly serviceCidrs: readonly string[];
}): void {
  const options = { dryRun: false, manager: 'kube-apiserver' };
  const namespaces = catalogue.find('', 'v1', 'namespaces') as Resource;
  for (const name of initialNamespaces)
    writes.create(namespaces, undefined, decode(namespaces, { metadata: { name } }, lenient), options);
  const { family, first } = blockOf(cidrOf(serviceCidrs[0] ?? ''));
  const service = {
    metadata: { name: 'kubernetes', labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: {
      clusterIP: formatIp({ family, value: first + 1n }),
      ports: [{ name: 'https', port: 443, targetPort: 6443 }],
    },
  };
  const services = catalogue.find('', 'v1', 'services') as Resource;
  writes.create(services, 'default', decode(services, service, lenient), options);
}

function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new RangeError(`${text} is not a CIDR`);
  return cidr;
}

function answered(context: VerbContext, documents: Documents, request: ApiRequest): Answer {
  try {
    const url = new URL(request.path, 'http://sandbox');
    const document = documentOf(documents, request, url.pathname);
    if (document !== undefined) return document;
    const target = targetOf(documents.catalogue, url.pathname);
    if (target === undefined) return text(404, '404 page not found\n');
    return answerObjects(context, target, request, url.searchParams);
  } catch (error) {
    const failure = isStatusError(error) ? error : internal(error instanceof Error ? error.message : String(error));
    return failureAnswer(failure);
  }
}

/** What the documents that are not about objects are made of. */
interface Documents {
  readonly catalogue: Catalogue;
  readonly openApi: OpenApi;
}

const aggregatedType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Everything that is not about objects; undefined when the path is none of these. */
function documentOf({ catalogue, openApi }: Documents, request: ApiRequest, path: string): Answer | undefined {
  const parts = path.split('/').filter((part) => part !== '');
  const [root, group, one] = parts;
  const whole = (request.headers['accept'] ?? '').replaceAll(' ', '').includes(aggregatedType);
  switch (root) {
    case 'version':
      return json(200, version);
    case 'healthz':
    case 'livez':
    case 'readyz':
      return text(200, 'ok');
    case 'api':
      if (parts.length === 1)
        return whole
          ? aggregatedAnswer(catalogue, true)
          : json(200, apiVersions(request.headers['host'] ?? 'localhost'));
      return parts.length === 2 ? orMissing(resourceList(catalogue, '', group as string)) : undefined;
    case 'apis':
      if (parts.length === 1) return whole ? aggregatedAnswer(catalogue, false) : json(200, groupList(catalogue));
      if (parts.length === 2) return orMissing(groupDocument(catalogue, group as string));
      return parts.length === 3 ? orMissing(resourceList(catalogue, group as string, one as string)) : undefined;
    case 'openapi':
      if (group !== 'v3') return undefined;
      if (parts.length === 2) return { status: 200, body: openApi.index() };
      return openApiAnswer(openApi, parts.slice(2));
    default:
      return undefined;
  }
}

/** `['api', 'v1']` or `['apis', GROUP, VERSION]`. */
function openApiAnswer(openApi: OpenApi, [root, ...where]: readonly string[]): Answer | undefined {
  const [group = '', version = ''] = root === 'api' ? ['', where[0]] : where;
  const body = openApi.document(group, version);
  return body === undefined ? undefined : { status: 200, body };
}

const aggregatedAnswer = (catalogue: Catalogue, core: boolean): Answer => ({
  ...json(200, aggregated(catalogue, core)),
  headers: { 'content-type': aggregatedType },
});
const orMissing = (document: Parameters<typeof json>[1] | undefined): Answer =>
  document === undefined ? text(404, '404 page not found\n') : json(200, document);
const text = (status: number, body: string): Answer => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8' },
  body,
});
