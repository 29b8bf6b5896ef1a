import type { Part, Rules } from '../admit.ts';
import { duplicate, type FieldError, invalid, notAllowed, required, unsupported } from '../invalid.ts';
import { clone, type Draft, isObject, type JsonObject, same } from '../json.ts';
import { text } from '../selectors.ts';
import { dnsLabel, dnsSubdomain, familyOf, labelValue, portNumber, qualifiedName } from '../words.ts';
import { endpointIpErrors, ipErrors } from './service-validate.ts';

/** Rules of a kind that is only stored. */
export const stored: Rules = { fields: {} };

/** Kinds whose registries do little more than store, by collection. */
export const plainRules: Readonly<Record<string, Rules>> = {
  configmaps: {
    fields: {},
    validate: (draft, old) => [...dataErrors(draft), ...immutableErrors(draft, old, ['data', 'binaryData'])],
  },
  secrets: {
    fields: { type: text('type') },
    defaults: secretDefaults,
    validate: (draft, old) => [
      ...dataErrors(draft),
      ...immutableErrors(draft, old, ['data']),
      ...(old !== undefined && draft['type'] !== old['type']
        ? [invalid('type', draft['type'], 'field is immutable')]
        : []),
    ],
  },
  serviceaccounts: { returnsDeleted: true, fields: {} },
  endpoints: { createOnUpdate: true, fields: {}, defaults: endpointsDefaults, validate: endpointsErrors },
  'leases.coordination.k8s.io': { createOnUpdate: true, versionRequired: true, fields: {}, validate: leaseErrors },
  'endpointslices.discovery.k8s.io': {
    fields: {},
    defaults: sliceDefaults,
    prepareCreate: (draft) => {
      draft.metadata.generation = 1;
    },
    prepareUpdate: sliceGeneration,
    validate: sliceErrors,
  },
};

const mostDataBytes = 1024 * 1024;

/** ConfigMap and Secret: keys of files, at most 1 MiB in all. */
function dataErrors(draft: Draft): readonly FieldError[] {
  const [data, binary] = [draft['data'] ?? {}, draft['binaryData'] ?? {}] as unknown as readonly [
    Record<string, string>,
    Record<string, string>,
  ];
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [member, values] of [
    ['data', data],
    ['binaryData', binary],
  ] as const)
    for (const [key, value] of Object.entries(values)) {
      bytes += Buffer.byteLength(value);
      for (const message of configKey(key)) errors.push(invalid(`${member}[${key}]`, key, message));
      if (member === 'binaryData' && key in data)
        errors.push(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    }
  if (bytes > mostDataBytes) errors.push(notAllowed('', `Too long: may not be more than ${mostDataBytes} bytes`));
  return errors;
}

function configKey(key: string): readonly string[] {
  const errors: string[] = [];
  if (key.length > 253) errors.push('must be no more than 253 characters');
  if (!/^[-._a-zA-Z0-9]+$/.test(key))
    errors.push(
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    );
  if (key === '.') errors.push("must not be '.'");
  if (key === '..') errors.push("must not be '..'");
  else if (key.startsWith('..')) errors.push("must not start with '..'");
  return errors;
}

function immutableErrors(draft: Draft, old: Draft | undefined, members: readonly string[]): readonly FieldError[] {
  if (old?.['immutable'] !== true) return [];
  const errors =
    draft['immutable'] === true ? [] : [notAllowed('immutable', 'field is immutable when `immutable` is set')];
  for (const member of members)
    if (!same(draft[member] ?? {}, old[member] ?? {}))
      errors.push(notAllowed(member, 'field is immutable when `immutable` is set'));
  return errors;
}

/** stringData is only for writing: its values become those of data. */
function secretDefaults(draft: Draft): void {
  draft['type'] ??= 'Opaque';
  const plain = draft['stringData'];
  delete draft['stringData'];
  if (!isObject(plain)) return;
  const encoded = Object.fromEntries(
    Object.entries(plain).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')]),
  );
  draft['data'] = { ...(isObject(draft['data']) ? draft['data'] : {}), ...encoded };
}

