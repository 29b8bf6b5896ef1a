/** Tables as kubectl prints them: the columns and cells of Kubernetes' own printers, the descriptions in our words. */
import { jsonPath } from './json-path.ts';
import { ago, type Column, names, orNone, type Printer, type Row, selectorText, since } from './table-cells.ts';
import { podCells } from './table-pod.ts';

/** What a Table is made of. */
export interface TableOptions {
  /** Wall clock in ms since 1970: ages count to it. */
  readonly now: number;
  /** What each row carries of its object; with 'Object' the objects need their kind and apiVersion. */
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  /** A CRD version's additionalPrinterColumns; a built-in kind has its own. */
  readonly columns?: readonly object[];
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
  /** For every event of a watch but the first: no column definitions. */
  readonly noHeaders?: true;
}

/**
 * A meta.k8s.io/v1 Table with one row per object. A kind without a printer and without `columns` gets Name and Age, and
 * so does a CRD whose columns are empty. A column whose path selects nothing has a null cell; one whose path cannot be
 * read throws (the server refuses such a CRD by `checkColumns`).
 */
export function tableOf(kind: string, objects: readonly object[], how: TableOptions): object {
  const printer = (how.columns ?? []).length > 0 ? printerOf(how.columns as readonly PrinterColumn[]) : printers[kind];
  const { columns, row } = printer ?? byAge;
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: {
      resourceVersion: how.resourceVersion,
      ...(how.continue === undefined ? {} : { continue: how.continue }),
      ...(how.remainingItemCount === undefined ? {} : { remainingItemCount: how.remainingItemCount }),
    },
    columnDefinitions: how.noHeaders === true ? null : columns.map(definition),
    rows: objects.map((object) => ({ ...row(object as Seen, how.now), object: carried(object as Seen, how) })),
  };
}

/** The problem of each printer column that cannot be read, as '[0].jsonPath: ...'. */
export function checkColumns(columns: readonly object[]): readonly string[] {
  return (columns as readonly PrinterColumn[]).flatMap(({ jsonPath: path }, at) => {
    try {
      jsonPath(path);
      return [];
    } catch (error) {
      return [`[${at}].jsonPath: ${(error as Error).message}`];
    }
  });
}

interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
}

/** An object of any kind: what a printer reads may always be absent. */
// biome-ignore lint/suspicious/noExplicitAny: printers read deep into JSON whose every step may be absent
type Seen = any;

function definition(column: Column): object {
  return {
    name: column.name,
    type: column.type ?? 'string',
    format: column.format ?? '',
    description: column.description,
    priority: column.wide === true ? 1 : (column.priority ?? 0),
  };
}