interface LeaseSpec {
  readonly leaseDurationSeconds?: number;
  readonly leaseTransitions?: number;
  readonly holderIdentity?: string;
  readonly strategy?: string;
  readonly preferredHolder?: string;
}

function leaseErrors(draft: Draft): readonly FieldError[] {
  const {
    leaseDurationSeconds: seconds,
    leaseTransitions: transitions,
    preferredHolder,
    strategy = '',
  } = (draft['spec'] ?? {}) as LeaseSpec;
  const errors: FieldError[] = [];
  if (seconds !== undefined && seconds <= 0)
    errors.push(invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0'));
  if (transitions !== undefined && transitions < 0)
    errors.push(invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0'));
  if (preferredHolder !== undefined && strategy === '')
    errors.push(notAllowed('spec.preferredHolder', 'can only be specified if strategy is set'));
  return errors;
}

interface SliceEndpoint {
  readonly addresses?: readonly string[] | null;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly hints?: { readonly forZones?: readonly { readonly name: string }[] };
}
interface SlicePort {
  name?: string;
  protocol?: string;
  readonly port?: number;
  readonly appProtocol?: string;
}

const listOf = <T>(value: unknown): T[] => (Array.isArray(value) ? (value as T[]) : []);

function sliceDefaults(draft: Draft): void {
  for (const port of listOf<SlicePort>(draft['ports'])) {
    port.name ??= '';
    port.protocol ??= 'TCP';
  }
}

/** Endpoints and labels count, other metadata does not (endpointSliceStrategy). */
function sliceGeneration(draft: Draft, old: Draft): void {
  const { metadata, ...content } = draft;
  const { metadata: oldMetadata, ...oldContent } = old;
  if (!same(content, oldContent) || !same(metadata.labels ?? {}, oldMetadata.labels ?? {}))
    metadata.generation = (oldMetadata.generation ?? 0) + 1;
}

function sliceErrors(draft: Draft, old: Draft | undefined): readonly FieldError[] {
  const type = String(draft['addressType'] ?? '');
  const errors: FieldError[] = [];
  if (type === '') errors.push(required('addressType'));
  else if (!['FQDN', 'IPv4', 'IPv6'].includes(type))
    errors.push(unsupported('addressType', type, ['FQDN', 'IPv4', 'IPv6']));
  errors.push(...slicePortErrors(listOf<SlicePort>(draft['ports'])));
  if (old === undefined || !same(draft['endpoints'], old['endpoints']))
    errors.push(...sliceEndpointErrors(listOf(draft['endpoints']), type));
  if (old !== undefined && type !== old['addressType'])
    errors.push(invalid('addressType', undefined, 'field is immutable'));
  return errors;
}

const protocols = ['SCTP', 'TCP', 'UDP'];

function slicePortErrors(ports: readonly SlicePort[]): readonly FieldError[] {
  const names = new Set<string>();
  return ports.flatMap(({ name = '', protocol = '', appProtocol }, index) => {
    const errors: FieldError[] =
      name === '' ? [] : dnsLabel(name).map((message) => invalid(`ports[${index}].name`, name, message));
    if (names.has(name)) errors.push(duplicate(`ports[${index}].name`, name));
    names.add(name);
    if (!protocols.includes(protocol)) errors.push(unsupported(`ports[${index}].protocol`, protocol, protocols));
    if (appProtocol !== undefined)
      for (const message of qualifiedName(appProtocol))
        errors.push(invalid(`ports[${index}].appProtocol`, appProtocol, message));
    return errors;
  });
}

const mostEndpoints = 1000;
const mostAddresses = 100;

function sliceEndpointErrors(endpoints: readonly SliceEndpoint[], type: string): readonly FieldError[] {
  if (endpoints.length > mostEndpoints) return [tooManyItems('endpoints', endpoints.length, mostEndpoints)];
  return endpoints.flatMap(({ addresses, nodeName, hostname, hints }, index) => {
    const field = `endpoints[${index}]`;
    const all = addresses ?? [];
    const errors: FieldError[] = [];
    if (all.length === 0) errors.push(required(`${field}.addresses`));
    else if (all.length > mostAddresses) errors.push(tooManyItems(`${field}.addresses`, all.length, mostAddresses));
    for (const [at, address] of all.entries()) errors.push(...addressErrors(address, type, `${field}.addresses`, at));
    if (nodeName !== undefined)
      for (const message of dnsSubdomain(nodeName)) errors.push(invalid(`${field}.nodeName`, nodeName, message));
    if (hostname !== undefined)
      for (const message of dnsLabel(hostname)) errors.push(invalid(`${field}.hostname`, hostname, message));
    for (const [at, { name }] of (hints?.forZones ?? []).entries())
      for (const message of labelValue(name))
        errors.push(invalid(`${field}.hints.forZones[${at}].name`, name, message));
    return errors;
  });
}

function addressErrors(address: string, type: string, field: string, index: number): readonly FieldError[] {
  const at = `${field}[${index}]`;
  if (type === 'FQDN') return dnsSubdomain(address).map((message) => invalid(at, address, message));
  if (type !== 'IPv4' && type !== 'IPv6') return [];
  const malformed = ipErrors(address, at);
  if (malformed.length > 0) return malformed;
  const wrong =
    familyOf(address) === (type === 'IPv4' ? 4 : 6) ? [] : [invalid(field, address, `must be an ${type} address`)];
  return [...wrong, ...endpointIpErrors(address, at)];
}

const tooManyItems = (field: string, count: number, most: number): FieldError => ({
  reason: 'FieldValueTooMany',
  field,
  message: `Too many: ${count}: must have at most ${most} items`,
});

interface Subset {
  readonly addresses?: readonly { readonly ip?: string; readonly nodeName?: string }[];
  readonly notReadyAddresses?: readonly { readonly ip?: string }[];
  readonly ports?: readonly { readonly name?: string; readonly port: number; protocol?: string }[];
}

function endpointsDefaults(draft: Draft): void {
  for (const subset of listOf<Subset>(draft['subsets'])) for (const port of subset.ports ?? []) port.protocol ??= 'TCP';
}

function endpointsErrors(draft: Draft): readonly FieldError[] {
  return listOf<Subset>(draft['subsets']).flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }, index) => {
    const field = `subsets[${index}]`;
    const errors: FieldError[] = [];
    if (addresses.length === 0 && notReadyAddresses.length === 0)
      errors.push(required(field, 'must specify `addresses` or `notReadyAddresses`'));
    for (const [member, list] of [
      ['addresses', addresses],
      ['notReadyAddresses', notReadyAddresses],
    ] as const)
      for (const [at, { ip = '' }] of list.entries()) {
        const malformed = ipErrors(ip, `${field}.${member}[${at}].ip`);
        errors.push(...(malformed.length > 0 ? malformed : endpointIpErrors(ip, `${field}.${member}[${at}].ip`)));
      }
    for (const [at, { name = '', port, protocol = '' }] of ports.entries()) {
      const where = `${field}.ports[${at}]`;
      if (name === '' && ports.length > 1) errors.push(required(`${where}.name`));
      else if (name !== '') for (const message of dnsLabel(name)) errors.push(invalid(`${where}.name`, name, message));
      for (const message of portNumber(port)) errors.push(invalid(`${where}.port`, port, message));
      if (!protocols.includes(protocol)) errors.push(unsupported(`${where}.protocol`, protocol, protocols));
    }
    return errors;
  });
}

/** Generation 1 at creation, then one more for each change of the spec. */
export function specGeneration(draft: Draft, old: Draft): void {
  if (!same(draft['spec'], old['spec'])) draft.metadata.generation = (old.metadata.generation ?? 0) + 1;
}

/** A kind with spec and status: each part keeps the other. */
export function keepOther(draft: Draft, old: Draft, part: Part): void {
  const kept = part === 'status' ? 'spec' : 'status';
  if (old[kept] === undefined) delete draft[kept];
  else draft[kept] = clone(old[kept]) as JsonObject;
}