function carried(object: Seen, { includeObject }: TableOptions): unknown {
  if (includeObject === 'None') return null;
  if (includeObject === 'Object') return object;
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

const name: Column = { name: 'Name', format: 'name', description: 'Name of the object, unique in its namespace.' };
const age: Column = { name: 'Age', description: 'Time since the object was created.' };
const created: Column = { name: 'Created At', type: 'date', description: 'When the object was created.' };
const containers: readonly Column[] = [
  { name: 'Containers', wide: true, description: 'Names of the containers in the template.' },
  { name: 'Images', wide: true, description: 'Images of the containers in the template.' },
  { name: 'Selector', wide: true, description: 'Selector of the pods that belong to it.' },
];

/** A printer whose cells are a plain list. */
const cells = (columns: readonly Column[], of: (object: Seen, now: number) => readonly unknown[]): Printer => ({
  columns,
  row: (object, now) => ({ cells: of(object as Seen, now) }),
});

const byAge = cells([name, age], ({ metadata }, now) => [metadata.name, since(metadata.creationTimestamp, now)]);

const printers: Readonly<Record<string, Printer>> = {
  ConfigMap: cells([name, { name: 'Data', description: 'Number of entries.' }, age], (map, now) => [
    map.metadata.name,
    Object.keys({ ...map.data }).length + Object.keys({ ...map.binaryData }).length,
    ago(map, now),
  ]),
  CustomResourceDefinition: cells(
    [
      name,
      { name: 'Scope', description: 'Namespaced or Cluster.' },
      { name: 'Versions', description: 'Served versions; one is stored.' },
      created,
      { name: 'Group', wide: true, description: 'API group.' },
      { name: 'Kind', wide: true, description: 'Kind of the objects.' },
      { name: 'ShortNames', wide: true, description: 'Short names for the command line.' },
      { name: 'Established', type: 'boolean', wide: true, description: 'Whether its objects are served.' },
    ],
    ({ metadata, spec, status }) => [
      metadata.name,
      spec.scope,
      (spec.versions as Seen[])
        .filter((version) => version.served)
        .map((version) => (version.storage ? `${version.name}(storage)` : version.name))
        .sort()
        .join(','),
      metadata.creationTimestamp,
      spec.group,
      spec.names.kind,
      (spec.names.shortNames ?? []).join(','),
      conditionOf(status, 'Established') === 'True',
    ],
  ),
  DaemonSet: cells(
    [
      name,
      { name: 'Desired', type: 'integer', description: 'Nodes that should run the pod.' },
      { name: 'Current', type: 'integer', description: 'Nodes that run it and should.' },
      { name: 'Ready', type: 'integer', description: 'Nodes whose pod is ready.' },
      { name: 'Up-to-date', type: 'integer', description: 'Nodes whose pod has the newest template.' },
      { name: 'Available', type: 'integer', description: 'Nodes whose pod has been ready for long enough.' },
      { name: 'Node Selector', description: 'Labels of the nodes that get a pod.' },
      age,
      ...containers,
    ],
    (set, now) => [
      set.metadata.name,
      set.status?.desiredNumberScheduled ?? 0,
      set.status?.currentNumberScheduled ?? 0,
      set.status?.numberReady ?? 0,
      set.status?.updatedNumberScheduled ?? 0,
      set.status?.numberAvailable ?? 0,
      labelsText(set.spec.template?.spec?.nodeSelector),
      ago(set, now),
      ...containerCells(set.spec.template),
      orNone(selectorText(set.spec.selector)),
    ],
  ),
  Deployment: cells(
    [
      name,
      { name: 'Ready', description: 'Ready pods of all that are wanted.' },
      { name: 'Up-to-date', description: 'Pods with the newest template.' },
      { name: 'Available', description: 'Pods that have been ready for long enough.' },
      age,
      ...containers,
    ],
    ({ metadata, spec, status }, now) => [
      metadata.name,
      `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
      status?.updatedReplicas ?? 0,
      status?.availableReplicas ?? 0,
      since(metadata.creationTimestamp, now),
      ...containerCells(spec.template),
      selectorText(spec.selector),
    ],
  ),
  Endpoints: cells(
    [name, { name: 'Endpoints', description: 'Addresses with ports; at most three are shown.' }, age],
    (endpoints, now) => [endpoints.metadata.name, subsetsText(endpoints.subsets ?? []), ago(endpoints, now)],
  ),
  EndpointSlice: cells(
    [
      name,
      { name: 'AddressType', description: 'IPv4, IPv6 or FQDN.' },
      { name: 'Ports', description: 'Ports of every endpoint; at most three are shown.' },
      { name: 'Endpoints', description: 'Addresses; at most three are shown.' },
      age,
    ],
    (slice, now) => [
      slice.metadata.name,
      slice.addressType,
      firstThree((slice.ports ?? []).map((port: Seen) => String(port.port ?? port.name ?? '*'))),
      firstThree((slice.endpoints ?? []).flatMap((endpoint: Seen) => endpoint.addresses ?? [])),
      ago(slice, now),
    ],
  ),
  Event: cells(
    [
      { name: 'Last Seen', description: 'Time since it happened last.' },
      { name: 'Type', description: 'Normal or Warning.' },
      { name: 'Reason', description: 'Why, in one word.' },
      { name: 'Object', description: 'What it is about.' },
      { name: 'Subobject', wide: true, description: 'Which part of the object.' },
      { name: 'Source', wide: true, description: 'Who reports it.' },
      { name: 'Message', description: 'What happened, for people.' },
      { name: 'First Seen', wide: true, description: 'Time since it happened first.' },
      { name: 'Count', wide: true, description: 'How often it happened.' },
      { ...name, wide: true },
    ],
    eventCells,
  ),
  Lease: cells([name, { name: 'Holder', description: 'Who holds it.' }, age], (lease, now) => [
    lease.metadata.name,
    lease.spec?.holderIdentity ?? '',
    ago(lease, now),
  ]),
  Namespace: cells([name, { name: 'Status', description: 'Active or Terminating.' }, age], (namespace, now) => [
    namespace.metadata.name,
    namespace.status?.phase ?? '',
    ago(namespace, now),
  ]),
  Node: cells(
    [
      name,
      { name: 'Status', description: 'Whether it is ready and takes pods.' },
      { name: 'Roles', description: 'Roles, by its labels.' },
      age,
      { name: 'Version', description: "The kubelet's version." },
      { name: 'Internal-IP', wide: true, description: 'First address inside the cluster.' },
      { name: 'External-IP', wide: true, description: 'First address outside the cluster.' },
      { name: 'OS-Image', wide: true, description: 'Operating system.' },
      { name: 'Kernel-Version', wide: true, description: 'Kernel and architecture.' },
      { name: 'Container-Runtime', wide: true, description: 'Container runtime and its version.' },
    ],
    nodeCells,
  ),
  Pod: {
    columns: [
      name,
      { name: 'Ready', description: 'Ready containers of all.' },
      { name: 'Status', description: 'What its containers are doing.' },
      { name: 'Restarts', description: 'How often its containers were started again, and when last.' },
      age,
      { name: 'IP', wide: true, description: 'First address.' },
      { name: 'Node', wide: true, description: 'The node that runs it.' },
      { name: 'Nominated Node', wide: true, description: 'The node where room is being made for it.' },
      { name: 'Readiness Gates', wide: true, description: 'Fulfilled readiness gates of all.' },
    ],
    row: podCells,
  },
  Secret: cells(
    [
      name,
      { name: 'Type', description: 'What its entries mean.' },
      { name: 'Data', description: 'Number of entries.' },
      age,
    ],
    (secret, now) => [
      secret.metadata.name,
      secret.type ?? '',
      Object.keys({ ...secret.data }).length,
      ago(secret, now),
    ],
  ),
  Service: cells(
    [
      name,
      { name: 'Type', description: 'ClusterIP, NodePort, LoadBalancer or ExternalName.' },
      { name: 'Cluster-IP', description: 'First address inside the cluster.' },
      { name: 'External-IP', description: "The load balancer's addresses, then the external IPs." },
      { name: 'Port(s)', description: 'Ports with their node ports.' },
      age,
      { name: 'Selector', wide: true, description: 'Labels of the pods behind it.' },
    ],
    ({ metadata, spec, status }, now) => [
      metadata.name,
      spec.type ?? '',
      spec.clusterIPs?.[0] ?? '<none>',
      externalIps(spec, status),
      orNone((spec.ports ?? []).map(portText).join(',')),
      since(metadata.creationTimestamp, now),
      labelsText(spec.selector),
    ],
  ),
  ServiceAccount: byAge,
};

function printerOf(columns: readonly PrinterColumn[]): Printer {
  const paths = columns.map((column) => jsonPath(column.jsonPath));
  return {
    columns: [
      name,
      ...columns.map((column) => ({
        name: column.name,
        type: column.type,
        ...(column.format === undefined ? {} : { format: column.format }),
        ...(column.priority === undefined ? {} : { priority: column.priority }),
        description: column.description ?? `Printer column of the CRD: ${column.jsonPath}`,
      })),
    ],
    row: (object, now): Row => ({
      cells: [
        (object as Seen).metadata.name,
        ...columns.map(({ type }, at) => cellOf(type, paths[at]?.(object)[0], now)),
      ],
    }),
  };
}

/** A value that does not have the column's type has no cell; text takes any. */
function cellOf(type: string, value: unknown, now: number): unknown {
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return typeof value === 'string' ? since(value, now) : null;
    default:
      return typeof value === 'object' ? JSON.stringify(value) : String(value);
  }
}

function nodeCells({ metadata, spec, status }: Seen, now: number): readonly unknown[] {
  const ready = conditionOf(status, 'Ready');
  const info = status?.nodeInfo ?? {};
  const address = (type: string) =>
    (status?.addresses ?? []).find((one: Seen) => one.type === type)?.address ?? '<none>';
  const kernel = info.kernelVersion || '<unknown>';
  return [
    metadata.name,
    [
      ready === undefined ? 'Unknown' : ready === 'True' ? 'Ready' : 'NotReady',
      ...(spec?.unschedulable === true ? ['SchedulingDisabled'] : []),
    ].join(','),
    orNone(rolesOf(metadata.labels ?? {}).join(',')),
    since(metadata.creationTimestamp, now),
    info.kubeletVersion ?? '',
    address('InternalIP'),
    address('ExternalIP'),
    info.osImage || '<unknown>',
    info.architecture ? `${kernel} (${info.architecture})` : kernel,
    info.containerRuntimeVersion || '<unknown>',
  ];
}

function rolesOf(labels: Readonly<Record<string, string>>): readonly string[] {
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.entries(labels).flatMap(([key, value]) => {
    if (key.startsWith(prefix)) return [key.slice(prefix.length)];
    return key === 'kubernetes.io/role' ? [value] : [];
  });
  return [...new Set(roles.filter((role) => role !== ''))].sort();
}

function eventCells(event: Seen, now: number): readonly unknown[] {
  const about = event.involvedObject ?? event.regarding ?? {};
  const source = event.source ?? event.deprecatedSource ?? {};
  const firstTimestamp = event.firstTimestamp ?? event.deprecatedFirstTimestamp ?? event.eventTime;
  const lastTimestamp = event.lastTimestamp ?? event.deprecatedLastTimestamp ?? firstTimestamp;
  const component = source.component || event.reportingComponent || event.reportingController || '';
  const instance = source.host || event.reportingInstance || '';
  const kind = String(about.kind ?? '').toLowerCase();
  return [
    since(event.series?.lastObservedTime ?? lastTimestamp, now),
    event.type ?? '',
    event.reason ?? '',
    about.name ? `${kind}/${about.name}` : kind,
    about.fieldPath ?? '',
    instance === '' ? component : `${component}, ${instance}`,
    String(event.message ?? event.note ?? '').trim(),
    since(firstTimestamp, now),
    event.series?.count ?? (event.count || event.deprecatedCount || 1),
    event.metadata.name,
  ];
}

function externalIps(spec: Seen, status: Seen): string {
  const external: readonly string[] = spec.externalIPs ?? [];
  switch (spec.type) {
    case 'ClusterIP':
    case 'NodePort':
      return orNone(external.join(','));
    case 'LoadBalancer': {
      const ingress: readonly Seen[] = status?.loadBalancer?.ingress ?? [];
      const assigned = ingress.map((one) => one.ip || one.hostname).filter(Boolean);
      return [...[...new Set(assigned)].sort(), ...external].join(',') || '<pending>';
    }
    case 'ExternalName':
      return spec.externalName ?? '';
    default:
      return '<unknown>';
  }
}

const portText = ({ port, nodePort, protocol }: Seen): string =>
  nodePort > 0 ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`;

function subsetsText(subsets: readonly Seen[]): string {
  const all = subsets.flatMap(({ addresses, ports }) => {
    const ips: readonly string[] = (addresses ?? []).map((address: Seen) => address.ip);
    if ((ports ?? []).length === 0) return ips;
    return (ports as readonly Seen[]).flatMap(({ port }) =>
      ips.map((ip) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)),
    );
  });
  return subsets.length === 0 ? '<none>' : shortened(all);
}

const firstThree = (list: readonly string[]): string => shortened(list) || '<unset>';

function shortened(list: readonly string[]): string {
  const shown = list.slice(0, 3).join(',');
  return list.length > 3 ? `${shown} + ${list.length - 3} more...` : shown;
}

const containerCells = (template: Seen): readonly string[] => [
  names(template?.spec?.containers, 'name'),
  names(template?.spec?.containers, 'image'),
];

const labelsText = (labels: Seen): string =>
  orNone(
    Object.entries({ ...labels })
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join(','),
  );

const conditionOf = (status: Seen, type: string): string | undefined =>
  (status?.conditions ?? []).find((condition: Seen) => condition.type === type)?.status;
